// SPDX-License-Identifier: Apache-2.0
// Faults in a firewall's rules: within one rule, between rules that contradict each other, and of all rules together.

import { type Prefix, parseCidr } from '../../catalogue/addresses'
import type { Problem } from '../../catalogue/define'
import { protocolNumber } from '../../catalogue/fields'
import { KEYS_MAX, listsOf, SHAPES_MAX } from './image'
import { familiesOf, hasPorts, isIcmp, type Match, matchOf, parsePorts, type Range, type Rule, type Rules } from './rule'

/** A firewall whose rules contradict each other does so in many places: the first few say it all. */
const CONTRADICTIONS_TOLD = 8

export function checkRules({ rules = {} }: { rules?: Rules }): Problem[] {
  const problems = Object.entries(rules).flatMap(([key, rule]) =>
    checkRule(rule).map(problem => ({ ...problem, path: `rules.${key}.${problem.path}` }))
  )
  return problems.length > 0 ? problems : [...contradictions(rules), ...tooMany(rules)]
}

function checkRule(rule: Rule): Problem[] {
  const texts = [
    ...textFault('protocol', rule.protocol, parseProtocol),
    ...textFault('source', rule.source, parseCidr),
    ...textFault('destination', rule.destination, parseCidr),
    ...textFault('ports', rule.ports, parsePorts),
    ...textFault('source_ports', rule.source_ports, parsePorts)
  ]
  return texts.length > 0 ? texts : checkFields(rule)
}

function textFault(path: string, text: string | undefined, parse: (text: string) => unknown): Problem[] {
  try {
    if (text !== undefined) parse(text)
    return []
  } catch (error) {
    return [{ path, message: (error as RangeError).message }]
  }
}

function parseProtocol(text: string): number {
  const number = protocolNumber(text)
  if (number > 255) throw new RangeError(`${text}: the highest IP protocol number is 255`)
  return number
}

/** Fields that do not go together. */
function checkFields(rule: Rule): Problem[] {
  const { protocol: word, ports, source_ports: sourcePorts, icmp_type: type, icmp_code: code } = rule
  const protocol = word === undefined ? undefined : protocolNumber(word)
  const problems: Problem[] = []
  const needPorts = { message: `${word ?? 'any protocol'} has no ports`, hint: 'set protocol to tcp, udp or sctp' }
  const needIcmp = { message: `${word ?? 'any protocol'} has no ICMP messages`, hint: 'set protocol to icmp or icmpv6' }

  if (ports !== undefined && !hasPorts(protocol)) problems.push({ path: 'ports', ...needPorts })
  if (sourcePorts !== undefined && !hasPorts(protocol)) problems.push({ path: 'source_ports', ...needPorts })
  if (type !== undefined && !isIcmp(protocol)) problems.push({ path: 'icmp_type', ...needIcmp })
  if (code !== undefined && type === undefined)
    problems.push({ path: 'icmp_code', message: 'codes have a meaning only within a type', hint: 'set icmp_type' })
  return [...problems, ...checkFamilies(rule, protocol)]
}

function checkFamilies({ protocol: word, source, destination }: Rule, protocol?: number): Problem[] {
  const from = source === undefined ? undefined : parseCidr(source)
  const to = destination === undefined ? undefined : parseCidr(destination)
  if (familiesOf(undefined, from, to).length === 0)
    return [{ path: 'destination', message: `no packet goes from ${source} to ${destination}: one is IPv4, the other IPv6` }]
  if (familiesOf(protocol, from, to).length === 0)
    return [
      { path: 'protocol', message: `${word} is not of the IP version of ${source ?? destination}`, hint: 'IPv4 has icmp, IPv6 has icmpv6' }
    ]
  return []
}

/** Rules of one rank must agree about every packet that they share. */
function contradictions(rules: Rules): Problem[] {
  const ranks = new Map<string, Ranked[]>()
  for (const [key, rule] of Object.entries(rules)) {
    const rank = `${rule.direction} ${rule.priority}`
    ranks.set(rank, [...(ranks.get(rank) ?? []), { key, rule, match: matchOf(rule) }])
  }
  const problems: Problem[] = []
  for (const [a, b] of contradictingPairs(ranks.values())) {
    if (problems.length === CONTRADICTIONS_TOLD) break
    problems.push({
      path: `rules.${b.key}.priority`,
      message: `${a.key} (${a.rule.action}) and ${b.key} (${b.rule.action}) of the same priority ${b.rule.priority} mean some of the same packets`,
      hint: 'give one of them another priority: the lower number decides'
    })
  }
  return problems
}

interface Ranked {
  key: string
  rule: Rule
  match: Match
}

function* contradictingPairs(ranks: Iterable<Ranked[]>): Generator<[Ranked, Ranked]> {
  for (const rank of ranks) {
    if (rank.every(({ rule }) => rule.action === rank[0]!.rule.action)) continue
    for (const [n, a] of rank.entries())
      for (const b of rank.slice(n + 1)) if (a.rule.action !== b.rule.action && overlap(a.match, b.match)) yield [a, b]
  }
}

function overlap(a: Match, b: Match): boolean {
  return (
    (a.protocol === undefined || b.protocol === undefined || a.protocol === b.protocol) &&
    rangesMeet(a.ports, b.ports) &&
    rangesMeet(a.sourcePorts, b.sourcePorts) &&
    a.families.some(family => b.families.includes(family)) &&
    prefixesMeet(a.source, b.source) &&
    prefixesMeet(a.destination, b.destination)
  )
}

function rangesMeet([a, aEnd]: Range, [b, bEnd]: Range): boolean {
  return a <= bEnd && b <= aEnd
}

function prefixesMeet(a?: Prefix, b?: Prefix): boolean {
  if (a === undefined || b === undefined) return true
  if (a.family !== b.family) return false
  const hostBits = BigInt((a.family === 4 ? 32 : 128) - Math.min(a.length, b.length))
  return a.value >> hostBits === b.value >> hostBits
}

/** The kernel's tables have an end, and port ranges may need several keys. */
function tooMany(rules: Rules): Problem[] {
  const lists = listsOf(Object.entries(rules))
  const keys = lists.flatMap(({ groups }) => groups.map(group => group.rules.size)).reduce((sum, size) => sum + size, 0)
  const shapes = Math.max(...lists.map(({ groups }) => groups.length))
  const hint = 'let port ranges begin and end at powers of two, and use prefixes of fewer lengths'
  if (keys > KEYS_MAX) return [{ path: 'rules', message: `the rules make ${keys} table entries, of which ${KEYS_MAX} fit`, hint }]
  if (shapes > SHAPES_MAX)
    return [
      { path: 'rules', message: `the rules combine prefix lengths and port ranges in ${shapes} ways, of which ${SHAPES_MAX} fit`, hint }
    ]
  return []
}
