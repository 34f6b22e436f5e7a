// SPDX-License-Identifier: Apache-2.0
// Generated patterns and packets: the loaded program finds what a plain model finds, and does with the packet what it says.

import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { loadFunction, type TestedFunction } from '../../testing/harness'
import { Random, SEED } from '../../testing/random'
import { inspect } from './inspect'
import { expected, type ModelConfig, type ModelPacket, type ModelPattern, type ModelRule } from './inspect.model'
import { clientHello, dnsOverTcp, dnsQuery, FAMILIES, hits, tcp, udp } from './testing'

const CONFIGS = 50
const PACKETS = 40

const random = new Random()
const below = (limit: number) => random.below(limit)
const pick = <T>(items: readonly T[]) => random.pick(items)
const maybe = <T>(make: () => T) => random.maybe(make)

/** Few letters: patterns overlap, contain and repeat each other. */
const word = (length: number) => Array.from({ length }, () => pick([...'aabBAB'])).join('')
const name = () => Array.from({ length: 1 + below(3) }, () => pick(['a', 'aa', 'b', 'B', 'ab', 'aB'])).join('.')
const row = <T extends object>(fields: T): T => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T
const table = <T>(count: number, make: () => T): Record<string, T> =>
  Object.fromEntries(Array.from({ length: count }, (_, n) => [`k${n}`, make()]))

function randomRule(): ModelRule {
  const protocol = maybe(() => pick(['tcp', 'udp'] as const))
  return row({
    direction: maybe(() => pick(['ingress', 'egress'] as const)),
    protocol,
    ports: protocol && maybe(() => pick(['80', '53-80', '81-90'])),
    action: pick(['count', 'divert', 'drop'] as const)
  })
}

function randomPattern(rules: ModelConfig['rules']): ModelPattern {
  const rule = pick(Object.keys(rules))
  const form = below(8)
  if (form === 0) return { rule, dns_name: name() }
  if (form === 1) return rules[rule]!.protocol === 'udp' ? { rule, dns_name: name() } : { rule, tls_name: name() }
  const text = word(1 + below(7))
  const offset = maybe(() => below(40))
  return row({ rule, text, ignore_case: maybe(() => true), offset, within: maybe(() => text.length + below(30)) })
}

function randomConfig(): ModelConfig {
  const rules = table(1 + below(6), randomRule)
  const one = pick(['count', 'divert', 'drop'] as const)
  const config = { rules, patterns: table(1 + below(40), () => randomPattern(rules)), depth: pick([47, 512, 513, 1400, 65_535]) }
  const contradicts = inspect.check!(config as never).length > 0
  return contradicts
    ? { ...config, rules: Object.fromEntries(Object.entries(rules).map(([key, rule]) => [key, { ...rule, action: one }])) }
    : config
}

function randomPacket(): ModelPacket {
  const protocol = pick(['tcp', 'udp'] as const)
  const to = { direction: pick(['ingress', 'egress'] as const), protocol, dport: pick([53, 80, 85, 443]) }
  const asked = name()
  switch (below(4)) {
    case 0:
      return { ...to, payload: protocol === 'udp' ? dnsQuery(asked) : dnsOverTcp(asked), asks: { protocol: 'dns_name', name: asked } }
    case 1:
      return {
        ...to,
        protocol: 'tcp',
        payload: clientHello(asked, { before: below(900), session: below(33) }),
        asks: { protocol: 'tls_name', name: asked }
      }
    default: {
      const gap = '-'.repeat(pick([0, 30, 500, 1300]))
      return { ...to, payload: Buffer.from(word(below(12)) + gap + word(below(60))) }
    }
  }
}

let tested: TestedFunction
beforeAll(async () => {
  tested = await loadFunction(inspect, { rules: {}, patterns: {} })
})
afterAll(() => tested?.close())

const WAYS = { drop: { went: 'nowhere' }, divert: { went: 'port', port: 'matched' } }

function forgetHits(): void {
  const table = tested.table('pattern_hits')
  for (const { key } of table.entries()) table.delete(key)
}

test(`${CONFIGS} sets of patterns are found in ${PACKETS} packets each as a plain model finds them (SEED=${SEED})`, () => {
  for (let n = 0; n < CONFIGS; n++) {
    const config = randomConfig()
    tested.apply({ ...config })
    for (let m = 0; m < PACKETS; m++) {
      const packet = randomPacket()
      const from = packet.direction === 'egress' ? 'inside' : 'outside'
      const frame = (packet.protocol === 'tcp' ? tcp : udp)(packet.payload, { family: pick(FAMILIES), from, dport: packet.dport })
      forgetHits()
      const outcome = tested.send(frame, { port: from })
      const { found, action } = expected(config, packet)
      const case_ = `SEED=${SEED} ${JSON.stringify({ ...config, ...packet, payload: packet.payload.toString('latin1') })}`
      expect([case_, Object.keys(hits(tested, config.patterns)).sort()]).toEqual([case_, found])
      const way = WAYS[action as keyof typeof WAYS] ?? { went: 'port', port: from === 'inside' ? 'outside' : 'inside' }
      expect([case_, outcome]).toMatchObject([case_, way])
    }
  }
})
