// SPDX-License-Identifier: Apache-2.0
// A rule: which packets it looks into, and what becomes of those in which one of its patterns is found.

import type { Static, TObject } from '@sinclair/typebox'
import { bool, choice, optional, parsePortRange, portRange, protocol, protocolNumber, text } from '../../catalogue/fields'

/** From the weakest to the strongest: the strongest of all rules that find something decides. */
export const ACTIONS = ['count', 'mirror', 'divert', 'drop'] as const
export const DIRECTIONS = ['ingress', 'egress'] as const

export const ruleFields = {
  description: optional(text({ doc: 'What the rule is for.' })),
  direction: optional(
    choice(DIRECTIONS, { doc: 'Way of the packets: `ingress` is towards the inside, `egress` from it; both if left out.' })
  ),
  protocol: optional(protocol({ doc: 'Transport protocol; any if left out.', example: 'tcp' })),
  ports: optional(portRange({ doc: 'Destination ports of TCP, UDP or SCTP; all if left out.', example: '80' })),
  source_ports: optional(portRange({ doc: 'Source ports of TCP, UDP or SCTP; all if left out.' })),
  action: choice(ACTIONS, {
    doc: 'What becomes of a packet with a pattern of this rule: `count` lets it pass, `mirror` lets it pass and sends a copy out of the port `matched`, `divert` sends it out of `matched` instead, `drop` drops it. Where several rules find something, the last named of these decides.'
  }),
  follow: bool({
    doc: 'Whether the rest of the flow has the same verdict, both ways, from the packet with the pattern on.',
    default: false
  })
}

export type Rule = Static<TObject<typeof ruleFields>>
export type Rules = Record<string, Rule>

const PROTOCOLS_WITH_PORTS = ['tcp', 'udp', 'sctp'].map(protocolNumber)

export function protocolOf({ protocol: word }: Rule): number | undefined {
  return word === undefined ? undefined : protocolNumber(word)
}

export function hasPorts(rule: Rule): boolean {
  return PROTOCOLS_WITH_PORTS.includes(protocolOf(rule) ?? -1)
}

/** Both ends belong to it. */
export function portsOf(range: string | undefined): [first: number, last: number] {
  return range === undefined ? [0, 0xffff] : parsePortRange(range)
}

/** Whether some packet is meant by both rules. */
export function meet(a: Rule, b: Rule): boolean {
  const agree = <T>(one: T | undefined, other: T | undefined) => one === undefined || other === undefined || one === other
  const overlap = (one: string | undefined, other: string | undefined) =>
    portsOf(one)[0] <= portsOf(other)[1] && portsOf(other)[0] <= portsOf(one)[1]
  return (
    agree(a.direction, b.direction) &&
    agree(protocolOf(a), protocolOf(b)) &&
    overlap(a.ports, b.ports) &&
    overlap(a.source_ports, b.source_ports)
  )
}
