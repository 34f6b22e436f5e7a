// SPDX-License-Identifier: Apache-2.0
// Whether a value is what its declaration in the words of fields.ts allows: defaults filled in, and each fault a sentence for an operator.

import type { TSchema } from '@sinclair/typebox'
import { parseCidr, parseInterfaceAddress, parseIp, parseMac } from './addresses'
import type { FunctionKind, Problem } from './define'
import { annotations, type Meaning, NAME_PATTERN, parsePortRange, protocolNumber } from './fields'

/** What is wrong with a scalar, and how to write it right. */
export interface Fault {
  message: string
  hint?: string
}

/** The value with defaults filled in, and its faults; with faults the value is of no use. The value given is left as it is. */
export function validate(schema: TSchema, value: unknown): { value: unknown; problems: Problem[] } {
  const problems: Problem[] = []
  const report = (path: string[], { message, hint }: Fault) => problems.push({ path: path.join('.'), message, ...(hint && { hint }) })
  return { value: walk(schema, value, [], report), problems }
}

/** A kind's configuration: by its schema, and where that finds nothing, by the kind's own `check`. */
export function validateConfig(
  kind: Pick<FunctionKind, 'schema' | 'check'>,
  config: unknown
): { config: Record<string, unknown>; problems: Problem[] } {
  const { value, problems } = validate(kind.schema, config)
  const checked = problems.length > 0 ? problems : (kind.check?.(value as never) ?? [])
  return { config: value as Record<string, unknown>, problems: checked }
}

/** What is wrong with one scalar, if anything is. The value of a sensitive one is not told. */
export function scalarFault(schema: TSchema, value: unknown): Fault | undefined {
  const reason = typeof value === 'string' && schema.type === 'string' ? textFault(schema, value) : otherFault(schema, value)
  if (reason === undefined) return undefined
  const { meaning, sensitive } = annotations(schema) ?? {}
  const hint = FORMATS[meaning as Meaning]?.hint
  return { message: sensitive ? 'the value is not of the right form' : reason, ...(hint && { hint }) }
}

/** What is wrong with a key of a table, if anything is. */
export function keyFault({ patternProperties }: TSchema, key: string): Fault | undefined {
  const [pattern] = Object.keys(patternProperties)
  if (new RegExp(pattern!).test(key)) return undefined
  return { message: `the key ${show(key)} is not allowed`, hint: pattern === NAME_PATTERN ? FORMATS.name!.hint : KEY_HINT }
}

/** Whether a list or a table of so many entries is too long. */
export function sizeFault({ maxItems, maxProperties }: TSchema, count: number): Fault | undefined {
  const most = maxItems ?? maxProperties ?? Number.POSITIVE_INFINITY
  return count > most ? { message: `${count} entries are too many`, hint: `At most ${most} are possible.` } : undefined
}

type Report = (path: string[], fault: Fault) => void

function walk(schema: TSchema, value: unknown, path: string[], report: Report): unknown {
  if (schema.type === 'array') return walkList(schema, value, path, report)
  if (schema.type !== 'object') return walkScalar(schema, value, path, report)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    report(path, { message: `${show(value)} is not an object` })
    return value
  }
  return schema.patternProperties ? walkTable(schema, value, path, report) : walkGroup(schema, value, path, report)
}

function walkScalar(schema: TSchema, value: unknown, path: string[], report: Report): unknown {
  const fault = scalarFault(schema, value)
  if (fault) report(path, fault)
  return value
}

function walkList(schema: TSchema, value: unknown, path: string[], report: Report): unknown {
  if (!Array.isArray(value)) {
    report(path, { message: `${show(value)} is not a list` })
    return value
  }
  const size = sizeFault(schema, value.length)
  if (size) report(path, size)
  return value.map((item, n) => walk(schema.items, item, [...path, String(n)], report))
}

function walkTable(schema: TSchema, value: object, path: string[], report: Report): unknown {
  const row = Object.values(schema.patternProperties as Record<string, TSchema>)[0]!
  const entries = Object.entries(value)
  const size = sizeFault(schema, entries.length)
  if (size) report(path, size)
  for (const [key] of entries) {
    const fault = keyFault(schema, key)
    if (fault) report([...path, key], fault)
  }
  return Object.fromEntries(entries.map(([key, item]) => [key, walk(row, item, [...path, key], report)]))
}

function walkGroup(schema: TSchema, value: object, path: string[], report: Report): unknown {
  const fields = schema.properties as Record<string, TSchema>
  const unknown = Object.keys(value).filter(name => !Object.hasOwn(fields, name))
  for (const name of unknown)
    report([...path, name], { message: 'there is no such attribute', hint: `There are ${Object.keys(fields).join(', ')}.` })
  const given = value as Record<string, unknown>
  const members = Object.entries(fields).flatMap(([name, field]) => {
    if (Object.hasOwn(given, name) && given[name] !== undefined) return [[name, walk(field, given[name], [...path, name], report)]]
    if (field.default !== undefined) return [[name, structuredClone(field.default)]]
    if ((schema.required ?? []).includes(name)) report([...path, name], { message: 'is required', hint: field.description })
    return []
  })
  return Object.fromEntries(members)
}

function textFault({ enum: choices, maxLength, pattern, ...schema }: TSchema, text: string): string | undefined {
  if (choices) return choices.includes(text) ? undefined : `${show(text)} is not one of ${choices.join(', ')}`
  if (text.length > maxLength) return `${show(text)} is longer than ${maxLength} characters`
  const format = FORMATS[annotations(schema as TSchema)?.meaning as Meaning]
  const reason = format?.parse && refusalOf(format.parse, text)
  if (reason) return reason
  if (pattern && !new RegExp(pattern).test(text)) return `${show(text)} is not ${format?.called ?? `of the form ${pattern}`}`
  return undefined
}

function refusalOf(parse: (text: string) => unknown, text: string): string | undefined {
  try {
    parse(text)
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

function otherFault({ type, minimum, maximum }: TSchema, value: unknown): string | undefined {
  if (type === 'boolean') return typeof value === 'boolean' ? undefined : `${show(value)} is neither true nor false`
  if (type === 'integer') {
    const fits = Number.isSafeInteger(value) && (value as number) >= (minimum ?? -Infinity) && (value as number) <= (maximum ?? Infinity)
    return fits ? undefined : `${show(value)} is not a whole number from ${minimum} to ${maximum}`
  }
  return type === 'string' ? `${show(value)} is not text` : undefined
}

const KEY_HINT = 'Use up to 64 letters, digits, dots, dashes and underscores, with a letter or digit at each end.'

/** What is not text is called by its name; `parse` throws where a pattern sees too little. */
const FORMATS: { [M in Meaning]?: { called: string; hint: string; parse?: (text: string) => unknown } } = {
  name: { called: 'a name', hint: 'Use 1 to 40 lower-case letters, digits and dashes, with a letter or digit at each end.' },
  ipv4: { called: 'an IPv4 address', hint: 'Write 10.0.1.11.', parse: text => ofFamily(4, text) },
  ipv6: { called: 'an IPv6 address', hint: 'Write fd00::11.', parse: text => ofFamily(6, text) },
  ip: { called: 'an IP address', hint: 'Write 10.0.1.11 or fd00::11.', parse: parseIp },
  cidr: { called: 'an address range', hint: 'Write 10.0.1.0/24 or fd00:1::/64.', parse: parseCidr },
  interface_address: {
    called: 'an address with the length of its subnet',
    hint: 'Write 10.0.1.1/24 or fd00:1::1/64.',
    parse: parseInterfaceAddress
  },
  mac: { called: 'a MAC address', hint: 'Write 02:00:00:00:00:01.', parse: parseMac },
  port_range: { called: 'a port or a range of ports', hint: 'Write 443 or 8000-8999.', parse: parsePortRange },
  protocol: { called: 'a protocol', hint: 'Write tcp, udp, icmp, icmpv6, sctp, or the number of an IP protocol.', parse: protocolNumber },
  duration: { called: 'a duration', hint: 'Write 250ms, 30s, 5m or 1h.' },
  rate: { called: 'a rate', hint: 'Write 10mbit or 1gbit.' },
  interface: { called: 'the name of a network device', hint: 'Use at most 15 characters, none of them a space, a colon or a slash.' },
  path: { called: 'a name or an absolute path', hint: 'Write web1 or /var/run/netns/web1.' }
}

function ofFamily(family: 4 | 6, text: string): void {
  if (parseIp(text).family !== family) throw new RangeError(`${text} is not an IPv${family} address`)
}

function show(value: unknown): string {
  return JSON.stringify(value) ?? 'nothing'
}
