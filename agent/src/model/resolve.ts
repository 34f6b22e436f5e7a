// SPDX-License-Identifier: Apache-2.0
// The values that the agent computes where a configuration leaves them out. The same input gives the same value on every host.

import { isIPv6 } from 'node:net'
import { derivedMac, firstHost } from '@inkev/bpf/catalogue/addresses'
import type { Desired, HostFacts, Network, WorkloadPort } from './desired'

/** Bytes that VXLAN adds to a packet: outer IP, UDP, VXLAN, inner Ethernet. */
const OVERHEAD = { ipv4: 50, ipv6: 70 }
const LOCAL_MTU = 1500

export interface Subnet {
  key: string
  cidr: string
  gateway: string
}

/** The largest packet of a workload that the underlay carries. */
export function tunnelMtu({ mtu, vtep }: NonNullable<HostFacts['uplink']>): number {
  return mtu - OVERHEAD[isIPv6(vtep) ? 'ipv6' : 'ipv4']
}

export function mtuOf(network: Network | undefined, facts: HostFacts): number {
  return network?.mtu ?? Math.min(...waysMtu(network, facts))
}

/** What the tunnels and the segment of a network carry, as far as it has them here. */
function waysMtu(network: Network | undefined, facts: HostFacts): number[] {
  const segment = network && segmentOf(network, facts)
  const tunnels = network && network.vni === undefined ? [] : [facts.uplink ? tunnelMtu(facts.uplink) : LOCAL_MTU]
  const device = segment && (facts.device(segment.interface)?.mtu ?? LOCAL_MTU)
  const ways = [...tunnels, ...(device === undefined ? [] : [device])]
  return ways.length > 0 ? ways : [LOCAL_MTU]
}

/** Where this host joins the network to a physical segment. */
export function segmentOf({ physical }: Network, { name }: Pick<HostFacts, 'name'>): { interface: string; vlan?: number } | undefined {
  return physical?.[name]
}

export function subnetsOf(network: Network): Subnet[] {
  return Object.entries(network.subnets).map(([key, { cidr, gateway }]) => ({ key, cidr, gateway: gateway ?? firstHost(cidr) }))
}

export function cidrsOf({ subnets }: Pick<Network, 'subnets'>): string[] {
  return Object.values(subnets).map(({ cidr }) => cidr)
}

/** A network that a port joins, and its addresses there. */
export interface Membership {
  network: string
  /** Of the addresses, dotted. */
  field: string
  addresses: string[]
}

/** Without tag first. */
export function membershipsOf({ network, ip_addresses, vlans }: Pick<WorkloadPort, 'network' | 'ip_addresses' | 'vlans'>): Membership[] {
  const tagged = vlans
    ? Object.entries(vlans).map(([tag, row]) => ({ ...row, field: `vlans.${tag}.ip_addresses`, addresses: row.ip_addresses }))
    : []
  return [...(network === undefined ? [] : [{ network, field: 'ip_addresses', addresses: ip_addresses }]), ...tagged]
}

export function networksOf(port: WorkloadPort): string[] {
  return membershipsOf(port).map(({ network }) => network)
}

/** Undefined for an existing device without a declared address: what lives behind it, its packets tell. */
export function macOf(name: string, port: WorkloadPort): string | undefined {
  if (port.mac !== undefined || port.netns === undefined) return port.mac
  const mac = derivedMacs.get(port) ?? derivedMac('port', port.network ?? '', name)
  derivedMacs.set(port, mac)
  return mac
}

/** A digest for each port in each pass would be felt. */
const derivedMacs = new WeakMap<WorkloadPort, string>()

export function portMtuOf({ mtu, network }: WorkloadPort, { networks }: Desired, facts: HostFacts): number {
  return mtu ?? mtuOf(networks.get(network ?? ''), facts)
}
