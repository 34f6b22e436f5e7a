// SPDX-License-Identifier: Apache-2.0
// What the firewall must do, in the plainest words: rules asked one by one, a list of sessions, connections in numbers that never go round. Written from the README.

import { cidrContains } from '../../catalogue/addresses'
import { other, type Side } from './testing'

export interface ModelRule {
  direction: 'ingress' | 'egress'
  priority: number
  action: string
  protocol?: string
  source?: string
  destination?: string
  ports?: string
  source_ports?: string
  icmp_type?: number
  icmp_code?: number
}

/** The packet that opens a session, as rules see it. */
export interface Opening {
  direction: 'ingress' | 'egress'
  protocol: string
  src: string
  dst: string
  sport: number
  dport: number
  type: number
  code: number
}

const within = (value: number, range?: string) => {
  if (range === undefined) return true
  const [first, last = first] = range.split('-').map(Number)
  return first! <= value && value <= last!
}

function matches(rule: ModelRule, opening: Opening): boolean {
  return (
    rule.direction === opening.direction &&
    (rule.protocol === undefined || rule.protocol === opening.protocol) &&
    (rule.source === undefined || cidrContains(rule.source, opening.src)) &&
    (rule.destination === undefined || cidrContains(rule.destination, opening.dst)) &&
    within(opening.dport, rule.ports) &&
    within(opening.sport, rule.source_ports) &&
    (rule.icmp_type === undefined || rule.icmp_type === opening.type) &&
    (rule.icmp_code === undefined || rule.icmp_code === opening.code)
  )
}

/** The action of the rule of lowest priority number that matches, or of the default. */
export function decide(rules: ModelRule[], defaults: Record<'ingress' | 'egress', string>, opening: Opening): string {
  const first = rules.filter(rule => matches(rule, opening)).sort((a, b) => a.priority - b.priority)[0]
  return first?.action ?? defaults[opening.direction]
}

export interface ModelConfig {
  rules: ModelRule[]
  defaults: Record<'ingress' | 'egress', string>
  rejudge: boolean
  pickUp: boolean
}

/** Positions in the streams of both ends are whole numbers, which a frame has modulo 2³². */
export interface Segment {
  flags: string
  seq: number
  ack: number
  payload: number
  /** In bytes: none is scaled. */
  window: number
}

export type SctpChunk = 'data' | 'init' | 'heartbeat' | 'abort' | 'shutdown complete'

/** `sport` of an echo request and `dport` of its reply are its identifier. */
export interface Ends {
  src: string
  dst: string
  sport: number
  dport: number
}

export type Packet = Ends & {
  /** Set of the first fragment of a packet: the number that all its fragments have. */
  fragment?: number
} & (
    | { protocol: 'tcp'; segment: Segment }
    | { protocol: 'sctp'; chunk: SctpChunk }
    | { protocol: 'udp' | 'gre' | 'request' | 'reply' }
    /** ICMP without sessions. */
    | { protocol: 'stamp'; code: number }
  )

/** What names a session. */
type Named = Ends & Pick<Packet, 'protocol'>

/** What becomes of a packet: it goes on, or an answer goes back, or nothing goes anywhere; and the counters that move. */
export interface Fate {
  goes: 'on' | 'back' | 'nowhere'
  counted: string[]
}

/** How far an acknowledgement may lag. */
export const LATE_ACK = 66_000

/** RFC 1858: a later fragment must not reach into the fields by which the first was judged. */
const TCP_FLAGS_END = 16

/** Seconds; no sum of a test's pauses comes near one of them. */
export const SILENCE = { established: 5250, transient: 2250, udp: 1250, echo: 750, other: 3250, fragment: 30 }

type Relation = 'belongs' | 'opens' | 'contradicts'

interface End {
  /** The position behind the last byte that it has sent. */
  sent: number
  /** The position that it waits for, of the other's. */
  acked: number
  /** The most that it has offered: nothing before it has answered. */
  window: number
}

/** A TCP connection, as someone between its ends sees it. */
export class Connection {
  readonly ends: Record<Side, End>
  state: 'opened' | 'answered' | 'established' | 'closing' | 'closed' = 'opened'
  /** Its positions are not known well enough to judge by them. */
  unchecked = false
  private finished = new Set<Side>()
  private isReopening = false

  constructor(
    private readonly opener: Side,
    segment: Segment
  ) {
    const own = { sent: endOf(segment), acked: segment.ack, window: segment.window }
    const far = { sent: segment.ack, acked: segment.flags.includes('S') ? segment.seq + 1 : segment.seq, window: 0 }
    this.ends = opener === 'inside' ? { inside: own, outside: far } : { inside: far, outside: own }
    if (segment.flags.includes('S')) return
    this.state = 'established'
    this.unchecked = true
  }

  follow(sender: Side, segment: Segment): Relation {
    const { flags } = segment
    if (!arePossible(flags)) return 'contradicts'
    if (flags.includes('R')) return this.reset(sender, segment)
    if (!flags.includes('S')) return this.stream(sender, segment)
    return flags.includes('A') ? this.synAck(sender, segment) : this.syn(sender, segment)
  }

  private syn(sender: Side, segment: Segment): Relation {
    const isRepeated = endOf(segment) === this.ends[sender].sent
    if (this.state === 'closed' || this.finished.size === 2) return 'opens'
    if (sender === this.opener) {
      if (isRepeated) return 'belongs'
      if (this.state === 'opened') return 'opens'
      this.isReopening = true
      return 'belongs'
    }
    if (this.state === 'opened') this.answer(sender, segment)
    else if (!isRepeated) return 'contradicts'
    return 'belongs'
  }

  private synAck(sender: Side, segment: Segment): Relation {
    if (this.state === 'opened') {
      if (sender === this.opener || !this.answersSyn(segment)) return 'contradicts'
      this.answer(sender, segment)
      return 'belongs'
    }
    if (this.unchecked || this.fits(sender, segment)) return 'belongs'
    if (!this.isReopening || sender === this.opener) return 'contradicts'
    Object.assign(this.ends[sender], { sent: endOf(segment), acked: segment.ack })
    Object.assign(this.ends[other(sender)], { sent: segment.ack, acked: segment.seq + 1 })
    this.state = 'answered'
    this.unchecked = true
    this.isReopening = false
    this.finished = new Set()
    return 'belongs'
  }

  /** It ends the connection where its receiver believes it at once (RFC 5961). */
  private reset(sender: Side, segment: Segment): Relation {
    const [from, to] = [this.ends[sender], this.ends[other(sender)]]
    if (this.state === 'opened') {
      const isBelieved = sender === this.opener ? to.acked <= segment.seq && segment.seq <= from.sent : this.answersSyn(segment)
      if (!isBelieved) return 'contradicts'
    } else if (!this.unchecked && segment.seq !== from.sent && segment.seq !== to.acked)
      return this.isExpected(sender, segment.seq, segment.seq) ? 'belongs' : 'contradicts'
    this.state = 'closed'
    return 'belongs'
  }

  private stream(sender: Side, segment: Segment): Relation {
    const [from, to] = [this.ends[sender], this.ends[other(sender)]]
    if (this.state === 'opened' || !(this.unchecked || this.fits(sender, segment))) return 'contradicts'
    if (this.state === 'closed') return 'belongs'
    from.sent = Math.max(from.sent, endOf(segment))
    from.acked = Math.max(from.acked, segment.ack)
    from.window = Math.max(from.window, segment.window)
    to.sent = Math.max(to.sent, segment.ack)
    if (sender === this.opener) {
      this.isReopening = false
      if (this.state === 'answered') this.state = 'established'
    }
    if (segment.flags.includes('F')) {
      this.finished.add(sender)
      this.state = 'closing'
    }
    if (this.finished.size === 2 && from.acked === to.sent && to.acked === from.sent) this.state = 'closed'
    return 'belongs'
  }

  private answer(sender: Side, segment: Segment): void {
    const acked = segment.flags.includes('A') ? segment.ack : this.ends[sender].acked
    this.ends[sender] = { sent: endOf(segment), acked, window: segment.window }
    this.ends[other(sender)].acked = segment.seq + 1
    this.state = 'answered'
  }

  private answersSyn({ flags, ack }: Segment): boolean {
    return flags.includes('A') && this.ends[other(this.opener)].acked <= ack && ack <= this.ends[this.opener].sent
  }

  /** Not beyond what the other end has room for, nor before what it had, with one window to spare. */
  private isExpected(sender: Side, begin: number, end: number): boolean {
    const [from, to] = [this.ends[sender], this.ends[other(sender)]]
    return begin <= to.acked + 2 * to.window && from.sent - 2 * to.window <= end
  }

  private fits(sender: Side, segment: Segment): boolean {
    const [from, to] = [this.ends[sender], this.ends[other(sender)]]
    const isEarly = segment.ack > to.sent && segment.ack > from.acked + 2 * from.window
    return this.isExpected(sender, segment.seq, endOf(segment)) && segment.ack >= from.acked - LATE_ACK && !isEarly
  }
}

function endOf({ flags, seq, payload }: Segment): number {
  return seq + payload + (/[SF]/.test(flags) ? 1 : 0)
}

/** Flags that can stand together. */
function arePossible(flags: string): boolean {
  const telling = [...flags].filter(flag => 'SFRA'.includes(flag)).sort()
  return ['S', 'R', 'A', 'AS', 'AR', 'AF'].includes(telling.join(''))
}

interface Session {
  opener: Side
  heard: number
  /** Of the rules that have let it begin. */
  version: number
  connection?: Connection
  /** SCTP that has been aborted or shut down. */
  closed: boolean
}

export class FirewallModel {
  private now = 0
  private version = 0
  private readonly sessions = new Map<string, Session>()
  /** First fragments by what all fragments of a packet have in common. */
  private readonly firsts = new Map<string, { since: number; length: number }>()

  constructor(private config: ModelConfig) {}

  configure(config: ModelConfig): void {
    this.config = config
    this.version++
  }

  wait(seconds: number): void {
    this.now += seconds
  }

  forgetAll(): void {
    this.sessions.clear()
    this.firsts.clear()
  }

  /** The TCP connection that a packet's addresses and ports name. */
  connection(side: Side, ends: Ends): Connection | undefined {
    return this.living(side, { ...ends, protocol: 'tcp' })?.connection
  }

  /** `length`: bytes of its transport that a first fragment has. */
  fateOf(side: Side, packet: Packet, length = 0): Fate {
    const fate = this.judge(side, packet)
    if (packet.fragment !== undefined && fate.goes === 'on') this.firsts.set(fragmentKey(side, packet), { since: this.now, length })
    return fate
  }

  /** Of a later fragment of a packet, at `offset`. */
  fateOfLater(side: Side, packet: Packet, offset: number): Fate {
    if (packet.protocol === 'tcp' && offset < TCP_FLAGS_END) return lost('malformed')
    const first = this.firsts.get(fragmentKey(side, packet))
    const follows = first && this.now - first.since < SILENCE.fragment && offset >= first.length
    return follows ? passes() : lost('fragment')
  }

  /** Of an ICMP error to `receiver` about a packet that was sent the other way. */
  fateOfError(side: Side, receiver: string, quoted: Packet): Fate {
    const isKnown = hasSession(quoted) && quoted.src === receiver && this.living(other(side), quoted)
    return isKnown ? passes() : lost('no_session')
  }

  private judge(side: Side, packet: Packet): Fate {
    if (!hasSession(packet)) return this.obey(packet, this.actionFor(side, packet))
    const session = this.living(side, packet)
    if (!session) return this.open(side, packet)
    const relation = this.follow(session, side, packet)
    if (relation === 'opens') return this.open(side, packet)
    if (relation === 'contradicts') return lost('invalid')
    if (!session.closed && session.connection?.state !== 'closed') session.heard = this.now
    return this.config.rejudge && session.version !== this.version ? this.judgeAgain(session, side, packet) : passes()
  }

  private follow(session: Session, side: Side, packet: Packet): Relation {
    if (packet.protocol === 'sctp') {
      if (packet.chunk === 'init' && session.closed) return 'opens'
      if (packet.chunk === 'abort' || packet.chunk === 'shutdown complete') session.closed = true
    }
    if (packet.protocol !== 'tcp') return 'belongs'
    if (packet.fragment !== undefined) session.connection!.unchecked = true
    return session.connection!.follow(side, packet.segment)
  }

  private open(side: Side, packet: Packet): Fate {
    if (isDhcp(side, packet)) return passes()
    const fault = this.faultOfOpening(packet)
    if (fault) return lost(fault)
    const fate = this.obey(packet, this.actionFor(side, packet))
    if (fate.goes !== 'on') return fate
    const session: Session = { opener: side, heard: this.now, version: this.version, closed: false }
    if (packet.protocol === 'tcp') session.connection = new Connection(side, packet.segment)
    if (session.connection && packet.fragment !== undefined) session.connection.unchecked = true
    this.sessions.set(sessionKey(side, packet), session)
    return { goes: 'on', counted: ['sessions_opened'] }
  }

  private judgeAgain(session: Session, side: Side, packet: Packet): Fate {
    const isReply = side !== session.opener
    const opening = isReply ? turned(packet) : packet
    const fate = this.obey(packet, this.actionFor(session.opener, opening))
    if (fate.goes === 'on') session.version = this.version
    else this.sessions.delete(sessionKey(side, packet))
    return fate.goes === 'on' ? fate : { ...fate, counted: [...fate.counted, 'sessions_ended'] }
  }

  private faultOfOpening(packet: Packet): string | undefined {
    const { pickUp } = this.config
    if (packet.protocol === 'reply') return 'no_session'
    if (packet.protocol === 'sctp') return pickUp || packet.chunk === 'init' || packet.chunk === 'heartbeat' ? undefined : 'no_session'
    if (packet.protocol !== 'tcp') return undefined
    const { flags } = packet.segment
    if (!arePossible(flags)) return 'invalid'
    const isMiddle = !/[SFR]/.test(flags)
    return (flags.includes('S') && !flags.includes('A')) || (pickUp && isMiddle) ? undefined : 'no_session'
  }

  private actionFor(side: Side, packet: Packet): string {
    const { rules, defaults } = this.config
    return decide(rules, defaults, openingOf(side, packet))
  }

  private obey(packet: Packet, action: string): Fate {
    if (action === 'allow') return passes()
    const isAnswered = action === 'reject' && !(packet.protocol === 'tcp' && packet.segment.flags.includes('R'))
    return isAnswered ? { goes: 'back', counted: ['rejected'] } : lost('denied')
  }

  private living(side: Side, packet: Named): Session | undefined {
    const session = this.sessions.get(sessionKey(side, packet))
    return session && this.now - session.heard <= silenceOf(packet, session) ? session : undefined
  }
}

function passes(): Fate {
  return { goes: 'on', counted: [] }
}

function lost(counter: string): Fate {
  return { goes: 'nowhere', counted: [counter] }
}

function hasSession({ protocol }: Packet): boolean {
  return protocol !== 'stamp'
}

function silenceOf({ protocol }: Named, { connection }: Session): number {
  if (protocol === 'tcp') return connection!.state === 'established' ? SILENCE.established : SILENCE.transient
  if (protocol === 'udp') return SILENCE.udp
  return protocol === 'request' || protocol === 'reply' ? SILENCE.echo : SILENCE.other
}

const isPing = ({ protocol }: Named) => protocol === 'request' || protocol === 'reply'

/** Both directions have the same. */
function sessionKey(side: Side, packet: Named): string {
  const { src, dst, sport, dport } = packet
  const [source, destination] = [`${src} ${sport}`, `${dst} ${dport}`]
  const ends = side === 'inside' ? [source, destination] : [destination, source]
  return [isPing(packet) ? 'echo' : packet.protocol, ...ends].join(' ')
}

/** IPv6 does not tell the protocol of a later fragment. */
function fragmentKey(side: Side, { src, dst, protocol, fragment }: Packet): string {
  const told = src.includes(':') ? '' : protocol in ICMP_TYPES ? 'icmp' : protocol
  return [side, src, dst, fragment, told].join(' ')
}

function turned(packet: Packet): Packet {
  const { src, dst, sport, dport } = packet
  const ends = { src: dst, dst: src, sport: dport, dport: sport }
  return isPing(packet) ? { ...ends, protocol: 'request' } : { ...packet, ...ends }
}

const ICMP_TYPES = { request: [8, 128], reply: [0, 129], stamp: [13, 150] } as const

export function icmpTypeOf({ protocol, src }: Packet): number {
  return ICMP_TYPES[protocol as keyof typeof ICMP_TYPES][src.includes(':') ? 1 : 0]
}

function openingOf(side: Side, packet: Packet): Opening {
  const { protocol, src, dst, sport, dport } = packet
  const direction = side === 'inside' ? 'egress' : 'ingress'
  const isIcmp = protocol in ICMP_TYPES
  const names: Record<string, string> = { gre: '47' }
  const name = isIcmp ? (src.includes(':') ? 'icmpv6' : 'icmp') : (names[protocol] ?? protocol)
  const message = isIcmp ? { type: icmpTypeOf(packet), code: protocol === 'stamp' ? packet.code : 0 } : { type: -1, code: -1 }
  return { direction, protocol: name, src, dst, sport: isIcmp ? -1 : sport, dport: isIcmp ? -1 : dport, ...message }
}

/** The inside asks a server for an address. */
function isDhcp(side: Side, { protocol, src, sport, dport }: Packet): boolean {
  const [client, server] = src.includes(':') ? [546, 547] : [68, 67]
  const [local, remote] = side === 'inside' ? [sport, dport] : [dport, sport]
  return protocol === 'udp' && local === client && remote === server
}
