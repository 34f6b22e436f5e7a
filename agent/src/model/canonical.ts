// SPDX-License-Identifier: Apache-2.0
// From what a client sent to what is stored: checked against its schema, defaults filled in, addresses in one form.

import { normalise } from '@inkev/bpf/catalogue/addresses'
import { annotations, NAME_PATTERN } from '@inkev/bpf/catalogue/fields'
import { validate } from '@inkev/bpf/catalogue/validate'
import type { TSchema } from '@sinclair/typebox'
import { InkevError } from '../../api/errors'
import { type ResourceType, resources } from '../../api/resources'

const DOTTED: ResourceType[] = ['peers', 'endpoints']
const NAME = new RegExp(NAME_PATTERN)

/** Throws INKEV_ERR_NAME, INKEV_ERR_SCHEMA. */
export function canonical(type: ResourceType, name: string, body: unknown): unknown {
  requireName(type, name)
  const schema: TSchema = resources[type]
  const { value, problems } = validate(schema, body)
  const [first] = problems
  if (first) throw new InkevError('INKEV_ERR_SCHEMA', `${first.path || 'the body'}: ${first.message}`, first.path, first.hint)
  return withCanonicalText(schema, value)
}

/** Peers and endpoints are named `<network>.<host>` and `<network>.<port>`. */
function requireName(type: ResourceType, name: string): void {
  const parts = DOTTED.includes(type) ? name.split('.') : [name]
  if (parts.every(part => NAME.test(part)) && parts.length === (DOTTED.includes(type) ? 2 : 1)) return
  throw new InkevError('INKEV_ERR_NAME', `${JSON.stringify(name)} is no name for one of ${type}`, 'name')
}

const ADDRESSES = ['ip', 'ipv4', 'ipv6', 'cidr', 'interface_address', 'mac']

function withCanonicalText(schema: TSchema, value: unknown): unknown {
  if (Array.isArray(value)) return value.map(item => withCanonicalText(schema.items, item))
  if (typeof value === 'object' && value !== null) {
    const fields = schema.properties as Record<string, TSchema> | undefined
    const [row] = Object.values((schema.patternProperties ?? {}) as Record<string, TSchema>)
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withCanonicalText((fields?.[key] ?? row)!, item)]))
  }
  return typeof value === 'string' && ADDRESSES.includes(annotations(schema)?.meaning ?? '') ? normalise(value) : value
}
