// SPDX-License-Identifier: Apache-2.0
// Faults in a firewall's rules: within one rule, between rules that contradict each other, and of all rules together.

import { type Prefix, parseCidr } from '../../catalogue/addresses'
import type { Problem } from '../../catalogue/define'
import { protocolNumber } from '../../catalogue/fields'
import { KEYS_MAX, listsOf, SHAPES_MAX } from './image'
import { type Family, familiesOf, hasPorts, isIcmp, matchOf, type Range, type Rule, type Rules } from './rule'

/** A firewall whose rules contradict each other does so in many places: the first few say it all. */
const CONTRADICTIONS_TOLD = 8

/** The rules have been found valid by their schema. */
export function checkRules({ rules = {} }: { rules?: Rules }): Problem[] {
  const problems = Object.entries(rules).flatMap(([key, rule]) =>
    checkFields(rule).map(problem => ({ ...problem, path: `rules.${key}.${problem.path}` }))
  )
  return problems.length > 0 ? problems : [...contradictions(rules), ...tooMany(rules)]
}

/** Fields that do not go together. */
function checkFields(rule: Rule): Problem[] {
  const { protocol: word, ports, source_ports: sourcePorts, icmp_type: type, icmp_code: code } = rule
  const protocol = word === undefined ? undefined : protocolNumber(word)
  const problems: Problem[] = []
  const needPorts = { message: `${word ?? 'any protocol'} has no ports`, hint: 'Set protocol to tcp, udp or sctp.' }
  const needIcmp = { message: `${word ?? 'any protocol'} has no ICMP messages`, hint: 'Set protocol to icmp or icmpv6.' }

  if (ports !== undefined && !hasPorts(protocol)) problems.push({ path: 'ports', ...needPorts })
  if (sourcePorts !== undefined && !hasPorts(protocol)) problems.push({ path: 'source_ports', ...needPorts })
  if (type !== undefined && !isIcmp(protocol)) problems.push({ path: 'icmp_type', ...needIcmp })
  if (code !== undefined && type === undefined)
    problems.push({ path: 'icmp_code', message: 'codes have a meaning only within a type', hint: 'Set icmp_type.' })
  return [...problems, ...checkFamilies(rule, protocol)]
}

function checkFamilies({ protocol: word, source, destination }: Rule, protocol?: number): Problem[] {
  const from = source === undefined ? undefined : parseCidr(source)
  const to = destination === undefined ? undefined : parseCidr(destination)
  if (familiesOf(undefined, from, to).length === 0)
    return [{ path: 'destination', message: `no packet goes from ${source} to ${destination}: one is IPv4, the other IPv6` }]
  if (familiesOf(protocol, from, to).length === 0)
    return [
      { path: 'protocol', message: `${word} is not of the IP version of ${source ?? destination}`, hint: 'IPv4 has icmp, IPv6 has icmpv6.' }
    ]
  return []
}

/** Rules of one rank must agree about every packet that they share. */
function contradictions(rules: Rules): Problem[] {
  const problems: Problem[] = []
  for (const [a, b] of contradictingPairs(Object.entries(rules))) {
    if (problems.length === CONTRADICTIONS_TOLD) break
    const [[first, { action }], [second, rule]] = [a, b]
    problems.push({
      path: `rules.${second}.priority`,
      message: `${first} (${action}) and ${second} (${rule.action}) have the same priority, ${rule.priority}, and some packets match both`,
      hint: 'Give one of them another priority: the lower number decides.'
    })
  }
  return problems
}

type Named = [key: string, rule: Rule]

/** The packets that a rule means, as a box: a range on each axis. */
interface Box {
  named: Named
  ranges: Range[]
}

function* contradictingPairs(rules: Named[]): Generator<[Named, Named]> {
  const ranks = new Map<string, Named[]>()
  for (const named of rules) {
    const rank = `${named[1].direction} ${named[1].priority}`
    if (!ranks.get(rank)?.push(named)) ranks.set(rank, [named])
  }
  for (const rank of ranks.values())
    if (rank.some(([, { action }]) => action !== rank[0]![1].action))
      for (const [a, b] of meetingPairs(boxesOf(rank))) if (a.named[1].action !== b.named[1].action) yield [a.named, b.named]
}

/** Sorted along the axis on which they differ most, each box need only be compared with those that begin before it ends. */
function* meetingPairs(boxes: Box[]): Generator<[Box, Box]> {
  const variety = boxes[0]!.ranges.map((_, axis) => new Set(boxes.map(({ ranges }) => ranges[axis]![0])).size)
  const axis = variety.indexOf(Math.max(...variety))
  const sorted = boxes.toSorted((a, b) => a.ranges[axis]![0] - b.ranges[axis]![0])
  for (const [n, a] of sorted.entries())
    for (let m = n + 1; m < sorted.length && sorted[m]!.ranges[axis]![0] <= a.ranges[axis]![1]; m++)
      if (meet(a.ranges, sorted[m]!.ranges)) yield [a, sorted[m]!]
}

function meet(a: Range[], b: Range[]): boolean {
  for (let axis = 0; axis < a.length; axis++) if (a[axis]![0] > b[axis]![1] || b[axis]![0] > a[axis]![1]) return false
  return true
}

function boxesOf(rules: Named[]): Box[] {
  const matched = rules.map(named => ({ named, match: matchOf(named[1]) }))
  const sources = ranksOf(matched.map(({ match }) => addressesOf(match.source, match.families)))
  const destinations = ranksOf(matched.map(({ match }) => addressesOf(match.destination, match.families)))
  return matched.map(({ named, match: { protocol, ports, sourcePorts } }, n) => ({
    named,
    ranges: [sources[n]!, destinations[n]!, [protocol ?? 0, protocol ?? 255], sourcePorts, ports]
  }))
}

type Addresses = readonly [first: bigint, last: bigint]

/** All addresses on one line: IPv6's, and IPv4's behind them. */
function addressesOf(prefix: Prefix | undefined, families: Family[]): Addresses {
  const [ipv4, end] = [1n << 128n, (1n << 128n) + (1n << 32n)]
  if (!prefix) return [families.includes(6) ? 0n : ipv4, families.includes(4) ? end - 1n : ipv4 - 1n]
  const hosts = 1n << BigInt((prefix.family === 4 ? 32 : 128) - prefix.length)
  const first = prefix.value + (prefix.family === 4 ? ipv4 : 0n)
  return [first, first + hosts - 1n]
}

/** The same ranges in small numbers. */
function ranksOf(ranges: Addresses[]): Range[] {
  const sorted = [...new Set(ranges.flat())].sort((a, b) => (a < b ? -1 : 1))
  const rank = new Map(sorted.map((value, n) => [value, n]))
  return ranges.map(([first, last]): Range => [rank.get(first)!, rank.get(last)!])
}

/** The kernel's tables have an end, and port ranges may need several keys. */
function tooMany(rules: Rules): Problem[] {
  const lists = listsOf(Object.entries(rules))
  const keys = lists.flatMap(({ groups }) => groups.map(group => group.rules.size)).reduce((sum, size) => sum + size, 0)
  const shapes = Math.max(...lists.map(({ groups }) => groups.length))
  const hint = 'Let port ranges begin and end at powers of two, and use prefixes of fewer lengths.'
  if (keys > KEYS_MAX) return [{ path: 'rules', message: `the rules make ${keys} table entries, of which ${KEYS_MAX} fit`, hint }]
  if (shapes > SHAPES_MAX)
    return [
      { path: 'rules', message: `the rules combine prefix lengths and port ranges in ${shapes} ways, of which ${SHAPES_MAX} fit`, hint }
    ]
  return []
}
