// SPDX-License-Identifier: Apache-2.0
// Generated rules, patterns and conversations: the loaded program finds what a plain model finds, and does with every packet what it says.

import { isDeepStrictEqual } from 'node:util'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { validateConfig } from '../../catalogue/validate'
import { INSTANCE_FIRST, slotOf } from '../../core/graph'
import { type Frame, fragments } from '../../packets/frame'
import { loadFunction, type TestedFunction } from '../../testing/harness'
import { Random, SEED } from '../../testing/random'
import { inspect } from './inspect'
import { type End, type Expected, Model, type ModelConfig, type ModelPacket, type ModelPattern, type ModelRule } from './inspect.model'
import { clientHello, dnsOverTcp, dnsQuery, FAMILIES, type Family, type Hits, hitsOf, ip, labelsOf } from './testing'

const CONFIGS = 250
const CONVERSATIONS = 40
const PACKETS_MAX = 5

const random = new Random()
const below = (limit: number) => random.below(limit)
const pick = <T>(items: readonly T[]) => random.pick(items)
const maybe = <T>(make: () => T) => random.maybe(make)
const opposite = (end: End): End => (end === 'inside' ? 'outside' : 'inside')

/** Few letters: patterns overlap, contain and repeat each other. */
const LETTERS = [...'aabBAB']
const word = (length: number) => Array.from({ length }, () => pick(LETTERS)).join('')
const name = () => Array.from({ length: 1 + below(3) }, () => pick(['a', 'aa', 'b', 'B', 'ab', 'aB'])).join('.')
const row = <T extends object>(fields: T): T => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T
const table = <T>(count: number, make: () => T): Record<string, T> =>
  Object.fromEntries(Array.from({ length: count }, (_, n) => [`k${n}`, make()]))

const ACTIONS = ['count', 'mirror', 'divert', 'drop'] as const
const CARRIERS = { dns_name: ['tcp', 'udp'], tls_name: ['tcp'] } as const
const withPorts = (protocol: string | undefined) => protocol !== undefined && !protocol.startsWith('icmp')

function randomRule(): ModelRule {
  const protocol = maybe(() => pick(['tcp', 'tcp', 'udp', 'udp', 'sctp', 'icmp', 'icmpv6']))
  const action = pick(ACTIONS)
  return row({
    direction: maybe(() => pick(['ingress', 'egress'] as const)),
    protocol,
    ports: withPorts(protocol) ? maybe(() => pick(['80', '53-80', '81-90', '1-1023'])) : undefined,
    source_ports: withPorts(protocol) && below(4) === 0 ? pick(['80', '1-1023', '1024-65535']) : undefined,
    action,
    follow: action === 'count' ? undefined : maybe(() => true)
  })
}

function randomPattern(rules: ModelConfig['rules']): ModelPattern {
  const rule = pick(Object.keys(rules))
  const { protocol } = rules[rule]!
  const carried = (['dns_name', 'tls_name'] as const).filter(form => !protocol || CARRIERS[form].includes(protocol as never))
  if (carried.length > 0 && below(4) === 0) return { rule, [pick(carried)]: name() }
  const text = word(1 + below(7))
  const place = { offset: maybe(() => below(40)), within: maybe(() => text.length + below(30)) }
  if (below(4) === 0) return row({ rule, hex: Buffer.from(text).toString('hex'), ...place })
  return row({ rule, text, ignore_case: maybe(() => true), ...place })
}

/** Patterns that contradict each other are refused: then all rules have one action. */
function randomConfig(): ModelConfig {
  const rules = table(1 + below(6), randomRule)
  const config = { rules, patterns: table(1 + below(30), () => randomPattern(rules)), depth: pick([47, 512, 513, 1400, 65_535]) }
  if (validateConfig(inspect, { ...config }).problems.length === 0) return config
  const action = pick(ACTIONS)
  const alike = ({ follow, ...rule }: ModelRule) => row({ ...rule, action, follow: action === 'count' ? undefined : follow })
  return { ...config, rules: Object.fromEntries(Object.entries(rules).map(([key, rule]) => [key, alike(rule)])) }
}

const PROTOCOLS = ['tcp', 'tcp', 'tcp', 'udp', 'udp', 'sctp', 'icmp'] as const

/** Two ends that talk: all its packets are of one flow, if its protocol has any. */
interface Conversation {
  family: Family
  protocol: (typeof PROTOCOLS)[number]
  client: End
  /** The client's port, or the identifier of its pings. */
  number: number
  port: number
}

let conversations = 0

function randomConversation(): Conversation {
  const protocol = pick(PROTOCOLS)
  return {
    family: pick(FAMILIES),
    protocol,
    client: pick(['inside', 'outside']),
    number: 1024 + (conversations++ % 60_000),
    port: pick([53, 80, 85, 443])
  }
}

function randomPayload({ protocol }: Conversation): Pick<ModelPacket, 'payload' | 'train' | 'asks'> {
  const asked = name()
  const form = below(6)
  if (form === 0 && (protocol === 'udp' || protocol === 'tcp'))
    return { payload: protocol === 'udp' ? dnsQuery(asked) : dnsOverTcp(asked), asks: { protocol: 'dns_name', name: asked } }
  if (form === 1 && protocol === 'tcp')
    return { payload: clientHello(asked, { before: below(900), session: below(33) }), asks: { protocol: 'tls_name', name: asked } }
  if (form === 2) return { payload: Buffer.alloc(0) }
  const gap = '-'.repeat(pick([0, 0, 10, 30, 490 + below(25), 1004 + below(25), 1300]))
  const train = (protocol === 'tcp' || protocol === 'udp') && below(4) === 0 ? pick([5, 20, 50, 300]) : undefined
  return { payload: Buffer.from(word(below(12)) + gap + word(below(40))), train }
}

interface Sent extends ModelPacket {
  bytes: Uint8Array
}

function randomPacket(conversation: Conversation): Sent {
  const { family, protocol, client, number, port } = conversation
  const sender = below(3) === 0 ? opposite(client) : client
  const [sport, dport] = sender === client ? [number, port] : [port, number]
  const content = randomPayload(conversation)
  const begins = protocol === 'tcp' && below(6) === 0
  const frame = frameOf(conversation, sender, begins).payload(content.payload)
  const packet = { sender, returns: below(6) === 0, flow: `IPv${family} ${protocol} ${number}`, begins, ...content }
  const said = protocol === 'icmp' && family === 6 ? 'icmpv6' : protocol
  if (content.payload.length > 24 && below(10) === 0) {
    const later = fragments(frame, 24).at(-1)!
    return { ...packet, protocol: said, sport, dport, flow: undefined, begins: false, later: true, train: undefined, bytes: later }
  }
  const ports = protocol === 'icmp' ? { sport: 0, dport: 0 } : { sport, dport }
  return { ...packet, protocol: said, ...ports, bytes: frame.bytes() }
}

function frameOf({ family, protocol, client, number, port }: Conversation, sender: End, begins: boolean): Frame {
  const [sport, dport] = sender === client ? [number, port] : [port, number]
  const packet = ip(sender, family)
  switch (protocol) {
    case 'tcp':
      return packet.tcp({ sport, dport, flags: begins ? 'S' : 'PA' })
    case 'icmp':
      return family === 4
        ? packet.icmp({ type: sender === client ? 8 : 0, id: number })
        : packet.icmpv6({ type: sender === client ? 128 : 129, id: number })
    default:
      return packet[protocol]({ sport, dport })
  }
}

/** One for all: it has room for all states that patterns of these lengths make, and for flows. */
let tested: TestedFunction
beforeAll(async () => {
  const rules = { any: { action: 'drop', follow: true } }
  tested = await loadFunction(inspect, { rules, patterns: {}, max_sessions: 1024 })
})
afterAll(() => tested?.close())

/** Whether something lies behind `matched`. */
function randomStitch(): boolean {
  const stitched = below(4) > 0
  const probe = { target: INSTANCE_FIRST + 1, port: 2, kind: 'ATTACHED_FUNCTION' }
  tested.table('stitches').put(slotOf(INSTANCE_FIRST, 2), stitched ? probe : { target: 0, port: 0, kind: 'ATTACHED_NOTHING' })
  return stitched
}

function send({ returns, sender, bytes, train }: Sent): Omit<Expected, 'found'> {
  const { went, port, counted } = tested.send(bytes, { port: returns ? 'matched' : sender, gso_size: train })
  // In a test run a copy has no device to go to.
  const { no_room: _, ...others } = counted
  return { way: went === 'port' ? (port as End) : (went as 'nowhere'), counted: others }
}

function forgetHits(): void {
  const table = tested.table('pattern_hits')
  for (const { key } of table.entries()) table.delete(key)
}

/** How often packets went a way, or a counter moved. */
const seen = new Map<string, number>()

/** Sends the packets of a conversation and of another beside it. `hits`: what is to be counted of every pattern. */
function converse(model: Model, config: ModelConfig, hits: Record<string, Hits>): void {
  const one = randomConversation()
  const beside = { ...one, protocol: pick(PROTOCOLS), family: pick(FAMILIES) }
  const packets = Array.from({ length: 1 + below(PACKETS_MAX) }, () => randomPacket(below(4) ? one : beside))
  for (const [n, packet] of packets.entries()) {
    const { found, ...expected } = model.send(packet)
    const outcome = send(packet)
    if (!isDeepStrictEqual(outcome, expected)) {
      const told = packets.slice(0, n + 1).map(({ bytes, payload, ...said }) => ({ ...said, payload: payload.toString('latin1') }))
      expect([SEED, config, told, outcome]).toEqual([SEED, config, told, expected])
    }
    for (const what of [outcome.way, ...Object.keys(outcome.counted)]) seen.set(what, 1 + (seen.get(what) ?? 0))
    for (const key of found) {
      hits[key] ??= { packets: 0, bytes: 0 }
      hits[key].packets++
      hits[key].bytes += packet.bytes.length
    }
  }
}

test(`${CONFIGS * CONVERSATIONS} conversations under ${CONFIGS} sets of rules and patterns go as a plain model says (SEED=${SEED})`, () => {
  for (let n = 0; n < CONFIGS; n++) {
    const config = randomConfig()
    const model = new Model(config, randomStitch())
    const hits: Record<string, Hits> = {}
    tested.apply({ ...config, max_sessions: 1024 })
    forgetHits()
    for (let m = 0; m < CONVERSATIONS; m++) converse(model, config, hits)
    expect([SEED, config, hitsOf(tested, labelsOf(config.patterns))]).toEqual([SEED, config, hits])
  }
  const unseen = ['inside', 'outside', 'matched', 'nowhere', 'unstitched', ...Object.keys(inspect.counters)].filter(what => !seen.has(what))
  expect(unseen).toEqual([])
})
