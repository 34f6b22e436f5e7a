// SPDX-License-Identifier: Apache-2.0
// The contents of the server's kernel tables: its clients, itself, and its answers.

import { cidrContains, derivedMac, formatIp, linkLocal, normalise, parseInterfaceAddress } from '../../catalogue/addresses'
import type { Endpoint, Image, Surroundings } from '../../catalogue/define'
import type { DhcpConfig } from './dhcp'
import { answersOf } from './message'

/** What clients of a server that is stitched to no network are told. */
const DEFAULT_MTU = 1500

/** A client of this host. Without an address it is told by DHCPv6 only. */
interface Client {
  mac: string
  address?: string
  /** What the operator calls it. */
  name: string
}

export function dhcpImage(config: DhcpConfig, { name, ports }: Surroundings): Image {
  const mac = macOf(config, name)
  const network = ports.network?.network
  const clients = clientsOf(config, network?.endpoints ?? [])
  const answers = answersOf(config, mac, network?.mtu ?? DEFAULT_MTU)
  return {
    maps: {
      server: [{ key: 0, value: { mac, ipv4: formatIp(parseInterfaceAddress(config.address)), link_local: linkLocal(mac) } }],
      answers: Object.entries(answers).map(([kind, { length, bytes }]) => ({ key: kind, value: { length, bytes } })),
      clients: clients.map(({ mac, address }) => ({ key: mac, value: { ...(address !== undefined && { address }) } }))
    },
    labels: { leases: Object.fromEntries(clients.map(({ mac, name }) => [mac, name])) }
  }
}

export function macOf(config: DhcpConfig, server: string): string {
  return normalise(config.mac ?? derivedMac('dhcp', server))
}

/**
 * Each host answers its own workloads. A client that only the configuration knows may be anywhere, so any host answers it; one address is never given to two.
 */
function clientsOf(config: DhcpConfig, endpoints: Endpoint[]): Client[] {
  const clients = new Map<string, Client>()
  for (const { mac, addresses, port_id } of endpoints)
    if (port_id !== undefined) {
      const address = addresses.find(address => isServed(config, address))
      clients.set(mac, { mac, address, name: address ?? mac })
    }
  const owners = new Map(endpoints.flatMap(({ mac, addresses }) => addresses.map(address => [address, mac])))
  const elsewhere = new Set(endpoints.filter(({ port_id }) => port_id === undefined).map(({ mac }) => mac))
  for (const [name, row] of Object.entries(config.bindings ?? {})) {
    const mac = normalise(row.mac)
    if (!elsewhere.has(mac) && (owners.get(row.address) ?? mac) === mac) clients.set(mac, { mac, address: row.address, name })
  }
  return [...clients.values()]
}

function isServed(config: DhcpConfig, address: string): boolean {
  return cidrContains(config.address, address)
}
