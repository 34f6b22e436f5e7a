// SPDX-License-Identifier: Apache-2.0
// What inspect is to do, written down separately: every pattern is tried at every place, and flows are a list, as nobody would do it who is in a hurry.

export type Action = 'count' | 'mirror' | 'divert' | 'drop'
export type End = 'inside' | 'outside'

export interface ModelPattern {
  rule: string
  text?: string
  hex?: string
  dns_name?: string
  tls_name?: string
  ignore_case?: boolean
  offset?: number
  within?: number
}

export interface ModelRule {
  direction?: 'ingress' | 'egress'
  protocol?: string
  ports?: string
  source_ports?: string
  action: Action
  follow?: boolean
}

export interface ModelConfig {
  rules: Record<string, ModelRule>
  patterns: Record<string, ModelPattern>
  depth: number
}

export interface ModelPacket {
  /** Who sends it: the end, also where the packet comes back by `matched`. */
  sender: End
  /** Whether it comes in by `matched`. */
  returns: boolean
  protocol: string
  sport: number
  dport: number
  /** Names what it belongs to; undefined: to nothing that could have a verdict. */
  flow?: string
  /** Begins a connection in place of another. */
  begins?: boolean
  /** A later fragment, which has neither ports nor a payload that is looked at. */
  later?: boolean
  payload: Buffer
  /** A train: bytes of payload in each packet that will become of it. */
  train?: number
  /** The name that it asks for, if it is a query or a ClientHello. */
  asks?: { protocol: 'dns_name' | 'tls_name'; name: string }
}

export interface Expected {
  way: End | 'matched' | 'nowhere'
  counted: Record<string, number>
  /** The keys of the patterns that are in the packet. */
  found: string[]
}

const WEAKEST_FIRST = ['count', 'mirror', 'divert', 'drop'] as const
const strength = (action: Action | undefined) => WEAKEST_FIRST.indexOf(action!)
const opposite = (end: End): End => (end === 'inside' ? 'outside' : 'inside')

export class Model {
  private readonly verdicts = new Map<string, Action>()

  /** `stitched`: whether something lies behind `matched`. */
  constructor(
    private readonly config: ModelConfig,
    private readonly stitched: boolean
  ) {}

  send(packet: ModelPacket): Expected {
    const { sender, returns, flow = '' } = packet
    if (returns) {
      const diverted = this.verdicts.get(flow) === 'divert'
      return { way: diverted ? opposite(sender) : 'nowhere', counted: diverted ? {} : { stray: 1 }, found: [] }
    }
    if (packet.begins) this.verdicts.delete(flow)
    const before = this.verdicts.get(flow)
    const means = Object.keys(this.config.rules).filter(key => packet.payload.length > 0 && meansPacket(this.config.rules[key]!, packet))
    const found = before === 'drop' || packet.later ? [] : this.find(means, packet)
    const strongest = WEAKEST_FIRST.findLast(action => found.some(key => this.ruleOf(key).action === action))
    const isNew = strength(strongest) > strength(before)
    const action = isNew ? strongest : before
    if (isNew && packet.flow !== undefined && found.some(key => this.ruleOf(key).action === action && this.ruleOf(key).follow))
      this.verdicts.set(flow, action!)
    const counted = {
      ...(packet.later && means.length > 0 && { fragment: 1 }),
      ...(found.length > 0 && { matched: 1 }),
      ...(before && !isNew && { followed: 1 }),
      ...(action === 'drop' && { dropped: 1 }),
      ...(action === 'divert' && { diverted: 1 }),
      ...(action === 'mirror' && this.stitched && { mirrored: 1 }),
      ...((action === 'mirror' || action === 'divert') && !this.stitched && { unstitched: 1 })
    }
    return { way: this.wayOf(action, sender), counted, found }
  }

  private wayOf(action: Action | undefined, sender: End): Expected['way'] {
    if (action === 'drop') return 'nowhere'
    if (action === 'divert') return this.stitched ? 'matched' : 'nowhere'
    return opposite(sender)
  }

  private ruleOf(pattern: string): ModelRule {
    return this.config.rules[this.config.patterns[pattern]!.rule]!
  }

  private find(rules: string[], packet: ModelPacket): string[] {
    const { patterns, depth } = this.config
    return Object.keys(patterns).filter(key => rules.includes(patterns[key]!.rule) && holds(packet, patterns[key]!, depth))
  }
}

function meansPacket({ direction, protocol, ports, source_ports }: ModelRule, packet: ModelPacket): boolean {
  const way = packet.sender === 'inside' ? 'egress' : 'ingress'
  const lies = (port: number, range = '0-65535') => {
    const [first, last = first] = range.split('-').map(Number) as [number, number?]
    return first <= port && port <= last
  }
  const [sport, dport] = packet.later ? [0, 0] : [packet.sport, packet.dport]
  return (direction ?? way) === way && (protocol ?? packet.protocol) === packet.protocol && lies(dport, ports) && lies(sport, source_ports)
}

/** Datagrams are payloads each for itself, unless there are very many; segments are not. */
function payloadsOf({ protocol, payload, train = payload.length }: ModelPacket): Buffer[] {
  const count = protocol === 'udp' ? Math.ceil(payload.length / train) : 1
  if (count === 1 || count > 128) return [payload]
  return Array.from({ length: count }, (_, n) => payload.subarray(n * train, (n + 1) * train))
}

function holds(packet: ModelPacket, pattern: ModelPattern, depth: number): boolean {
  const name = pattern.dns_name ?? pattern.tls_name
  if (name !== undefined) {
    const { asks } = packet
    const asked = pattern[asks?.protocol ?? 'text'] === undefined ? undefined : asks?.name.toLowerCase()
    return asked === name.toLowerCase() || asked?.endsWith(`.${name.toLowerCase()}`) === true
  }
  const { hex, offset = 0, within = depth, ignore_case } = pattern
  const text = hex === undefined ? pattern.text! : Buffer.from(hex, 'hex').toString('latin1')
  return payloadsOf(packet).some(payload => {
    const window = payload
      .subarray(0, depth)
      .subarray(offset, offset + within)
      .toString('latin1')
    return ignore_case ? window.toLowerCase().includes(text.toLowerCase()) : window.includes(text)
  })
}
