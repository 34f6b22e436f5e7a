// SPDX-License-Identifier: Apache-2.0
// The kind `nat`: what an operator may say about it, and the kernel tables that follow from it.

import type { Static, TObject } from '@sinclair/typebox'
import { defineFunction } from '../../catalogue/define'
import { bool, choice, cidr, ip, optional, port, portRange, table } from '../../catalogue/fields'
import { sessionFields, sessionSizes } from '../../core/session'
import { checkChainedNat, checkNat } from './check'
import { GATEWAYS_MAX, gatewayMacs } from './gateways'
import { FORWARDED_PORTS_MAX, natImage, outsideAddresses } from './image'

const config = {
  sources: optional(
    table({
      doc: 'Source NAT (masquerade): inside addresses that share outside addresses by their ports. The longest prefix decides.',
      max: 1024,
      fields: {
        source: cidr({ doc: 'The inside addresses.', example: '10.0.0.0/16' }),
        pool: cidr({
          doc: 'The outside addresses that they appear to come from: one, as 203.0.113.7/32, or up to 256. An inside host keeps to one.',
          example: '203.0.113.7/32'
        }),
        ports: portRange({
          doc: 'The ports and echo identifiers that are used. A port that the inside has chosen is kept where it lies among them and is free.',
          default: '1024-65535'
        }),
        endpoint_independent: bool({
          doc: 'Whether an inside port appears as the same outside port to everybody (RFC 4787), as peer-to-peer programs need; else ports are shared by destination.',
          default: false
        })
      }
    })
  ),
  forwards: optional(
    table({
      doc: 'Destination NAT: sessions from the outside that are led to inside hosts.',
      max: 1024,
      fields: {
        address: ip({ doc: 'The outside address.', example: '203.0.113.7' }),
        protocol: optional(
          choice(['tcp', 'udp'], {
            doc: 'Transport protocol of `ports`; TCP, UDP and pings on every port if both are left out.',
            example: 'tcp'
          })
        ),
        ports: optional(portRange({ doc: 'The outside ports.', example: '8080' })),
        to_address: ip({ doc: 'The inside host.', example: '10.0.0.11' }),
        to_port: optional(port({ doc: 'The inside port; of a range, its first. The outside port if left out.', example: 80 }))
      }
    })
  ),
  floating: optional(
    table({
      doc: 'Floating addresses: an inside address and an outside address, each of which becomes the other, with all protocols and ports.',
      max: 16_384,
      fields: {
        inside: ip({ doc: 'The address of the inside host.', example: '10.0.0.12' }),
        outside: ip({ doc: 'The address under which the outside knows it.', example: '203.0.113.12' })
      }
    })
  ),
  prefixes: optional(
    table({
      doc: 'IPv6 prefix translation without sessions (RFC 6296): each address of one prefix becomes one of the other.',
      max: 256,
      fields: {
        inside: cidr({ doc: 'The inside prefix, of at most 64 bits.', example: 'fd00:1::/48' }),
        outside: cidr({ doc: 'The outside prefix, of the same length.', example: '2001:db8:1::/48' })
      }
    })
  ),
  gateways: optional(
    table({
      doc: 'Where the NAT is on several hosts: those that keep sessions, by name. Others lead their packets to one of these. Left out: every host keeps sessions of its own, and an outside address belongs on one host.',
      max: GATEWAYS_MAX,
      fields: {
        ports: portRange({
          doc: 'The outside ports and echo identifiers that the host gives to sessions, as far as a row of `sources` has them. No other host has any of them.',
          example: '1024-32767'
        })
      }
    })
  ),
  pass_unmapped: bool({
    doc: 'Whether what comes to an outside address and belongs to nothing passes unchanged, as to a router behind that has the address itself; else it is dropped.',
    default: false
  }),
  ...sessionFields
}

export type NatConfig = Static<TObject<typeof config>>

export const nat = defineFunction('nat', {
  doc: 'Translates the addresses and ports of the inside to those of the outside, and back.',
  ports: ['inside', 'outside'],
  config,
  counters: {
    no_mapping: 'Packets to an outside address that belong to no session and that nothing leads inside.',
    no_session: 'Packets from inside that cannot begin a session and belong to none.',
    invalid: 'Packets that contradict the state of their session, or have no port where one is needed.',
    fragment: 'Fragments of packets whose first fragment was not seen before, was refused, or overlaps them.',
    unsupported: 'Packets of protocols whose ports or messages cannot be translated, SCTP among them.',
    exhausted: 'Packets that found no free outside port; their senders are told.',
    collision: 'Packets from outside whose session inside is another one already.',
    sessions_opened: 'Sessions that were begun.',
    hairpinned: 'Packets from the inside to the inside by way of an outside address.',
    answered: 'ARP requests and neighbour solicitations for outside addresses, asked from inside and answered.',
    led_on: 'Packets that were led to the gateway that keeps their session.'
  },
  check: checkNat,
  checkChained: checkChainedNat,
  image: natImage,
  adds: config => ({ outside: outsideAddresses(config) }),
  places: (config, name) => ({ outside: gatewayMacs(config, name) }),
  sizes: config => {
    const { sessions4, sessions6 } = sessionSizes(config)
    return {
      sessions4: sessions4!,
      sessions6: sessions6!,
      claims4: sessions4!,
      claims6: sessions6!,
      forwards: FORWARDED_PORTS_MAX,
      forwarded: config.gateways ? FORWARDED_PORTS_MAX : 1
    }
  }
})
