// SPDX-License-Identifier: Apache-2.0
// Generated sequences: whatever two ends and those between them send, while rules change and time passes, the loaded program does as the model says.

import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { eth, type Frame } from '../../packets/frame'
import { loadFunction, type Outcome, type TestedFunction } from '../../testing/harness'
import { Random, SEED } from '../../testing/random'
import { firewall } from './firewall'
import {
  type Ends,
  type Fate,
  FirewallModel,
  icmpTypeOf,
  LATE_ACK,
  type ModelConfig,
  type ModelRule,
  type Packet,
  type SctpChunk,
  type Segment,
  SILENCE
} from './firewall.model'
import { forgetAll, other, type Side, wait } from './testing'

/** Each of some packets: 10,000 sequences. */
const CONFIGURATIONS = 50
const SEQUENCES = 200
const PAUSE = 500

/** Few of everything, so that ends meet again. */
const WORLD = {
  4: { inside: ['10.0.0.1', '10.0.0.2'], outside: ['192.0.2.7', '198.51.100.7'], router: '203.0.113.1', lengths: [undefined, 28] },
  6: { inside: ['fd00::1', 'fd00::2'], outside: ['2001:db8::7', '2001:db8:1::7'], router: '2001:db8:f::1', lengths: [undefined, 48] }
}
const PORTS = { inside: [40_000, 40_001, 22], outside: [80, 53] }
const PROTOCOLS = ['tcp', 'tcp', 'tcp', 'tcp', 'udp', 'udp', 'echo', 'sctp', 'gre', 'stamp'] as const
const NUMBERS: Record<Packet['protocol'], number[]> = {
  tcp: [6, 6],
  udp: [17, 17],
  gre: [47, 47],
  sctp: [132, 132],
  request: [1, 58],
  reply: [1, 58],
  stamp: [1, 58]
}
const CHUNKS: Record<SctpChunk, number> = { data: 0, init: 1, heartbeat: 4, abort: 6, 'shutdown complete': 14 }
/** Positions where nothing is known; the first ones lie on both sides of where numbers go round. */
const POSITIONS = [-5, 1000, 4_000_000]

let tested: TestedFunction
beforeAll(async () => {
  tested = await loadFunction(
    firewall,
    settings({ rules: [], defaults: { ingress: 'deny', egress: 'deny' }, rejudge: false, pickUp: false })
  )
})
afterAll(() => tested?.close())

function settings({ rules, defaults, rejudge, pickUp }: ModelConfig): Record<string, unknown> {
  return {
    max_sessions: 2048,
    tcp_established_timeout: `${SILENCE.established}s`,
    tcp_transient_timeout: `${SILENCE.transient}s`,
    udp_timeout: `${SILENCE.udp}s`,
    icmp_timeout: `${SILENCE.echo}s`,
    other_timeout: `${SILENCE.other}s`,
    default_ingress: defaults.ingress,
    default_egress: defaults.egress,
    rejudge,
    pick_up: pickUp,
    rules: Object.fromEntries(rules.map((rule, n) => [`r${n}`, rule]))
  }
}

function configOf(random: Random): ModelConfig {
  const action = () => random.pick(['allow', 'allow', 'allow', 'deny', 'reject'])
  return {
    rules: Array.from({ length: random.below(8) }, (_, priority) => ruleOf(random, priority, action())),
    defaults: { ingress: action(), egress: action() },
    rejudge: random.below(2) === 0,
    pickUp: random.below(3) === 0
  }
}

function ruleOf(random: Random, priority: number, action: string): ModelRule {
  const family = random.pick([4, 6] as const)
  const direction = random.pick(['ingress', 'egress'] as const)
  const [source, destination] = direction === 'egress' ? (['inside', 'outside'] as const) : (['outside', 'inside'] as const)
  const prefix = (side: Side) => `${random.pick(WORLD[family][side])}/${family === 4 ? 32 : 128}`
  const protocol = random.pick([undefined, 'tcp', 'tcp', 'udp', 'sctp', '47', family === 4 ? 'icmp' : 'icmpv6'])
  const rule = {
    ...{ direction, priority, action, protocol },
    source: random.below(3) ? undefined : prefix(source),
    destination: random.below(3) ? undefined : prefix(destination),
    ports: ['tcp', 'udp', 'sctp'].includes(protocol!) && random.below(2) ? random.pick(['1-60', '80', '40000']) : undefined,
    icmp_type: protocol?.startsWith('icmp') && random.below(2) ? random.pick(family === 4 ? [8, 13] : [128, 150]) : undefined
  }
  return Object.fromEntries(Object.entries(rule).filter(([, value]) => value !== undefined)) as unknown as ModelRule
}

/** The two ends of what may become a session. */
interface Flow {
  family: 4 | 6
  protocol: (typeof PROTOCOLS)[number]
  inside: { address: string; port: number }
  outside: { address: string; port: number }
}

class Sequences {
  private readonly history: string[] = []
  private readonly model: FirewallModel

  constructor(
    private readonly random: Random,
    config: ModelConfig
  ) {
    this.model = new FirewallModel(config)
    this.configure(config)
  }

  configure(config: ModelConfig): void {
    tested.apply(settings(config))
    this.model.configure(config)
    this.history.push(JSON.stringify(config))
  }

  pause(seconds: number): void {
    wait(tested, seconds)
    this.model.wait(seconds)
    this.history.push(`${seconds} s pass`)
  }

  run(): void {
    const flow = this.flow()
    for (let n = 3 + this.random.below(5); n > 0; n--) {
      const side = this.random.pick(['inside', 'outside'] as const)
      const action = this.random.below(20)
      if (action < 15) this.say(side, this.packet(side, flow))
      else if (action < 17) this.complain(side, this.packet(other(side), flow))
      else if (action < 18) this.say(side, { ...this.packet(side, flow), fragment: 1 + this.random.below(3) })
      else if (action < 19) this.continue(side, { ...this.packet(side, flow), fragment: 1 + this.random.below(3) })
      else this.say(side, this.packet(side, this.flow()))
    }
  }

  private flow(): Flow {
    const { random } = this
    const family = random.pick([4, 6] as const)
    const end = (side: Side) => ({ address: random.pick(WORLD[family][side]), port: random.pick(PORTS[side]) })
    return { family, protocol: random.pick(PROTOCOLS), inside: end('inside'), outside: end('outside') }
  }

  private packet(side: Side, flow: Flow): Packet {
    const { random } = this
    const [from, to] = [flow[side], flow[other(side)]]
    const ends = { src: from.address, dst: to.address, sport: from.port, dport: to.port }
    const { protocol } = flow
    if (protocol === 'tcp') return { ...ends, protocol, segment: this.segment(side, ends) }
    if (protocol === 'sctp')
      return { ...ends, protocol, chunk: random.pick(['init', 'data', 'data', 'heartbeat', 'abort', 'shutdown complete']) }
    if (protocol === 'stamp') return { ...ends, sport: 0, dport: 0, protocol, code: random.below(2) }
    if (protocol === 'gre') return { ...ends, sport: 0, dport: 0, protocol }
    if (protocol === 'echo') return random.below(2) ? { ...ends, dport: 0, protocol: 'request' } : { ...ends, sport: 0, protocol: 'reply' }
    const [client, server] = flow.family === 4 ? [68, 67] : [546, 547]
    const dhcp = side === 'inside' ? { sport: client, dport: server } : { sport: server, dport: client }
    return { ...ends, protocol, ...(random.below(20) === 0 && dhcp) }
  }

  /** Mostly what an end would say next, as far as there is a connection; else anything. */
  private segment(side: Side, ends: Ends): Segment {
    const { random } = this
    const known = this.model.connection(side, ends)
    const flags = random.pick(FLAGS[known?.state ?? 'none'])
    const payload = flags.includes('P') ? 1 + random.below(300) : 0
    const window = random.pick(WINDOWS)
    if (!known) return { flags, payload, window, seq: random.pick(POSITIONS), ack: flags.includes('A') ? random.pick(POSITIONS) : 0 }
    const { sent, acked } = known.ends[side]
    const begin = flags === 'S' ? random.pick([...POSITIONS, sent - 1]) : sent + random.pick(OFFSETS)
    const ack = random.pick([known.ends[other(side)].sent, acked]) + random.pick([...OFFSETS, -LATE_ACK, -LATE_ACK - 1])
    return { flags, payload, window, seq: begin, ack: flags.includes('A') ? ack : 0 }
  }

  private say(side: Side, packet: Packet): void {
    const frame = frameOf(packet).bytes()
    const fate = this.model.fateOf(side, packet, transportLength(frame))
    this.agree(`${side} ${JSON.stringify(packet)}`, side, frame, fate, packet)
  }

  /** A later fragment of the packet. */
  private continue(side: Side, packet: Packet): void {
    const offset = this.random.pick([8, 16, 24, 40, 400])
    const { src, dst, fragment: id, protocol } = packet
    const number = NUMBERS[protocol][src.includes(':') ? 1 : 0]!
    const frame = src.includes(':')
      ? eth().ipv6({ src, dst }).fragment({ id, offset, next: number })
      : eth().ipv4({ src, dst, id, offset, protocol: number })
    const fate = this.model.fateOfLater(side, packet, offset)
    this.agree(`${side} from ${offset} on: ${JSON.stringify(packet)}`, side, frame.payload(16).bytes(), fate)
  }

  /** Somebody behind `side` tells the sender of a packet that it did not arrive, or someone else of it. */
  private complain(side: Side, quoted: Packet): void {
    const { random } = this
    const family = quoted.src.includes(':') ? 6 : 4
    const { router, lengths } = WORLD[family]
    const dst = random.below(6) ? quoted.src : random.pick(WORLD[family][other(side)])
    const arrives = random.below(8) ? side : other(side)
    const header = family === 4 ? eth().ipv4({ src: router, dst }) : eth().ipv6({ src: router, dst })
    const error = family === 4 ? header.icmp({ type: random.pick([3, 11, 12]) }) : header.icmpv6({ type: random.pick([1, 2, 3, 4]) })
    const fate = this.model.fateOfError(arrives, dst, quoted)
    const said = `${arrives} tells ${dst} of ${JSON.stringify(quoted)}`
    this.agree(said, arrives, error.quote(frameOf(quoted), random.pick(lengths)).bytes(), fate)
  }

  private agree(said: string, side: Side, sent: Buffer, fate: Fate, asked?: Packet): void {
    const seen = observed(side, tested.send(sent, { port: side }), sent, asked)
    const expected = { ...fate, counted: fate.counted.toSorted(), ...(fate.goes === 'back' && { answer: answerTo(asked!) }) }
    this.history.push(said)
    if (JSON.stringify(seen) === JSON.stringify(expected)) return
    expect(`SEED=${SEED}\n${this.history.slice(-80).join('\n')}\n${JSON.stringify(seen)}`).toBe(JSON.stringify(expected))
  }
}

/** What an end may say, by the state of its connection. */
const FLAGS = {
  none: ['S', 'S', 'S', 'S', 'A', 'PA', 'SA', 'FA', 'R', 'RA', 'SF', 'U'],
  opened: ['SA', 'SA', 'SA', 'SA', 'S', 'S', 'A', 'R', 'RA', 'FA'],
  answered: ['A', 'A', 'A', 'PA', 'PA', 'SA', 'S', 'FA', 'R', 'RA'],
  established: ['A', 'A', 'PA', 'PA', 'PA', 'PUA', 'FA', 'FA', 'SA', 'S', 'R', 'RA', 'SF', ''],
  closing: ['A', 'A', 'A', 'FA', 'FA', 'PA', 'S', 'R', 'SR'],
  closed: ['S', 'A', 'FA', 'SA', 'R']
}
const WINDOWS = [1000, 1000, 1000, 600, 0]
/** From where an end has got to: mostly there, else near the edges of the windows. */
const OFFSETS = [0, 0, 0, 0, 0, 0, 0, 0, -1, 1, -300, 300, 1000, -1000, 1200, 1201, -1201, 2000, 2001, -2000, -2001, 3_000_000]

function frameOf(packet: Packet): Frame {
  const { src, dst, sport, dport, fragment: id, protocol } = packet
  const isIpv6 = src.includes(':')
  const number = protocol === 'gre' ? 47 : undefined
  const whole = isIpv6
    ? eth().ipv6({ src, dst, next: id === undefined ? number : undefined })
    : eth().ipv4({ src, dst, id, mf: id !== undefined, protocol: number })
  const ip = isIpv6 && id !== undefined ? whole.fragment({ id, mf: true, next: number }) : whole
  if (protocol === 'gre') return ip.payload(16)
  if (protocol === 'udp') return ip.udp({ sport, dport }).payload(16)
  if (protocol === 'sctp') return ip.sctp({ sport, dport }).payload(Buffer.from([CHUNKS[packet.chunk], 0, 0, 4]))
  if (protocol === 'tcp') {
    const { flags, seq, ack, payload, window } = packet.segment
    return ip.tcp({ sport, dport, flags, seq: seq >>> 0, ack: ack >>> 0, window }).payload(payload)
  }
  const icmp = { type: icmpTypeOf(packet), code: protocol === 'stamp' ? packet.code : 0, id: sport || dport }
  return isIpv6 ? ip.icmpv6(icmp) : ip.icmp(icmp)
}

/** The bytes behind all IP headers. */
function transportLength(bytes: Buffer): number {
  if (bytes.readUInt16BE(12) === 0x0800) return bytes.length - 34
  return bytes.length - (bytes[20] === 44 ? 62 : 54)
}

/** What the kernel did, in the words of the model. */
function observed(side: Side, outcome: Outcome, sent: Buffer, asked?: Packet): Record<string, unknown> {
  const { went, port, counted, bytes } = outcome
  const seen = { goes: went === 'port' ? (port === side ? 'back' : 'on') : went, counted: Object.keys(counted).toSorted() }
  if (seen.goes === 'on' && !bytes.equals(sent)) return { ...seen, changed: bytes.toString('hex') }
  return seen.goes === 'back' ? { ...seen, answer: readAnswer(outcome, asked) } : seen
}

function readAnswer(outcome: Outcome, asked: Packet | undefined): unknown {
  const { ipv4, ipv6, tcp, icmp, icmpv6, quoted } = outcome.parsed()
  const { src, dst } = (ipv4 ?? ipv6)!
  if (tcp) return { src, dst, sport: tcp.sport, dport: tcp.dport, flags: tcp.flags, seq: tcp.seq, ack: tcp.ack }
  const { type, code } = (icmp ?? icmpv6)!
  const original = asked && frameOf(asked).bytes().subarray(14)
  return { src, dst, type, code, quotes: original?.subarray(0, quoted!.length).equals(quoted!) }
}

/** RFC 9293 3.10.7.1, RFC 1812 5.2.7.1, RFC 4443 3.1. */
function answerTo(packet: Packet): unknown {
  const { src, dst, sport, dport } = packet
  if (packet.protocol !== 'tcp')
    return { src: dst, dst: src, ...(src.includes(':') ? { type: 1, code: 1 } : { type: 3, code: 13 }), quotes: true }
  const { flags, seq, ack, payload } = packet.segment
  const end = (seq + payload + [...flags].filter(flag => 'SF'.includes(flag)).length) >>> 0
  const numbers = flags.includes('A') ? { flags: 'R', seq: ack >>> 0, ack: 0 } : { flags: 'RA', seq: 0, ack: end }
  return { src: dst, dst: src, sport: dport, dport: sport, ...numbers }
}

test(`${CONFIGURATIONS * SEQUENCES} sequences go as the model says (SEED=${SEED})`, () => {
  const random = new Random(SEED)
  for (let n = 0; n < CONFIGURATIONS; n++) {
    forgetAll(tested)
    const sequences = new Sequences(random, configOf(random))
    for (let m = 0; m < SEQUENCES; m++) {
      sequences.run()
      if (random.below(25) === 0) sequences.configure(configOf(random))
      if (random.below(40) === 0) sequences.pause(random.pick([0, PAUSE]))
    }
  }
}, 180_000)
