// SPDX-License-Identifier: Apache-2.0
// The descriptor: every schema as Terraform's protocol wants it. The build writes it for the shim to embed; the core reports its digest.

import { createHash } from 'node:crypto'
import { dataSources } from './data/index'
import { providerAttributes, providerDescription } from './provider'
import type { Resource } from './resource'
import { resources } from './resources/index'
import { type Attribute, type Attributes, scalarOf } from './schema'

/** The same sources always give the same text. */
export function descriptor(): { sha256: string } & Record<string, unknown> {
  const described = {
    provider: schemaFile(providerDescription, providerAttributes),
    resources: Object.fromEntries(Object.entries(resources).map(([type, resource]) => [type, resourceFile(resource)])),
    data_sources: Object.fromEntries(
      Object.entries(dataSources).map(([type, { description, attributes }]) => [type, { schema: schemaFile(description, attributes) }])
    )
  }
  return { sha256: createHash('sha256').update(JSON.stringify(described)).digest('hex'), ...described }
}

function resourceFile({ attributes, description, identity, version }: Resource) {
  return {
    schema: schemaFile(description, attributes, version),
    identity: {
      version,
      attributes: identity.map(name => ({ name, type: 'string', description: attributes[name]!.source.description }))
    }
  }
}

function schemaFile(description: string, attributes: Attributes, version = 0) {
  return { version, description, attributes: attributeFiles(attributes) }
}

function attributeFiles(attributes: Attributes): object[] {
  return Object.entries(attributes).map(([name, attribute]) => attributeFile(name, attribute))
}

function attributeFile(name: string, attribute: Attribute): object {
  const { attributes, computed, optional, required, sensitive, shape } = attribute
  const flags = { required, optional, computed, sensitive }
  const type = TYPES[scalarOf(attribute).type]
  return {
    name,
    ...(attributes
      ? { nested: { mode: shape === 'object' ? 'single' : shape, attributes: attributeFiles(attributes) } }
      : { type: shape === 'scalar' ? type : [shape, type] }),
    description: documented(attribute),
    ...Object.fromEntries(Object.entries(flags).filter(([, set]) => set))
  }
}

/** Terraform's word for a JSON Schema type. */
const TYPES: Record<string, string> = { string: 'string', integer: 'number', number: 'number', boolean: 'bool' }

/** The sentence of the declaration, and what a reader of the registry needs beside it. */
function documented(attribute: Attribute): string {
  const { default: fallback, replace, source } = attribute
  const { enum: choices, examples } = scalarOf(attribute)
  const notes = [
    source.description,
    choices && `One of ${choices.map((choice: string) => `\`${choice}\``).join(', ')}.`,
    fallback !== undefined && `Default: \`${JSON.stringify(fallback)}\`.`,
    examples && `Example: \`${examples[0]}\`.`,
    replace && 'A change makes a new object.'
  ]
  return notes.filter(Boolean).join(' ')
}
