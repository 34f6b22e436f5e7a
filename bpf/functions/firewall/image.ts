// SPDX-License-Identifier: Apache-2.0
// From rules to the kernel's tables: tuple space search, one hash key for each rule in each of its shapes.

import { createHash } from 'node:crypto'
import { formatIp, type Prefix } from '../../catalogue/addresses'
import type { Entry, Image } from '../../catalogue/define'
import { type ACTIONS, DIRECTIONS, type Family, type Match, matchOf, type Range, type Rule, type Rules } from './rule'

/** Most keys of all rules together. */
export const KEYS_MAX = 65_536
/** Most shapes of one direction and family. */
export const SHAPES_MAX = 4096

/** Sizes of the maps, which hold two generations while one takes the place of the other. */
export const RULE_SIZES = { rules: 2 * KEYS_MAX, shapes: 2 * 4 * SHAPES_MAX }

/** Behind every rule that an operator can write. */
const DEFAULT_PRIORITY = 65_536

type Action = (typeof ACTIONS)[number]
type Direction = (typeof DIRECTIONS)[number]

export interface Config {
  default_ingress: Action
  default_egress: Action
  rules?: Rules
}

/** Which bits of a packet's fields rules look at. Lengths are of the mapped address: 96 more than written for IPv4. */
type Shape = {
  source_length: number
  destination_length: number
  source_port_mask: number
  destination_port_mask: number
  any_protocol: boolean
}

/** What these bits must be. */
type Key = {
  source: string
  destination: string
  source_port: number
  destination_port: number
  protocol: number
}

type Decision = {
  /** Names the rule among the counters for as long as it keeps its key, whatever becomes of other rules. */
  id: bigint
  priority: number
  action: Action
}

/** All rules of one shape. */
interface Group {
  shape: Shape
  /** The best of its rules. */
  priority: number
  rules: Map<string, { key: Key; decision: Decision }>
}

/** What packets of one direction and family are compared with, best priorities first. */
interface List {
  direction: Direction
  family: Family
  groups: Group[]
}

export function ruleImage(config: Config, { generation }: { generation: number }): Image {
  const named = [...Object.entries(config.rules ?? {}), ...defaultsOf(config)]
  const shapes: Entry[] = []
  const rules: Entry[] = []
  for (const { direction, family, groups } of listsOf(named))
    for (const [number, group] of groups.entries()) {
      const shape = { generation, number, direction, ipv6: family === 6 }
      shapes.push({ key: shape, value: { ...group.shape, priority: group.priority } })
      for (const { key, decision } of group.rules.values()) rules.push({ key: { shape, ...key }, value: decision })
    }
  return {
    maps: { shapes, rules },
    commit: { map: 'generation', entries: [{ key: 0, value: generation }] },
    labels: { rule_hits: Object.fromEntries(named.map(([name]) => [String(ruleId(name)), name])) }
  }
}

/** The default actions as rules that mean all packets. */
function defaultsOf(config: Config): [name: string, rule: Rule][] {
  return DIRECTIONS.map(direction => [
    `default ${direction}`,
    { direction, action: config[`default_${direction}`], priority: DEFAULT_PRIORITY }
  ])
}

export function listsOf(rules: [name: string, rule: Rule][]): List[] {
  return DIRECTIONS.flatMap(direction => {
    const matched = rules.filter(([, rule]) => rule.direction === direction).map(([name, rule]) => ({ name, rule, match: matchOf(rule) }))
    return ([4, 6] as const).map(family => {
      const groups = new Map<string, Group>()
      for (const { name, rule, match } of matched) if (match.families.includes(family)) addRule(groups, name, rule, match)
      return { direction, family, groups: [...groups.values()].sort((a, b) => a.priority - b.priority) }
    })
  })
}

/** Port ranges that are no single block of a power of two take several keys. */
function addRule(groups: Map<string, Group>, name: string, { priority, action }: Rule, match: Match): void {
  const decision = { id: ruleId(name), priority, action }
  for (const from of blocksOf(match.sourcePorts))
    for (const to of blocksOf(match.ports)) {
      const shape = {
        source_length: mappedLength(match.source),
        destination_length: mappedLength(match.destination),
        source_port_mask: from.mask,
        destination_port_mask: to.mask,
        any_protocol: match.protocol === undefined
      }
      const key = {
        source: mappedAddress(match.source),
        destination: mappedAddress(match.destination),
        source_port: from.port,
        destination_port: to.port,
        protocol: match.protocol ?? 0
      }
      addKey(groups, shape, key, decision)
    }
}

/** Of rules with the same key only the first in rank can ever decide. */
function addKey(groups: Map<string, Group>, shape: Shape, key: Key, decision: Decision): void {
  const group = groups.get(text(shape)) ?? { shape, priority: decision.priority, rules: new Map() }
  groups.set(text(shape), group)
  group.priority = Math.min(group.priority, decision.priority)
  const standing = group.rules.get(text(key))
  if (!standing || decision.priority < standing.decision.priority) group.rules.set(text(key), { key, decision })
}

function text(fields: Shape | Key): string {
  return Object.values(fields).join(' ')
}

const MAPPED_BITS = 96

/** A length of 0 means any address of the list's family. */
function mappedLength(prefix?: Prefix): number {
  if (!prefix || prefix.length === 0) return 0
  return prefix.length + (prefix.family === 4 ? MAPPED_BITS : 0)
}

function mappedAddress(prefix?: Prefix): string {
  return prefix && prefix.length > 0 ? formatIp(prefix) : '::'
}

/** The fewest aligned blocks of a power of two that make up the range. */
export function blocksOf([first, last]: Range): { port: number; mask: number }[] {
  const blocks = []
  for (let port = first; port <= last; ) {
    let size = 1
    while (port % (2 * size) === 0 && port + 2 * size - 1 <= last) size *= 2
    blocks.push({ port, mask: 0x10000 - size })
    port += size
  }
  return blocks
}

/** 64 bits of a digest: ten thousand rules share one with a probability of one in 10¹¹. */
function ruleId(name: string): bigint {
  return createHash('sha256').update(name).digest().readBigUInt64BE()
}
