// SPDX-License-Identifier: Apache-2.0
// What inspect is to find, written down separately: every pattern is tried at every place, as nobody would who is in a hurry.

export interface ModelPattern {
  rule: string
  text?: string
  dns_name?: string
  tls_name?: string
  ignore_case?: boolean
  offset?: number
  within?: number
}

export interface ModelRule {
  direction?: 'ingress' | 'egress'
  protocol?: 'tcp' | 'udp'
  ports?: string
  action: 'count' | 'mirror' | 'divert' | 'drop'
}

export interface ModelConfig {
  rules: Record<string, ModelRule>
  patterns: Record<string, ModelPattern>
  depth: number
}

/** A packet, with the name that it asks for if it is a query or a ClientHello. */
export interface ModelPacket {
  direction: 'ingress' | 'egress'
  protocol: 'tcp' | 'udp'
  dport: number
  payload: Buffer
  asks?: { protocol: 'dns_name' | 'tls_name'; name: string }
}

const WEAKEST_FIRST = ['count', 'mirror', 'divert', 'drop'] as const

/** The keys of the patterns that are in the packet, and the strongest action of their rules. */
export function expected(config: ModelConfig, packet: ModelPacket): { found: string[]; action?: ModelRule['action'] } {
  const found = Object.entries(config.patterns).filter(
    ([, pattern]) => means(config.rules[pattern.rule]!, packet) && holds(packet, pattern, config.depth)
  )
  const actions = found.map(([, { rule }]) => config.rules[rule]!.action)
  return { found: found.map(([key]) => key).sort(), action: WEAKEST_FIRST.findLast(action => actions.includes(action)) }
}

function means({ direction, protocol, ports }: ModelRule, packet: ModelPacket): boolean {
  const [first, last] = (ports ?? '0-65535').split('-').map(Number) as [number, number]
  return (
    (direction ?? packet.direction) === packet.direction &&
    (protocol ?? packet.protocol) === packet.protocol &&
    first <= packet.dport &&
    packet.dport <= (last ?? first)
  )
}

function holds({ payload, asks }: ModelPacket, pattern: ModelPattern, depth: number): boolean {
  const name = pattern.dns_name ?? pattern.tls_name
  if (name !== undefined) {
    const asked = pattern[asks?.protocol ?? 'text'] === undefined ? undefined : asks?.name.toLowerCase()
    return asked === name.toLowerCase() || asked?.endsWith(`.${name.toLowerCase()}`) === true
  }
  const { text = '', offset = 0, within = depth, ignore_case } = pattern
  const window = payload
    .subarray(0, depth)
    .subarray(offset, offset + within)
    .toString('latin1')
  return ignore_case ? window.toLowerCase().includes(text.toLowerCase()) : window.includes(text)
}
