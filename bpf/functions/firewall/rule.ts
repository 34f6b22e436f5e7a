// SPDX-License-Identifier: Apache-2.0
// A rule: what an operator says of it, and the packets that it means.

import type { Static, TObject } from '@sinclair/typebox'
import { type Prefix, parseCidr } from '../../catalogue/addresses'
import { choice, cidr, optional, parsePortRange, portRange, protocol, protocolNumber, text, u32 } from '../../catalogue/fields'

export const ACTIONS = ['allow', 'deny', 'reject'] as const
export const DIRECTIONS = ['ingress', 'egress'] as const

export const ruleFields = {
  description: optional(text({ doc: 'What the rule is for.' })),
  priority: u32({ doc: 'Rank among the rules: lower numbers are asked first.', default: 1000, max: 65_535 }),
  direction: choice(DIRECTIONS, { doc: 'Where sessions are opened to: `ingress` is towards the inside, `egress` from it.' }),
  action: choice(ACTIONS, {
    doc: 'What becomes of the session: `deny` drops silently, `reject` answers with a TCP reset or an ICMP error.',
    default: 'allow'
  }),
  protocol: optional(protocol({ doc: 'Transport protocol; any if left out.', example: 'tcp' })),
  source: optional(cidr({ doc: 'Who opens the session; anybody, in IPv4 and IPv6, if left out.', example: '10.0.1.0/24' })),
  destination: optional(cidr({ doc: 'To whom it is opened; anybody, in IPv4 and IPv6, if left out.' })),
  ports: optional(portRange({ doc: 'Destination ports of TCP, UDP or SCTP; all if left out.', example: '8000-8999' })),
  source_ports: optional(portRange({ doc: 'Source ports of TCP, UDP or SCTP; all if left out.' })),
  icmp_type: optional(u32({ doc: 'ICMP or ICMPv6 message type; all if left out.', max: 255 })),
  icmp_code: optional(u32({ doc: 'ICMP or ICMPv6 message code; all if left out.', max: 255 }))
}

export type Rule = Static<TObject<typeof ruleFields>>
export type Rules = Record<string, Rule>
export type Family = 4 | 6

/** Both ends belong to it. */
export type Range = readonly [first: number, last: number]

/** The packets that a rule means. */
export interface Match {
  families: Family[]
  /** Undefined: any. So are addresses. */
  protocol?: number
  source?: Prefix
  destination?: Prefix
  sourcePorts: Range
  /** Of ICMP: type << 8 | code. */
  ports: Range
}

const ICMP = 1
const ICMPV6 = 58
const ALL_PORTS: Range = [0, 0xffff]

export function hasPorts(protocol?: number): boolean {
  return protocol === protocolNumber('tcp') || protocol === protocolNumber('udp') || protocol === protocolNumber('sctp')
}

export function isIcmp(protocol?: number): boolean {
  return protocol === ICMP || protocol === ICMPV6
}

/** The families that a protocol, and each address, leaves possible; none when they contradict each other. */
export function familiesOf(protocol?: number, ...addresses: (Prefix | undefined)[]): Family[] {
  const possible = addresses.map(address => address?.family)
  if (protocol === ICMP) possible.push(4)
  if (protocol === ICMPV6) possible.push(6)
  return ([4, 6] as const).filter(family => possible.every(wanted => wanted === undefined || wanted === family))
}

/** The packets that a sound rule (check.ts) means. */
export function matchOf(rule: Rule): Match {
  const protocol = rule.protocol === undefined ? undefined : protocolNumber(rule.protocol)
  const source = rule.source === undefined ? undefined : parseCidr(rule.source)
  const destination = rule.destination === undefined ? undefined : parseCidr(rule.destination)
  const sourcePorts = rule.source_ports === undefined ? ALL_PORTS : parsePortRange(rule.source_ports)
  const families = familiesOf(protocol, source, destination)
  return { families, protocol, source, destination, sourcePorts, ports: destinationPorts(rule) }
}

function destinationPorts({ ports, icmp_type: type, icmp_code: code }: Rule): Range {
  if (ports !== undefined) return parsePortRange(ports)
  if (type === undefined) return ALL_PORTS
  return [(type << 8) | (code ?? 0), (type << 8) | (code ?? 0xff)]
}
