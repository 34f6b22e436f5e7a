// SPDX-License-Identifier: Apache-2.0
// Validation of a configuration against its schema: pure, tolerant of what is unknown, each fault a sentence at the attribute.

import { type Fault, keyFault, scalarFault, sizeFault } from '@inkev/bpf/catalogue/validate'
import { type Attribute, type Attributes, scalarOf } from './schema'
import { isMembers, type Members, UNKNOWN, type Value } from './value'
import { type Path, rebuild } from './walk'

/** A fault in a configuration, and what to do about it. */
export interface Problem extends Fault {
  path: Path
}

/** All faults of a configuration that its schema alone can see. */
export function schemaProblems(attributes: Attributes, config: Members): Problem[] {
  const problems: Problem[] = []
  rebuild(attributes, [config], (name, attribute, [object], path) => {
    problems.push(...problemsOf(attribute, object[name] ?? null, path))
    return undefined
  })
  return problems
}

function problemsOf(attribute: Attribute, value: Value, path: Path): Problem[] {
  const { attributes, shape, source } = attribute
  if (value === null || value === UNKNOWN || shape === 'object') return []
  const scalar = scalarOf(attribute)
  if (shape === 'scalar') return at(path, scalarFault(scalar, value))
  if (!isMembers(value)) {
    const elements = value as Value[]
    return [
      ...at(path, sizeFault(source, elements.length) ?? emptyFault(source, elements)),
      ...elements.flatMap((element, index) => elementProblems(scalar, element, [...path, { index }]))
    ]
  }
  return [
    ...at(path, sizeFault(source, Object.keys(value).length)),
    ...Object.keys(value).flatMap(key => at([...path, { key }], keyFault(source, key))),
    ...Object.entries(value).flatMap(([key, element]) => (attributes ? [] : elementProblems(scalar, element, [...path, { key }])))
  ]
}

function emptyFault({ minItems = 0 }: Attribute['source'], elements: Value[]): Fault | undefined {
  return elements.length < minItems ? { message: 'must not be empty', hint: 'Name at least one, or leave it out.' } : undefined
}

function elementProblems(scalar: Attribute['source'], element: Value, path: Path): Problem[] {
  return element === UNKNOWN ? [] : at(path, scalarFault(scalar, element))
}

function at(path: Path, fault: Fault | undefined): Problem[] {
  return fault ? [{ path, ...fault }] : []
}
