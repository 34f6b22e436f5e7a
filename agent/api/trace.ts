// SPDX-License-Identifier: Apache-2.0
// POST /v1/trace: the packet that is described, and the steps that are told. Read by Fastify, OpenAPI and the Terraform provider.

import { bool, choice, group, ip, list, mac, name, optional, port, table, text, u32, vni } from '@inkev/bpf/catalogue/fields'
import { type Static, Type } from '@sinclair/typebox'

const portPair = {
  source_port: port({ doc: 'Source port.', default: 40_000 }),
  destination_port: port({ doc: 'Destination port.', example: 443 })
}

/** What is left out is as a workload would send it. */
export const packet = group(
  {
    ethernet: optional(
      group(
        {
          source: optional(mac({ doc: 'That of the port, or of the one who has the source address, if left out.' })),
          destination: optional(mac({ doc: 'That of the one who has the destination address, or of the gateway towards it, if left out.' }))
        },
        { doc: 'Ethernet addresses.' }
      )
    ),
    ip: optional(
      group(
        {
          source: optional(ip({ doc: 'The port’s own address of that version if left out.' })),
          destination: ip({ doc: 'Its version is that of the packet.', example: '10.0.2.11' }),
          ttl: u32({ doc: 'TTL or hop limit.', default: 64, max: 255 }),
          tos: u32({ doc: 'Type of service, or traffic class.', default: 0, max: 255 }),
          dont_fragment: bool({ doc: 'Whether no router may cut it; of IPv4.', default: true }),
          fragment: optional(
            group(
              {
                identification: u32({ doc: 'What all fragments of the packet have in common; 16 bits of it in IPv4.', default: 1 }),
                offset: u32({
                  doc: 'Where it begins, in bytes. Behind 0, tcp, udp or icmp only says the protocol.',
                  default: 0,
                  max: 65_528
                }),
                more_fragments: bool({ doc: 'Whether others follow.', default: true })
              },
              { doc: 'The packet is one of several fragments.' }
            )
          )
        },
        { doc: 'IPv4 or IPv6. Give ip or arp.' }
      )
    ),
    tcp: optional(
      group(
        {
          ...portPair,
          flags: text({ doc: 'Any of F S R P A U E C: FIN, SYN, RST, PSH, ACK, URG, ECE, CWR.', default: 'S', maxLength: 8 }),
          sequence: u32({ doc: 'Sequence number.', default: 1 }),
          acknowledgement: u32({ doc: 'Acknowledgement number.', default: 0 })
        },
        { doc: 'TCP. At most one of tcp, udp and icmp.' }
      )
    ),
    udp: optional(group(portPair, { doc: 'UDP.' })),
    icmp: optional(
      group(
        {
          type: optional(u32({ doc: 'That of an echo request if left out.', max: 255 })),
          code: u32({ doc: 'Code.', default: 0, max: 255 }),
          identifier: u32({ doc: 'Identifier of an echo.', default: 1, max: 65_535 }),
          sequence: u32({ doc: 'Sequence number of an echo.', default: 1, max: 65_535 })
        },
        { doc: 'ICMP, or ICMPv6 where the addresses are IPv6.' }
      )
    ),
    arp: optional(
      group(
        {
          operation: choice(['request', 'reply'], { doc: 'Question or answer.', default: 'request' }),
          sender_ip: optional(ip({ doc: 'The port’s own address if left out.' })),
          target_ip: ip({ doc: 'Who is asked for, or answered.', example: '10.0.1.1' }),
          target_mac: optional(mac({ doc: 'Of an answer: to whom.' }))
        },
        { doc: 'ARP.' }
      )
    ),
    payload_length: u32({ doc: 'Bytes behind the last header.', default: 0, max: 1900 }),
    segment_size: optional(
      u32({
        doc: 'A train of TCP segments or UDP datagrams, as a workload’s device sends it when it leaves the cutting to others: bytes of payload in each but the last.',
        min: 1,
        max: 1899
      })
    )
  },
  { doc: 'The packet, from its Ethernet header on.' }
)

export const traceRequest = group({
  from: group(
    {
      port: optional(name({ doc: 'A workload port of this host.', example: 'web1' })),
      vlan: optional(
        u32({ doc: 'With `port`: the tag that the workload puts on the packet, one of `vlans` of the port.', min: 1, max: 4094 })
      ),
      segment: optional(name({ doc: 'A network: the packet comes from its physical segment at this host, with the tag of the segment.' })),
      host: optional(name({ doc: 'Another host: the packet comes from there, in `network`.' })),
      network: optional(name({ doc: 'With `host`: the network in whose tunnel it comes.' }))
    },
    { doc: 'Where the packet comes from: port, segment, or host and network.' }
  ),
  packet
})

const verdict = choice(['forwarded', 'delivered', 'tunnelled', 'copied', 'dropped', 'consumed', 'kernel'], {
  doc: 'forwarded to the next function; delivered to a workload; tunnelled to another host; copied to all (each copy is told as one); dropped for `reason`; consumed without a copy; left to the kernel.'
})

const ending = {
  verdict,
  to: optional(text({ doc: 'Where it went: `functions/…`, `networks/…`, `ports/…`, `interfaces/…` or `hosts/…`.' })),
  reason: optional(text({ doc: 'The counter under which it was dropped.' })),
  explanation: optional(text({ doc: 'What that counter counts.' }))
}

/** One function, and what it did to the packet. */
export const stepFields = {
  copy: u32({ doc: '0 is the packet itself; others are copies of it, numbered as they are made.' }),
  at: text({ doc: 'Where the packet is: `functions/…`, `networks/…`; `ports/…` or `hosts/…` where it comes from; `core/overlay`.' }),
  kind: optional(text({ doc: 'Of a function: its kind.' })),
  port_in: optional(text({ doc: 'The port of the function at which it came.' })),
  port_out: optional(text({ doc: 'The port by which it left.' })),
  ...ending,
  vni: optional(vni({ doc: 'Of a tunnel.' })),
  matched: list(text({ doc: 'Name.' }), { doc: 'Rules and their like that met the packet, by the operator’s names.', max: 1024 }),
  counted: Type.Record(Type.String(), Type.Integer(), { description: 'Counters that it would have moved, by how much.' }),
  changed: Type.Record(Type.String(), Type.String(), { description: 'Fields that were rewritten, as `64 -> 63`.' })
}

const told = { ...ending, truncated: bool({ doc: 'Whether there was more to tell than is told: too many steps or copies.' }) }

export const traceAnswer = group(
  { ...told, steps: Type.Array(group(stepFields)) },
  { doc: 'The end of the packet itself, and every step on the way.' }
)

/** The same with the steps keyed by their place, from `001` on: Terraform has no lists of objects here. */
export const traceTable = group({
  ...told,
  steps: table({ doc: 'Every step, by its place: 001, 002, …', max: Number.MAX_SAFE_INTEGER, fields: stepFields })
})

export type TraceRequest = Static<typeof traceRequest>
export type TraceAnswer = Static<typeof traceAnswer>
export type Step = TraceAnswer['steps'][number]
export type Ending = Pick<Step, 'verdict' | 'to' | 'reason' | 'explanation'>
