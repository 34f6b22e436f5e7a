// SPDX-License-Identifier: Apache-2.0
// Validation of one value against its schema: pure, tolerant of what is unknown, each fault a sentence at the attribute.

import { parseCidr, parseInterfaceAddress, parseIp } from '@inkev/bpf/catalogue/addresses'
import type { Meaning } from '@inkev/bpf/catalogue/fields'
import type { Attribute, Attributes, Rule } from './schema'
import { isMembers, type Members, UNKNOWN, type Value } from './value'
import { type Path, rebuild } from './walk'

/** A fault in a configuration, and what to do about it. */
export interface Problem {
  path: Path
  message: string
  hint?: string
}

/** All faults of a configuration that its schema alone can see. */
export function schemaProblems(attributes: Attributes, config: Members): Problem[] {
  const problems: Problem[] = []
  rebuild(attributes, [config], (name, attribute, [object], path) => {
    problems.push(...valueProblems(attribute, object[name] ?? null, path))
    return undefined
  })
  return problems
}

function valueProblems({ shape, rule, sensitive }: Attribute, value: Value, path: Path): Problem[] {
  if (!rule || value === null || value === UNKNOWN) return []
  if (sensitive) return scalarProblems(rule, value, path).map(problem => ({ ...problem, message: 'the value is of the wrong form.' }))
  if (shape === 'scalar') return scalarProblems(rule, value, path)
  if (shape === 'map') return mapProblems(rule, value as Members, path)
  const elements = value as Value[]
  return [
    ...sizeProblems(rule, elements.length, path),
    ...elements.flatMap((element, index) => scalarProblems(rule, element, [...path, { index }]))
  ]
}

function mapProblems(rule: Rule, members: Members, path: Path): Problem[] {
  const badKeys = Object.keys(members).filter(key => rule.keys && !rule.keys.test(key))
  return [
    ...sizeProblems(rule, Object.keys(members).length, path),
    ...badKeys.map(key => ({
      path: [...path, { key }],
      message: `the key ${JSON.stringify(key)} is not allowed.`,
      hint: 'Use up to 64 letters, digits, dots, dashes and underscores, with a letter or digit at each end.'
    })),
    ...Object.entries(members).flatMap(([key, member]) => (isMembers(member) ? [] : scalarProblems(rule, member, [...path, { key }])))
  ]
}

function sizeProblems({ maxItems = Number.POSITIVE_INFINITY }: Rule, size: number, path: Path): Problem[] {
  return size > maxItems ? [{ path, message: `${size} entries are too many.`, hint: `At most ${maxItems} are possible.` }] : []
}

function scalarProblems(rule: Rule, value: Value, path: Path): Problem[] {
  if (value === UNKNOWN) return []
  const fault = value === null ? 'must not be null.' : typeof value === 'string' ? textFault(rule, value) : numberFault(rule, value)
  if (fault === undefined) return []
  const hint = hintOf(rule)
  return [{ path, message: `${JSON.stringify(value)} ${fault}`, ...(hint && { hint }) }]
}

function numberFault({ minimum = 0, maximum = Number.MAX_SAFE_INTEGER }: Rule, value: Value): string | undefined {
  if (typeof value !== 'number') return undefined
  return Number.isInteger(value) && value >= minimum && value <= maximum ? undefined : 'is out of range.'
}

function textFault({ choices, maxLength = Number.POSITIVE_INFINITY, meaning, minimum, pattern }: Rule, text: string): string | undefined {
  if (minimum !== undefined) return 'is not a whole number.'
  if (text.length > maxLength) return `is too long: ${text.length} characters of at most ${maxLength}.`
  if (choices && !choices.includes(text)) return 'is not one of the choices.'
  if (pattern && !pattern.test(text)) return `is not ${EXPECTED[meaning ?? 'text'] ?? 'of the expected form'}.`
  return addressFault(meaning, text)
}

/** What a pattern cannot see in an address; the parsers' own sentences tell it. */
function addressFault(meaning: Meaning | undefined, text: string): string | undefined {
  const parse = meaning && PARSERS[meaning]
  try {
    parse?.(text)
    return undefined
  } catch (error) {
    return `is not ${EXPECTED[meaning!]}: ${(error as Error).message}.`
  }
}

const PARSERS: { [M in Meaning]?: (text: string) => unknown } = {
  ip: parseIp,
  ipv4: parseIp,
  ipv6: parseIp,
  cidr: parseCidr,
  interface_address: parseInterfaceAddress,
  port_range: text => {
    const [first, last = first] = text.split('-').map(Number) as [number, number]
    if (first < 1 || last > 65535 || first > last) throw new RangeError(`ports go from 1 to 65535, the lower first`)
  },
  protocol: text => {
    if (Number(text) > 255) throw new RangeError('protocol numbers end at 255')
  }
}

const EXPECTED: { [M in Meaning]?: string } = {
  name: 'a name',
  ip: 'an IP address',
  ipv4: 'an IPv4 address',
  ipv6: 'an IPv6 address',
  cidr: 'an address range',
  interface_address: 'an address with the length of its subnet',
  mac: 'a MAC address',
  port_range: 'a port or a range of ports',
  protocol: 'a protocol',
  duration: 'a duration',
  rate: 'a rate',
  interface: 'the name of a network device',
  path: 'a name or an absolute path'
}

const HINTS: { [M in Meaning]?: string } = {
  name: 'Use 1 to 40 lower-case letters, digits and dashes, with a letter or digit at each end.',
  ip: 'Write 10.0.1.11 or fd00::11.',
  ipv4: 'Write 10.0.1.11.',
  ipv6: 'Write fd00::11.',
  cidr: 'Write 10.0.1.0/24 or fd00:1::/64, with all bits behind the prefix zero.',
  interface_address: 'Write 10.0.1.1/24 or fd00:1::1/64.',
  mac: 'Write 02:00:00:00:00:01.',
  port_range: 'Write 443 or 8000-8999.',
  protocol: 'Write tcp, udp, icmp, icmpv6, sctp, or the number of an IP protocol.',
  duration: 'Write 250ms, 30s, 5m or 1h.',
  rate: 'Write 10mbit or 1gbit for bits, 1000pps for packets per second.',
  interface: 'Use at most 15 characters, none of them a space, a colon or a slash.'
}

function hintOf({ choices, maximum, meaning, minimum }: Rule): string | undefined {
  if (choices) return `Use one of ${choices.join(', ')}.`
  if (minimum !== undefined && maximum !== undefined) return `Use a whole number from ${minimum} to ${maximum}.`
  return meaning && HINTS[meaning]
}
