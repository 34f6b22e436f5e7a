// SPDX-License-Identifier: Apache-2.0
// The kind `dhcp`: what an operator may say about a network's DHCP server, which dhcp.bpf.c is on every host.

import type { Static, TObject } from '@sinclair/typebox'
import { formatIp, parseInterfaceAddress } from '../../catalogue/addresses'
import { defineFunction } from '../../catalogue/define'
import { bool, choice, cidr, duration, interfaceAddress, ip, ipv4, list, mac, optional, table, text, u32 } from '../../catalogue/fields'
import { checkDhcp } from './check'
import { dhcpImage, macOf } from './image'

const config = {
  address: interfaceAddress({
    doc: "The server's own IPv4 address, the same on every host, with the length of the subnet that it serves.",
    example: '10.0.1.2/24',
    agentOnly: true
  }),
  mac: optional(mac({ doc: "The server's MAC address on every host; derived from its name where left out.", agentOnly: true })),
  gateway: optional(ipv4({ doc: 'The default gateway that clients are told.', example: '10.0.1.1', agentOnly: true })),
  dns_servers: list(ip({ doc: 'Address.' }), {
    doc: 'DNS servers, the most preferred first: IPv4 ones are told by DHCPv4, IPv6 ones by DHCPv6.',
    max: 8,
    default: []
  }),
  domain: optional(text({ doc: 'The domain in which clients look for names without a dot.', example: 'example.internal', maxLength: 120 })),
  mtu: optional(u32({ doc: "The MTU that clients are told; the network's where left out.", min: 576, max: 9216, agentOnly: true })),
  lease_time: duration({ doc: 'How long an answer holds. Clients ask again after half of it.', default: '1h' }),
  dhcpv6: bool({ doc: 'Whether DHCPv6 information requests are answered (stateless DHCPv6).', default: true }),
  routes: optional(
    table({
      doc: 'Further routes that clients are told (RFC 3442). The route to `gateway` is told beside them.',
      max: 32,
      fields: {
        destination: cidr({ doc: 'An IPv4 prefix.', example: '192.0.2.0/24' }),
        via: ipv4({ doc: 'The next router, in the subnet of `address`.', example: '10.0.1.254' })
      }
    })
  ),
  options: optional(
    table({
      doc: 'Further DHCPv4 options, by number.',
      max: 32,
      fields: {
        code: u32({ doc: 'Number of the option.', min: 1, max: 254, example: 42 }),
        type: choice(['ip', 'text', 'u8', 'u16', 'u32', 'hex'], {
          doc: 'How `value` is read: IPv4 addresses with commas between them, a text, a number of 1, 2 or 4 bytes, or bytes in hexadecimal.',
          default: 'text',
          agentOnly: true
        }),
        value: text({ doc: 'What the option says.', example: 'tftp.example.internal' })
      }
    })
  ),
  bindings: optional(
    table({
      doc: 'Addresses of clients that no port declares, or that get another address than the first of their port.',
      max: 4096,
      fields: {
        mac: mac({ doc: "The client's MAC address.", example: '02:00:00:00:00:01' }),
        address: ipv4({ doc: 'The address that it gets, in the subnet of `address`.', example: '10.0.1.50' })
      }
    })
  )
}

export type DhcpConfig = Static<TObject<typeof config>>

export const dhcp = defineFunction('dhcp', {
  doc: 'Tells the workloads of a network their addresses: DHCPv4 and stateless DHCPv6, answered on the host of the workload.',
  ports: ['network'],
  config,
  counters: {
    offered: 'Discoveries answered with an offer.',
    acknowledged: 'Requests granted.',
    refused: "Requests for another address than the client's own, answered with a refusal (DHCPNAK).",
    informed: 'Clients with an address told everything else: DHCPINFORM, and DHCPv6 information requests.',
    released: 'Addresses that clients have given back.',
    declined: 'Addresses that clients have found in use by others.',
    not_chosen: 'Requests by which a client takes the offer of another server.',
    unknown: 'Messages of clients that have no address here, or that live on another host.',
    on_behalf: "Messages for another station than the frame's sender: a relay agent's, or a forger's.",
    ignored: 'Packets that ask nothing of this server: floods of the network among them.',
    answered: 'ARP requests, neighbour solicitations and pings answered.'
  },
  example: {
    address: '10.0.1.2/24',
    gateway: '10.0.1.1',
    dns_servers: ['10.0.1.53', 'fd00:1::53'],
    domain: 'example.internal',
    routes: { lab: { destination: '192.0.2.0/24', via: '10.0.1.254' } },
    options: { time: { code: 42, type: 'ip', value: '10.0.1.123' } },
    bindings: { printer: { mac: '02:00:00:00:00:99', address: '10.0.1.50' } }
  },
  check: checkDhcp,
  presents: (config, name) => ({ network: { mac: macOf(config, name), addresses: [formatIp(parseInterfaceAddress(config.address))] } }),
  image: dhcpImage
})
