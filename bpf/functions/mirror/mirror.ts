// SPDX-License-Identifier: Apache-2.0
// The kind `mirror`: what an operator may say about it.

import { parseCidr } from '../../catalogue/addresses'
import { defineFunction, type Problem } from '../../catalogue/define'
import { bool, choice, cidr, optional, port, protocol, protocolNumber, u32 } from '../../catalogue/fields'
import { captureSizes, SNAP_LENGTH_MAX } from '../../core/capture'

interface Chosen {
  to: 'port' | 'capture'
  snap_length: number
  local?: string
  remote?: string
  protocol?: string
  port?: number
}

const PORTED = ['tcp', 'udp', 'sctp'].map(protocolNumber)

/** Choices that no packet can meet. */
function checkChoice({ to, snap_length, local, remote, protocol: word, port }: Chosen): Problem[] {
  const problems: Problem[] = []
  const families = [local, remote].flatMap(prefix => (prefix === undefined ? [] : [parseCidr(prefix).family]))
  if (new Set(families).size > 1)
    problems.push({ path: 'remote', message: `no packet is between ${local} and ${remote}: one is IPv4, the other IPv6` })
  if (port !== undefined && (word === undefined || !PORTED.includes(protocolNumber(word))))
    problems.push({ path: 'port', message: `${word ?? 'any protocol'} has no ports`, hint: 'Set protocol to tcp, udp or sctp.' })
  if (to === 'port' && snap_length < SNAP_LENGTH_MAX)
    problems.push({
      path: 'snap_length',
      message: 'copies to a port are whole packets',
      hint: 'Set to = "capture", or leave snap_length out.'
    })
  return problems
}

export const mirror = defineFunction('mirror', {
  doc: 'Passes all packets on, and sends copies of those that are chosen out by its port `copy`, or to a capture.',
  ports: ['inside', 'outside', 'copy'],
  config: {
    enabled: bool({ doc: 'Whether copies are made.', default: true }),
    to: choice(['port', 'capture'], {
      doc: 'Where copies go: out by the port `copy`; or to whoever listens to `GET /v1/captures/<function>` of the agent, and nowhere while nobody does.',
      default: 'port'
    }),
    snap_length: u32({
      doc: 'How many bytes of each packet a capture has, from its Ethernet header on.',
      default: SNAP_LENGTH_MAX,
      min: 14,
      max: SNAP_LENGTH_MAX
    }),
    direction: choice(['both', 'ingress', 'egress'], {
      doc: 'Which packets are chosen: `ingress` are those towards the inside, `egress` those from it.',
      default: 'both'
    }),
    local: optional(cidr({ doc: 'Only packets whose end inside is in this prefix.' })),
    remote: optional(cidr({ doc: 'Only packets whose end outside is in this prefix.' })),
    protocol: optional(protocol({ doc: 'Only packets of this transport protocol.' })),
    port: optional(port({ doc: 'Only packets from or to this port of TCP, UDP or SCTP, of either end.' })),
    one_in: u32({
      doc: 'One packet in so many, by chance, of those that are chosen; 1 copies all.',
      default: 1,
      min: 1
    })
  },
  counters: {
    chosen: 'Packets of which a copy was sent off.',
    came_back: 'Packets that came in by the port `copy`, where none are taken in.'
  },
  example: { remote: '203.0.113.0/24', protocol: 'tcp', port: 443, one_in: 100 },
  check: checkChoice,
  captures: ({ to, snap_length }) => (to === 'capture' ? { snap_length } : undefined),
  sizes: ({ to }) => captureSizes(to === 'capture')
})
