// SPDX-License-Identifier: Apache-2.0
// The one walk over values beside their schema, by which all others are said: planning, defaults, answers, drift.

import type { Attribute, Attributes } from './schema'
import { isMembers, type Members, mapMembers, type Value } from './value'

export type Step = { attribute: string } | { key: string } | { index: number }
export type Path = readonly Step[]

/** Parallel objects: the first leads, the others are what stands at the same place elsewhere, or null. */
export type Parallel = readonly [Members, ...(Members | null)[]]

/** Sees one attribute of parallel objects. Answers its value, or undefined to leave the first object's, nested objects visited in turn. */
export type Visit = (name: string, attribute: Attribute, objects: Parallel, path: Path) => Value | undefined

/** The first object anew, with every attribute of the schema and no other. */
export function rebuild(attributes: Attributes, objects: Parallel, visit: Visit, path: Path = []): Members {
  const rebuilt = Object.entries(attributes).map(([name, attribute]) => {
    const here = [...path, { attribute: name }]
    const decided = visit(name, attribute, objects, here)
    return [name, decided === undefined ? descend(attribute, valuesAt(objects, name), visit, here) : decided]
  })
  return Object.fromEntries(rebuilt)
}

/** An object with every attribute: what is missing is null, what the schema does not know is left out. */
export function complete(attributes: Attributes, members: Members): Members {
  return rebuild(attributes, [members], () => undefined)
}

function descend({ shape, attributes }: Attribute, values: Value[], visit: Visit, path: Path): Value {
  const [lead, ...others] = values
  if (!attributes || !isMembers(lead)) return lead!
  const beside = others.map(membersOrNull)
  if (shape === 'object') return rebuild(attributes, [lead, ...beside], visit, path)
  return mapMembers(lead, (row, key) => {
    if (!isMembers(row)) return row
    const rows = beside.map(table => membersOrNull(table?.[key]))
    return rebuild(attributes, [row, ...rows], visit, [...path, { key }])
  })
}

function valuesAt(objects: Parallel, name: string): Value[] {
  return objects.map(object => object?.[name] ?? null)
}

function membersOrNull(value: Value | undefined): Members | null {
  return isMembers(value) ? value : null
}
