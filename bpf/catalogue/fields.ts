// SPDX-License-Identifier: Apache-2.0
// The words in which a kind's configuration, a REST resource and a Terraform attribute are declared: scalars and keyed tables, each a TypeBox value.

import {
  type Static,
  type TBoolean,
  type TInteger,
  type TObject,
  type TOptional,
  type TProperties,
  type TRecord,
  type TSchema,
  type TString,
  Type
} from '@sinclair/typebox'

/** The name of a scalar's meaning. The BTF codec, the C header and the Terraform schema choose by it. */
export type Meaning =
  | 'bool'
  | 'u32'
  | 'u64'
  | 'text'
  | 'choice'
  | 'name'
  | 'ipv4'
  | 'ipv6'
  | 'ip'
  | 'cidr'
  | 'interface_address'
  | 'mac'
  | 'port'
  | 'port_range'
  | 'protocol'
  | 'vni'
  | 'duration'
  | 'rate'
  | 'interface'
  | 'percent'
  | 'path'

/** What a declaration says beside its JSON Schema; kept in the schema under the keyword `inkev`. */
export interface Annotations {
  meaning: Meaning | 'table' | 'list' | 'group'
  /** A change cannot be made in place: Terraform replaces the resource. */
  replace?: boolean
  /** The agent answers a value where the client gives none. */
  computed?: boolean
  /** Never shown nor logged. */
  sensitive?: boolean
  /** No member of the C struct: only `image` or `sizes` of the kind reads it. */
  agentOnly?: boolean
}

export interface ScalarOptions<D> {
  /** One sentence for every reader: OpenAPI, the registry's docs, the C header. */
  doc: string
  default?: D
  example?: D
  replace?: boolean
  computed?: boolean
  sensitive?: boolean
  agentOnly?: boolean
}

const { stringify } = JSON

function options<D>(meaning: Annotations['meaning'], { doc, default: fallback, example, ...declared }: ScalarOptions<D>) {
  const { replace, computed, sensitive, agentOnly } = declared
  return {
    description: doc,
    ...(fallback === undefined ? {} : { default: fallback }),
    ...(example === undefined ? {} : { examples: [example] }),
    inkev: {
      meaning,
      ...(replace && { replace }),
      ...(computed && { computed }),
      ...(sensitive && { sensitive }),
      ...(agentOnly && { agentOnly })
    } satisfies Annotations
  }
}

/** The annotations of any schema made here; undefined for a schema of other origin. */
export function annotations(schema: TSchema): Annotations | undefined {
  return schema.inkev as Annotations | undefined
}

const octet = '(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])'
const V4 = `${octet}(\\.${octet}){3}`
const V6 = '[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*'
const MAC = '([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}'

/** Names of resources and keys of tables. */
export const NAME_PATTERN = '^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$'
/** Keys that the operator chooses in a table; underscores are allowed as Terraform's own names have them. */
export const KEY_PATTERN = '^[A-Za-z0-9]([A-Za-z0-9_.-]{0,62}[A-Za-z0-9])?$'

type Scalar<T extends TSchema, D> = (declared: ScalarOptions<D>) => T

function string(meaning: Meaning, pattern: string, maxLength = 64): Scalar<TString, string> {
  return declared => Type.String({ ...options(meaning, declared), pattern, maxLength })
}

export const bool: Scalar<TBoolean, boolean> = declared => Type.Boolean(options('bool', declared))

export function u32(declared: ScalarOptions<number> & { min?: number; max?: number }): TInteger {
  return Type.Integer({ ...options('u32', declared), minimum: declared.min ?? 0, maximum: declared.max ?? 0xffffffff })
}
export const vni: Scalar<TInteger, number> = declared => Type.Integer({ ...options('vni', declared), minimum: 1, maximum: 0xffffff })
export const port: Scalar<TInteger, number> = declared => Type.Integer({ ...options('port', declared), minimum: 1, maximum: 0xffff })
export const percent: Scalar<TInteger, number> = declared => Type.Integer({ ...options('percent', declared), minimum: 0, maximum: 100 })

export function text(declared: ScalarOptions<string> & { maxLength?: number }): TString {
  return Type.String({ ...options('text', declared), maxLength: declared.maxLength ?? 255 })
}
/** The name of another resource. */
export const name = string('name', NAME_PATTERN, 40)
export const ipv4 = string('ipv4', `^${V4}$`)
export const ipv6 = string('ipv6', `^${V6}$`)
/** An address of either family. */
export const ip = string('ip', `^(${V4}|${V6})$`)
/** A prefix of either family, host bits zero: `10.0.0.0/24`, `fd00::/64`. */
export const cidr = string('cidr', `^(${V4}/([0-9]|[12][0-9]|3[0-2])|${V6}/([0-9]|[1-9][0-9]|1[01][0-9]|12[0-8]))$`)
/** An address with the length of its subnet: `10.0.0.1/24`, `fd00::1/64`. */
export const interfaceAddress = string(
  'interface_address',
  `^(${V4}/([0-9]|[12][0-9]|3[0-2])|${V6}/([0-9]|[1-9][0-9]|1[01][0-9]|12[0-8]))$`
)
export const mac = string('mac', `^${MAC}$`, 17)
/** `443` or `8000-8999`. */
export const portRange = string('port_range', '^[0-9]{1,5}(-[0-9]{1,5})?$', 11)
/** `tcp`, `udp`, `icmp`, `icmpv6`, `sctp`, or an IP protocol number. */
export const protocol = string('protocol', '^(tcp|udp|icmp|icmpv6|sctp|[0-9]{1,3})$', 6)
/** `30s`, `5m`, `1h`, `250ms`. */
export const duration = string('duration', '^[0-9]{1,9}(ms|s|m|h|d)$', 12)
/** Bits per second: `10mbit`, `1gbit`. */
export const rate = string('rate', '^[0-9]{1,12}(bit|kbit|mbit|gbit)$', 16)
/** A network device of the host. */
export const interfaceName = string('interface', '^[^/\\s:]{1,15}$', 15)
export const path = string('path', '^/?[^\\0]{1,255}$', 255)

/** One of a few words; in C it is an enum `<kind>_<field>` in the order given. */
export function choice<const V extends readonly [string, ...string[]]>(values: V, declared: ScalarOptions<V[number]>) {
  return Type.Unsafe<V[number]>({ type: 'string', enum: [...values], ...options('choice', declared) })
}

/**
 * A field that may be left out. A field with a default needs no `optional`: it is optional by that. A scalar of a kind's configuration without a default has
 * a companion in C, `bool_t has_<field>`, which says whether it is set.
 */
export function optional<T extends TSchema>(schema: T): TOptional<T> {
  return Type.Optional(schema) as TOptional<T>
}

export interface TableOptions {
  doc: string
  /** Largest number of entries. */
  max: number
}

/** Rows keyed by the operator's own key: a map in Terraform, an object in JSON. Order, where it matters, is a field of the row. */
export function table<F extends TProperties>(declared: TableOptions & { fields: F }): TRecord<TString, TObject<F>> {
  return Type.Record(Type.String({ pattern: KEY_PATTERN }), group(declared.fields), {
    description: declared.doc,
    maxProperties: declared.max,
    additionalProperties: false,
    inkev: { meaning: 'table' } satisfies Annotations
  }) as unknown as TRecord<TString, TObject<F>>
}

/** Texts by the operator's own keys, where what they mean is known elsewhere. */
export function texts(declared: TableOptions & { keys?: string }): TRecord<TString, TString> {
  return Type.Record(Type.String({ pattern: declared.keys ?? KEY_PATTERN }), text({ doc: 'Value, as text.', maxLength: 4096 }), {
    description: declared.doc,
    maxProperties: declared.max,
    additionalProperties: false,
    inkev: { meaning: 'table' } satisfies Annotations
  }) as unknown as TRecord<TString, TString>
}

/** The fields of a table's rows. */
export function rowFields(declared: TSchema): TProperties {
  return (Object.values(declared.patternProperties)[0] as { properties: TProperties }).properties
}

/** An ordered list of scalars. */
export function list<T extends TSchema>(item: T, declared: { doc: string; max?: number; replace?: boolean; default?: Static<T>[] }) {
  return Type.Array(item, {
    description: declared.doc,
    maxItems: declared.max ?? 64,
    ...(declared.default === undefined ? {} : { default: declared.default }),
    inkev: { meaning: 'list', ...(declared.replace && { replace: true }) } satisfies Annotations
  })
}

/** A fixed set of named fields; unknown names are refused. Fields with a default are optional to the client. */
export function group<F extends TProperties>(fields: F, declared: { doc?: string; replace?: boolean } = {}): TObject<F> {
  const entries = Object.entries(fields).map(([field, schema]) => [
    field,
    schema.default === undefined && !annotations(schema)?.computed ? schema : Type.Optional(schema)
  ])
  return Type.Object(Object.fromEntries(entries) as F, {
    additionalProperties: false,
    ...(declared.doc && { description: declared.doc }),
    inkev: { meaning: 'group', ...(declared.replace && { replace: true }) } satisfies Annotations
  })
}

const UNIT_NS: Record<string, bigint> = {
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
  d: 86_400_000_000_000n
}

/** Nanoseconds of a `duration`. */
export function nanoseconds(value: string): bigint {
  const [, amount, unit] = /^([0-9]+)(ms|s|m|h|d)$/.exec(value) ?? []
  if (amount === undefined || unit === undefined) throw new RangeError(`${stringify(value)} is not a duration such as 30s or 5m`)
  return BigInt(amount) * UNIT_NS[unit]!
}

const UNIT_BITS: Record<string, bigint> = { bit: 1n, kbit: 1_000n, mbit: 1_000_000n, gbit: 1_000_000_000n }

/** Bits per second of a `rate`. */
export function bitsPerSecond(value: string): bigint {
  const [, amount, unit] = /^([0-9]+)(bit|kbit|mbit|gbit)$/.exec(value) ?? []
  if (amount === undefined || unit === undefined) throw new RangeError(`${stringify(value)} is not a rate such as 10mbit`)
  return BigInt(amount) * UNIT_BITS[unit]!
}

const PROTOCOL: Record<string, number> = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58, sctp: 132 }
const PROTOCOL_NAME = new Map(Object.entries(PROTOCOL).map(([name, number]) => [number, name]))

/** The IP protocol number of a `protocol`. */
export function protocolNumber(value: string): number {
  const number = PROTOCOL[value] ?? Number(value)
  if (!Number.isInteger(number) || number < 0 || number > 255) throw new RangeError(`${stringify(value)} is not an IP protocol`)
  return number
}

/** The word for an IP protocol number where there is one, else the number. */
export function protocolName(number: number): string | number {
  return PROTOCOL_NAME.get(number) ?? number
}

/** The first and the last port of a `port_range`. */
export function parsePortRange(text: string): [first: number, last: number] {
  const [, first, last = first] = /^([0-9]{1,5})(?:-([0-9]{1,5}))?$/.exec(text) ?? []
  const range: [number, number] = [Number(first), Number(last)]
  if (!(range[0] >= 1 && range[1] <= 0xffff && range[0] <= range[1]))
    throw new RangeError(`${stringify(text)} is not a port from 1 to 65535 or a range of them`)
  return range
}
