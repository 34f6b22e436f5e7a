// SPDX-License-Identifier: Apache-2.0
// From rules and patterns to the kernel's tables: one automaton for each way in which patterns are looked for.

import { createHash } from 'node:crypto'
import type { Entry, Image } from '../../catalogue/define'
import { sessionSizes } from '../../core/session'
import { type Automaton, buildAutomaton, stateCount, type Word } from './automaton'
import { bytesOf, formOf, ignoresCase, isName, type Pattern, type Patterns, windowOf } from './pattern'
import { DIRECTIONS, portsOf, protocolOf, type Rule, type Rules } from './rule'
import { makeSieve } from './sieve'

/** Most states of all automata together: their numbers have 15 bits, and two generations. */
export const STATES_MAX = 16_384
const STATES_MIN = 256

/** As in automaton.h. */
const MATCHES = 0x8000
const PATTERNS_MAX = 1024

/** Sessions are remembered only where a rule follows flows. */
const NO_SESSIONS = { sessions4: 64, sessions6: 64 }

export interface Config {
  rules: Rules
  patterns: Patterns
  depth: number
  max_sessions: number
}

/** Which patterns each automaton looks for. Names have automata of their own, which are led through nothing but names. */
const AUTOMATA = {
  exact: (pattern: Pattern) => !isName(pattern) && !ignoresCase(pattern),
  folded: (pattern: Pattern) => !isName(pattern) && ignoresCase(pattern),
  dns: (pattern: Pattern) => formOf(pattern) === 'dns_name',
  tls: (pattern: Pattern) => formOf(pattern) === 'tls_name'
}

/** Those that look anywhere in a payload have sieves: the first of them. */
const SIEVES = 2

type Named = [name: string, pattern: Pattern]

export function inspectImage(config: Config, { generation }: { generation: number }): Image {
  const half = generation % 2
  const ruleNumbers = new Map(Object.keys(config.rules).map((name, number) => [name, number]))
  const ruleNumber = ({ rule }: Pattern) => ruleNumbers.get(rule)!
  const patterns = Object.entries(config.patterns)
  const firstPattern = half * PATTERNS_MAX + 1
  const states: Entry[] = []
  const sieves: Entry[] = []
  const firstState = half * statesOf(config)
  const chained = new Map<number, number>()

  const automata = Object.entries(AUTOMATA).map(([kind, belongs], n) => {
    const numbered = patterns.map((named, n) => ({ named, number: firstPattern + n })).filter(({ named }) => belongs(named[1]))
    const words = wordsOf(numbered)
    const automaton = buildAutomaton(words, kind !== 'exact')
    const root = firstState + states.length
    if (numbered.length > 0) states.push(...entriesOf(automaton, root))
    for (const [number, next] of automaton.chained) chained.set(number, next)
    const { bits, mask, shift } = makeSieve(
      words.map(({ bytes }) => bytes),
      kind !== 'exact'
    )
    const sieve = n < SIEVES ? half * SIEVES + n : 0
    if (n < SIEVES) sieves.push({ key: sieve, value: { bits } })
    const named = numbered.map(({ named }) => named)
    return [
      kind,
      { root, shallow: root + automaton.firstBytes, ...summaryOf(named, config.depth, ruleNumber), sieve, mask, shift }
    ] as const
  })

  const search = {
    ...Object.fromEntries(automata),
    rules: Object.values(config.rules).map(ruleValue),
    rule_count: ruleNumbers.size,
    follows: Object.values(config.rules).some(({ follow }) => follow)
  }
  const records = patterns.map(([name, pattern], n) => {
    const [first, end] = isName(pattern) ? [0, 0xffff] : windowOf(pattern, config.depth)
    const length = isName(pattern) ? 0 : bytesOf(pattern).length
    const next = chained.get(firstPattern + n) ?? 0
    return { key: firstPattern + n, value: { id: patternId(name), first, end, length, next, rule: ruleNumber(pattern) } }
  })
  return {
    maps: { states, sieves, patterns: records, searches: [{ key: half, value: search }] },
    commit: { map: 'generation', entries: [{ key: 0, value: generation }] },
    labels: { pattern_hits: Object.fromEntries(patterns.map(([name]) => [String(patternId(name)), name])) }
  }
}

/**
 * The maps hold two generations while one takes the place of the other. `generation` has as many entries as `states`, though only the first counts, so
 * that states of another size come with a generation of their own: the program that runs until then keeps both.
 */
export function inspectSizes(config: Config): Record<string, number> {
  const states = 2 * statesOf(config)
  const follows = Object.values(config.rules).some(({ follow }) => follow)
  return { states, generation: states, ...(follows ? sessionSizes(config) : NO_SESSIONS) }
}

/** States of one generation, in steps: few changes of the patterns make maps of another size. */
function statesOf({ patterns }: Config): number {
  const count = countStates(patterns)
  return Math.max(STATES_MIN, 2 ** Math.ceil(Math.log2(count)))
}

export function countStates(patterns: Patterns): number {
  const numbered = Object.entries(patterns).map((named, number) => ({ named, number }))
  return Object.values(AUTOMATA)
    .map(belongs => stateCount(wordsOf(numbered.filter(({ named }) => belongs(named[1])))))
    .reduce((sum, count) => sum + count, 0)
}

function wordsOf(numbered: { named: Named; number: number }[]): Word[] {
  return numbered.map(({ named, number }) => ({ bytes: bytesOf(named[1]), number }))
}

function entriesOf({ next, match }: Automaton, root: number): Entry[] {
  const targets = Uint16Array.from(match, (word, state) => (root + state) | (word === undefined ? 0 : MATCHES))
  const all = new Uint16Array(next.length)
  for (let n = 0; n < next.length; n++) all[n] = targets[next[n]!]!
  return match.map((word = 0, state) => ({ key: root + state, value: { next: all.subarray(256 * state, 256 * (state + 1)), match: word } }))
}

/** How many bytes an automaton need be led through, and which rules want that. */
function summaryOf(named: Named[], depth: number, ruleNumber: (pattern: Pattern) => number) {
  const reach = Math.max(0, ...named.map(([, pattern]) => windowOf(pattern, depth)[1]))
  const rules = named.reduce((mask, [, pattern]) => (mask | (1 << ruleNumber(pattern))) >>> 0, 0)
  return { reach, rules }
}

function ruleValue(rule: Rule) {
  const protocol = protocolOf(rule)
  const [first_port, last_port] = portsOf(rule.ports)
  const [first_source, last_source] = portsOf(rule.source_ports)
  const ways = rule.direction === undefined ? DIRECTIONS : [rule.direction]
  return {
    first_port,
    last_port,
    first_source,
    last_source,
    any_protocol: protocol === undefined,
    protocol: protocol ?? 0,
    ingress: ways.includes('ingress'),
    egress: ways.includes('egress'),
    action: rule.action,
    follow: rule.follow
  }
}

/** 64 bits of a digest: a thousand patterns share one with a probability of one in 10¹³. */
function patternId(name: string): bigint {
  return createHash('sha256').update(name).digest().readBigUInt64BE()
}
