// SPDX-License-Identifier: Apache-2.0
// The descriptor: every schema as Terraform's protocol wants it. The build writes it for the shim to embed; the core reports its digest.

import { createHash } from 'node:crypto'
import { dataSources } from './data/index'
import { providerAttributes, providerDescription } from './provider'
import type { Resource } from './resource'
import { resources } from './resources/index'
import type { Attribute, Attributes } from './schema'

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
    identity: { version, attributes: identity.map(name => ({ name, type: 'string', description: attributes[name]!.description })) }
  }
}

function schemaFile(description: string, attributes: Attributes, version = 0) {
  return { version, description, attributes: attributeFiles(attributes) }
}

function attributeFiles(attributes: Attributes): object[] {
  return Object.entries(attributes).map(([name, attribute]) => attributeFile(name, attribute))
}

function attributeFile(
  name: string,
  { shape, type, attributes, computed, optional, required, sensitive, ...attribute }: Attribute
): object {
  const flags = { required, optional: optional && !required, computed, sensitive }
  return {
    name,
    ...(attributes
      ? { nested: { mode: shape === 'object' ? 'single' : shape, attributes: attributeFiles(attributes) } }
      : { type: shape === 'scalar' ? type : [shape, type] }),
    description: documented(attribute),
    ...Object.fromEntries(Object.entries(flags).filter(([, set]) => set))
  }
}

/** The sentence of the declaration, and what a reader of the registry needs beside it. */
function documented({
  description,
  default: fallback,
  replace,
  rule
}: Pick<Attribute, 'description' | 'default' | 'replace' | 'rule'>): string {
  const notes = [
    description,
    rule?.choices && `One of ${rule.choices.map(choice => `\`${choice}\``).join(', ')}.`,
    fallback !== undefined && fallback !== null && `Default: \`${JSON.stringify(fallback)}\`.`,
    rule?.example && `Example: \`${rule.example}\`.`,
    replace && 'A change makes a new object.'
  ]
  return notes.filter(Boolean).join(' ')
}
