// SPDX-License-Identifier: Apache-2.0
// The scalars of a kind's configuration as the kernel gets them: the members of `struct <kind>_config`, and the entry of the map `config`.

import { OptionalKind, type TSchema } from '@sinclair/typebox'
import type { Entry, FunctionKind, Value } from './define'
import { annotations, type Meaning } from './fields'

/** The C type of each meaning that has one. A scalar of any other meaning is no member of the struct: `image` says what becomes of it. */
const C_TYPES: Partial<Record<Meaning, string>> = {
  bool: 'bool_t',
  u32: '__u32',
  u64: '__u64',
  percent: '__u8',
  ipv4: 'ipv4_t',
  ipv6: 'ipv6_t',
  ip: 'ip_t',
  cidr: 'prefix_t',
  interface_address: 'prefix_t',
  mac: 'mac_t',
  port: 'port_t',
  protocol: 'protocol_t',
  vni: 'vni_t',
  duration: 'duration_t',
  rate: 'bitrate_t'
}

/** One member of `struct <kind>_config`. */
export interface ConfigMember {
  name: string
  type: string
  doc: string
  /** It may be left out and has no default: a member `bool_t has_<name>` says whether it is set. */
  optional: boolean
}

/** The members of `struct <kind>_config`, in the order of their declaration; none for a kind without such scalars, which then has no `config` map. */
export function configMembers({ kind, config }: Pick<FunctionKind, 'kind' | 'config'>): ConfigMember[] {
  return Object.entries(config).flatMap(([name, schema]) => {
    const type = annotations(schema)?.agentOnly ? undefined : cType(`${kind}_${name}`, schema)
    const optional = schema[OptionalKind] === 'Optional' && schema.default === undefined
    return type ? [{ name, type, doc: schema.description ?? '', optional }] : []
  })
}

/** The one entry of the map `config`, from a configuration that is valid; undefined for a kind without that map. */
export function configEntry(kind: Pick<FunctionKind, 'kind' | 'config'>, config: Record<string, unknown>): Entry | undefined {
  const members = configMembers(kind)
  if (members.length === 0) return undefined
  const given = members.filter(({ name }) => config[name] !== undefined)
  return { key: 0, value: Object.fromEntries(given.map(({ name }) => [name, config[name] as Value])) }
}

function cType(tag: string, schema: TSchema): string | undefined {
  const declared = annotations(schema)
  if (!declared) throw new TypeError(`${tag} is not declared by a word of fields.ts`)
  if (declared.meaning === 'choice') return `enum ${tag}`
  return C_TYPES[declared.meaning as Meaning]
}
