// SPDX-License-Identifier: Apache-2.0
// The devices through which packets enter and leave the graph of this host: what each needs in its namespace, and where it leads.

import { isIP } from 'node:net'
import { cidrContains } from '@inkev/bpf/catalogue/addresses'
import { type Desired, type HostFacts, type Network, resourceKey, splitKey, type WorkloadPort } from './desired'
import { macOf, mtuOf, portMtuOf, type Subnet, segmentOf, subnetsOf } from './resolve'

/** What lies behind a port of an instance, or behind a workload's chain: a port of an instance, or a workload. */
export type Target = { instance: string; port: string } | { workload: string }

/** Its key is `ports/web1`; `interfaces/eth1` for the end of a stitch, `segments/wan` for the physical segment of a network. */
export interface Workload {
  key: string
  /** The key of the one that has the device; another’s where several share it by tags. */
  on: string
  entrance: Entrance
  /** The tag of its frames at the device, 0 for those without; undefined where tags are nothing to it. */
  tag?: number
  /** The resource whose status tells of it. */
  owner: string
  device: Veth | ExistingDevice
  /** The network it is in, by name. */
  network: string | undefined
  mac: string | undefined
  addresses: string[]
  pinned: boolean
  mtu: number
  /** Keys of instances, from the workload outwards. */
  chain: string[]
  /** Where its packets go behind the chain. */
  join: Target | undefined
}

/** The program at the device: that of one port, of several by their tags, or of a segment. */
export type Entrance = 'port' | 'trunk' | 'segment'

export interface Veth {
  netns: string
  createNetns: boolean
  ifname: string
  mac: string
  mtu: number
  /** With the prefix length of their subnet. */
  addresses: string[]
  /** The default routes among them. */
  routes: { destination: string; via: string }[]
}

export interface ExistingDevice {
  interface: string
}

/** The port of a network's bridge at which packets of its workloads arrive. */
export const WORKLOADS = 'workloads'
/** The port of a network's bridge towards other hosts. */
export const OVERLAY = 'overlay'

export function isVeth(device: Workload['device']): device is Veth {
  return 'netns' in device
}

export function segmentKey(network: string): string {
  return `segments/${network}`
}

export function interfaceKey(device: string): string {
  return `interfaces/${device}`
}

/** `stitched` is what a stitch leads to, for a port without a network. */
function portWorkload(desired: Desired, facts: HostFacts, name: string, port: WorkloadPort, stitched: Target | undefined): Workload {
  const key = resourceKey('ports', name)
  const mac = macOf(name, port)
  const mtu = portMtuOf(port, desired, facts)
  return {
    key,
    on: key,
    entrance: 'port',
    owner: key,
    device: port.interface === undefined ? vethOf(desired, port, mac!, mtu) : { interface: port.interface },
    network: port.network,
    mac,
    addresses: port.ip_addresses,
    pinned: port.pin_addresses,
    mtu,
    chain: port.chain.map(fn => resourceKey('functions', fn)),
    join: port.network === undefined ? stitched : { instance: resourceKey('networks', port.network), port: WORKLOADS }
  }
}

/** A device of the host that a stitch joins to a function, or to a network as if it were a port of it. */
export function interfaceWorkload(desired: Desired, facts: HostFacts, device: string, stitch: string, join: Target): Workload {
  const [type, name] = splitKey('instance' in join ? join.instance : join.workload)
  const network = type === 'networks' ? name : undefined
  return {
    ...plain(interfaceKey(device), 'port'),
    owner: resourceKey('stitches', stitch),
    device: { interface: device },
    network,
    mtu: mtuOf(desired.networks.get(network ?? ''), facts),
    join: network === undefined ? join : { instance: resourceKey('networks', network), port: WORKLOADS }
  }
}

/** A trunk port: one workload for the frames without tag, and one for each tag. They share the port's device, MAC and chain. */
export function portWorkloads(
  desired: Desired,
  facts: HostFacts,
  name: string,
  port: WorkloadPort,
  stitched: Target | undefined
): Workload[] {
  const plainly = portWorkload(desired, facts, name, port, stitched)
  const vlans = Object.entries(port.vlans ?? {})
  if (vlans.length === 0) return [plainly]
  const tagged = vlans.map(([tag, { network, ip_addresses }]) => ({
    ...plainly,
    key: `${plainly.key}/${tag}`,
    tag: Number(tag),
    network,
    addresses: ip_addresses,
    join: { instance: resourceKey('networks', network), port: WORKLOADS }
  }))
  return [{ ...plainly, tag: 0 }, ...tagged].map(workload => ({ ...workload, entrance: 'trunk' as const }))
}

/** The physical segment of a network as a port of it. */
export function segmentWorkload(network: string, declared: Network, facts: HostFacts): Workload | undefined {
  const segment = segmentOf(declared, facts)
  if (!segment) return undefined
  const instance = resourceKey('networks', network)
  return {
    ...plain(segmentKey(network), 'segment'),
    tag: segment.vlan ?? 0,
    owner: instance,
    device: { interface: segment.interface },
    network,
    mtu: mtuOf(declared, facts),
    join: { instance, port: WORKLOADS }
  }
}

/** What workloads with nobody known behind them have in common. */
function plain(key: string, entrance: Entrance) {
  return { key, on: key, entrance, mac: undefined, addresses: [], pinned: false, chain: [] }
}

/** What was last made of a port, which is the same as long as its configuration and its network's are. */
const veths = new WeakMap<WorkloadPort, { network: Network | undefined; mtu: number; veth: Veth }>()

function vethOf({ networks }: Desired, port: WorkloadPort, mac: string, mtu: number): Veth {
  const network = networks.get(port.network ?? '')
  const known = veths.get(port)
  if (known && known.network === network && known.mtu === mtu && known.veth.mac === mac) return known.veth
  const veth = makeVeth(network, port, mac, mtu)
  veths.set(port, { network, mtu, veth })
  return veth
}

function makeVeth(network: Network | undefined, port: WorkloadPort, mac: string, mtu: number): Veth {
  // Ports that were stored before there was this field are given their addresses.
  const furniture = port.configure_addresses === false ? { addresses: [], routes: [] } : furnitureOf(network, port)
  return { netns: port.netns!, createNetns: port.create_netns, ifname: port.ifname, mac, mtu, ...furniture }
}

/** The addresses and routes inside the namespace. */
function furnitureOf(network: Network | undefined, port: WorkloadPort): Pick<Veth, 'addresses' | 'routes'> {
  const placed = port.ip_addresses.map(address => ({
    address,
    subnet: network && subnetsOf(network).find(({ cidr }) => cidrContains(cidr, address))
  }))
  const subnets = placed.flatMap(({ subnet }) => subnet ?? []).filter(({ gateway }) => !port.ip_addresses.includes(gateway))
  return {
    addresses: placed.map(({ address, subnet }) => `${address}/${subnet ? subnet.cidr.split('/')[1] : isIP(address) === 4 ? 32 : 128}`),
    routes: [
      ...(port.default_route ? defaultRoutes(subnets) : []),
      ...Object.values(port.routes ?? {}).map(({ destination, via }) => ({ destination, via }))
    ]
  }
}

/** One of each family: that of the first address. */
function defaultRoutes(subnets: Subnet[]): Veth['routes'] {
  const gatewayOf = (family: number) => subnets.find(({ gateway }) => isIP(gateway) === family)?.gateway
  const [v4, v6] = [gatewayOf(4), gatewayOf(6)]
  return [...(v4 ? [{ destination: '0.0.0.0/0', via: v4 }] : []), ...(v6 ? [{ destination: '::/0', via: v6 }] : [])]
}
