// SPDX-License-Identifier: Apache-2.0
// The values that the agent computes where a configuration leaves them out. The same input gives the same value on every host.

import { derivedMac, firstHost } from '@inkev/bpf/catalogue/addresses'
import type { Desired, HostFacts, Network, WorkloadPort } from './desired'

/** Bytes that VXLAN adds to a packet: outer IP, UDP, VXLAN, inner Ethernet. */
const OVERHEAD = { 4: 50, 6: 70 }
const LOCAL_MTU = 1500

export interface Subnet {
  key: string
  cidr: string
  gateway: string
}

export function mtuOf(network: Network | undefined, { uplink }: HostFacts): number {
  if (network?.mtu) return network.mtu
  return uplink ? uplink.mtu - OVERHEAD[uplink.vtep.includes(':') ? 6 : 4] : LOCAL_MTU
}

export function subnetsOf(network: Network): Subnet[] {
  return Object.entries(network.subnets).map(([key, { cidr, gateway }]) => ({ key, cidr, gateway: gateway ?? firstHost(cidr) }))
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
