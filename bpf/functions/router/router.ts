// SPDX-License-Identifier: Apache-2.0
// The router: what an operator may say about it, and the tables by which router.bpf.c forwards.

import type { Static, TObject } from '@sinclair/typebox'
import { cidrOf, formatIp, linkLocal } from '../../catalogue/addresses'
import { defineFunction } from '../../catalogue/define'
import { bool, choice, cidr, duration, interfaceAddress, ip, mac, optional, table, text, u32 } from '../../catalogue/fields'
import { checkRouter } from './check'
import { BUCKETS, GROUPS_MAX } from './ecmp'
import { routerImage } from './image'
import { interfacesOf, subnetsOf } from './interfaces'

const config = {
  interfaces: table({
    doc: 'The interfaces by name. Each is a port of the function.',
    max: 248,
    fields: {
      address: interfaceAddress({
        doc: "The router's address here, of either family, with the length of the subnet; the same on every host.",
        example: '10.0.1.1/24'
      }),
      ipv6_address: optional(interfaceAddress({ doc: 'Its IPv6 address, where `address` is an IPv4 one.', example: 'fd00:1::1/64' })),
      mac: optional(mac({ doc: 'Its MAC address on every host; derived from the names of router and interface where left out.' })),
      mtu: optional(u32({ doc: "The largest packet sent out here, in bytes; the network's MTU where left out.", min: 1280, max: 65535 })),
      advertise: bool({
        doc: 'Whether router solicitations are answered: hosts then take this router as their IPv6 default gateway.',
        default: true
      }),
      autonomous: bool({
        doc: 'Whether router advertisements let hosts form addresses of their own in the subnet (SLAAC).',
        default: false
      }),
      stateless_dhcp: bool({
        doc: 'Whether router advertisements send hosts to a DHCPv6 server for DNS servers and the like (the O flag).',
        default: false
      })
    }
  }),
  routes: optional(
    table({
      doc: 'Static routes. Rows with the same destination share its flows by weight (ECMP).',
      max: 16_384,
      fields: {
        destination: cidr({ doc: 'The prefix that this route leads to.', example: '192.0.2.0/24' }),
        via: optional(ip({ doc: 'The next router, in the subnet of one of the interfaces, or link-local.', example: '10.0.1.254' })),
        interface: optional(
          text({
            doc: 'The interface to leave by; it follows from `via` save where that is link-local. Without `via` the destination is on the link.'
          })
        ),
        weight: u32({ doc: 'Share of the flows among the routes to the same destination.', default: 1, min: 1, max: 256 }),
        type: choice(['unicast', 'blackhole', 'unreachable', 'prohibit'], {
          doc: 'Whether packets are forwarded, dropped silently, or dropped with an ICMP error.',
          default: 'unicast',
          agentOnly: true
        })
      }
    })
  ),
  neighbour_timeout: duration({ doc: 'How long a neighbour that was learned is believed without hearing from it.', default: '2m' }),
  control_rate: u32({
    doc: 'ICMP errors per second that the router sends at most; likewise ARP requests and neighbour solicitations.',
    default: 1000,
    min: 1,
    max: 1_000_000
  })
}

export type RouterConfig = Static<TObject<typeof config>>

export const router = defineFunction('router', {
  doc: 'Forwards between networks by longest prefix, IPv4 and IPv6, as the same gateway on every host.',
  ports: { table: 'interfaces' },
  config,
  counters: {
    not_ours: "Frames for another station's MAC.",
    unsupported: 'Frames that are neither IP nor ARP, and packets of a family that the interface has no address of.',
    multicast: 'Broadcasts and multicasts that are not meant for a router: not forwarded.',
    martian: 'Packets from or to an address that must not be on this link or beyond it.',
    ttl_exceeded: 'Packets whose TTL or hop limit ran out here.',
    no_route: 'Packets that no route leads on.',
    unreachable: 'Packets that met a route of type unreachable.',
    prohibited: 'Packets that met a route of type prohibit.',
    blackholed: 'Packets that met a route of type blackhole.',
    unresolved: 'Packets lost because the next hop did not answer ARP or neighbour discovery, or not yet.',
    not_served: "Packets to the router's own addresses that nothing here answers.",
    heard: 'ARP and neighbour discovery that was read and needed no answer.',
    limited: 'ICMP errors and address requests that were not sent because of control_rate.',
    errors: 'ICMP errors sent.',
    requests: 'ARP requests and neighbour solicitations sent.',
    learned: 'Neighbours learned, or learned anew with another MAC.',
    relayed: "Neighbours' answers to another host's question, passed on to all hosts.",
    answered: 'ARP requests, neighbour and router solicitations and pings answered.'
  },
  check: checkRouter,
  presents: (config, name) =>
    Object.fromEntries(
      interfacesOf(config, name).map(each => [
        each.name,
        { mac: each.mac, addresses: [...subnetsOf(each).map(formatIp), ...(each.ipv6 ? [linkLocal(each.mac)] : [])] }
      ])
    ),
  leads: ({ interfaces, routes = {} }) => [
    ...Object.values(interfaces).flatMap(({ address, ipv6_address }) =>
      [address, ipv6_address].flatMap(own => (own ? [{ prefix: cidrOf(own) }] : []))
    ),
    ...Object.values(routes).flatMap(({ type, destination, via }) =>
      type === 'unicast' ? [{ prefix: destination, ...(via !== undefined && { via }) }] : []
    )
  ],
  image: routerImage,
  sizes: () => ({ next_hops: GROUPS_MAX * BUCKETS })
})
