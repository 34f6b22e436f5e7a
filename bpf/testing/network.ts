// SPDX-License-Identifier: Apache-2.0
// A network on a hand-made host: its bridge, its workloads, and what it knows of other hosts.

import type { Endpoint } from '../catalogue/define'
import { INSTANCE_OVERLAY, INSTANCE_PORT, INSTANCE_REPLICA, INSTANCE_UPLINK, INSTANCE_VLAN } from '../core/graph'
import { bridge } from '../functions/bridge/bridge'
import { Card } from './card'
import type { Host } from './host'
import type { Instance } from './instance'
import { Workload, type WorkloadOptions } from './workload'

/** Ports of the kind bridge. */
const WORKLOADS = 0
const OVERLAY = 1
const FIRST_STITCHED = 2

let workloads = 0

export interface PlacedWorkload extends WorkloadOptions {
  /** Instances between the workload and the network, from the workload outwards. */
  chain?: number[]
  /** Only packets from its own MAC and addresses pass. */
  pinned?: boolean
  /** Frames with tags belong to other networks: see addTag(). */
  trunk?: boolean
}

export class Network {
  readonly workloads: Workload[] = []
  private readonly machines: Card[] = []
  /** Port ids, by workload. */
  readonly ids = new Map<Workload, number>()
  private readonly known: Endpoint[] = []
  private readonly peers: number[] = []
  private readonly vteps: string[] = []
  private leadsToDevices = false
  private readonly portIds: number[] = []
  private readonly stitched: number[] = []

  private constructor(
    readonly host: Host,
    readonly vni: number,
    readonly bridge: Instance,
    private readonly config: Record<string, unknown>
  ) {}

  static async create(host: Host, vni: number, config: Record<string, unknown>): Promise<Network> {
    const instance = await host.addInstance(bridge, { vni, ...config })
    host.stitch(instance.number, OVERLAY, { target: INSTANCE_OVERLAY, kind: 'ATTACHED_FUNCTION' })
    for (const road of [INSTANCE_PORT, INSTANCE_UPLINK, INSTANCE_REPLICA, INSTANCE_OVERLAY]) host.expect(road, instance.number)
    return new Network(host, vni, instance, { vni, ...config })
  }

  async addWorkload(name: string, options: PlacedWorkload): Promise<Workload> {
    const workload = await Workload.create(`${this.host.name}-${name}`, this.host, options)
    this.workloads.push(workload)
    this.ids.set(workload, this.plugIn(workload.hostIfindex, workload.ips, options))
    return workload
  }

  /** A virtual machine with nothing but a network card, which the test holds. */
  async addMachine(name: string, options: PlacedWorkload & { offloads?: boolean }): Promise<Card> {
    const { host } = this
    const device = `${host.name}-${name}`.slice(-14)
    const card = await Card.open(host.name, device, options)
    this.machines.push(card)
    const { ifindex } = host.net.link(device)!
    host.net.sysctl(`ipv6/conf/${device}/disable_ipv6`, '1')
    host.net.setLink(ifindex, { up: true })
    const ips = options.addresses.map(address => address.split('/')[0]!)
    this.plugIn(ifindex, ips, { ...options, tap: true })
    return card
  }

  /** The device is told of last: it must not speak before it is known. */
  private plugIn(ifindex: number, ips: string[], options: PlacedWorkload): number {
    const { host } = this
    const id = ++workloads
    const { chain: further = [], pinned = false, mtu = 1450, mac, trunk = false, tap = false } = options
    const chain = [...(trunk ? [INSTANCE_VLAN] : []), ...further]
    const network = { target: this.bridge.number, port: WORKLOADS, kind: 'ATTACHED_FUNCTION' }
    const device = { ifindex, delivery: tap ? 'ATTACHED_DEVICE' : 'ATTACHED_VETH', mac, mtu, pinned }
    host.table('workloads').put(id, { ...device, network, chain, chain_length: chain.length })
    if (trunk) this.tag(id, ifindex, 0)
    else host.table('workload_ids').put(ifindex, id)
    for (const ip of ips) host.table('workload_ips').put({ ip, workload: id }, 0)
    if (!tap) host.table('veth_stations').put({ vni: this.vni, mac }, 1)
    this.portIds.push(id)
    this.leadsToDevices ||= tap
    this.know({ mac, addresses: ips, port_id: id })
    host.attach(trunk ? host.program('vlan', 'trunk') : host.program('port'), ifindex)
    return id
  }

  /** The workload, whose device is a trunk port of another network, speaks here by a tag; with `addresses`, by these only. */
  addTag(workload: Workload, tag: number, addresses?: string[]): number {
    const id = this.join(workload.hostIfindex, 'ATTACHED_VETH', tag, workload.mac, addresses !== undefined)
    for (const ip of addresses ?? []) this.host.table('workload_ips').put({ ip, workload: id }, 0)
    this.know({ mac: workload.mac, addresses: [], port_id: id })
    return id
  }

  /** The network reaches into the frames of a tag at a device of the host. What is known by now lives on this side of it. */
  addSegment(ifindex: number, tag: number): number {
    const id = this.join(ifindex, 'ATTACHED_DEVICE', tag, '00:00:00:00:00:00')
    for (const { mac } of this.known) this.host.table('residents').put({ workload: id, mac }, 1)
    this.leadToDevices()
    return id
  }

  /** From this network packets can come to taps and network cards, here or by what is stitched to it. */
  leadToDevices(): void {
    this.leadsToDevices = true
    this.refresh()
  }

  private join(ifindex: number, delivery: string, tag: number, mac: string, pinned = false): number {
    const id = ++workloads
    const network = { target: this.bridge.number, port: WORKLOADS, kind: 'ATTACHED_FUNCTION' }
    const chain = { chain: [INSTANCE_VLAN], chain_length: 1 }
    this.host.table('workloads').put(id, { ifindex, delivery, mac, mtu: 1500, pinned, network, ...chain })
    this.tag(id, ifindex, tag)
    this.portIds.push(id)
    return id
  }

  private tag(id: number, ifindex: number, tag: number): void {
    this.host.table('vlan_tags').put(id, tag)
    this.host.table('vlan_ids').put({ ifindex, tag }, id)
  }

  /** Where an address lives. */
  know(...endpoints: Endpoint[]): void {
    this.known.push(...endpoints)
    this.refresh()
  }

  /** The network is on that host too: floods go there, and tunnels from there lead here. Returns the host's number. */
  span(vtep: string): number {
    const peer = this.host.peer(vtep)
    this.peers.push(peer)
    this.vteps.push(vtep)
    this.refresh()
    return peer
  }

  /** Stitches the port of a function to the network. Returns the bridge's port. */
  stitch(instance: Instance, port: number): number {
    const own = FIRST_STITCHED + this.stitched.length
    this.host.stitch(this.bridge.number, own, { target: instance.number, port, kind: 'ATTACHED_FUNCTION' })
    this.host.stitch(instance.number, port, { target: this.bridge.number, port: own, kind: 'ATTACHED_FUNCTION' })
    this.stitched.push(own)
    this.refresh()
    return own
  }

  private refresh(): void {
    const network = { target: this.bridge.number, port: OVERLAY, kind: 'ATTACHED_FUNCTION' }
    for (const [n, remote] of this.vteps.entries())
      this.host.table('tunnels').put({ remote, vni: this.vni }, { network, peer: this.peers[n]!, by_kernel: this.leadsToDevices })
    const { vni, known: endpoints, peers, stitched } = this
    this.bridge.apply(this.config, {
      bridge: { vni, mtu: 1450, endpoints, port_ids: this.portIds, peers, stitched }
    })
  }

  close(): void {
    for (const each of [...this.workloads, ...this.machines]) each.close()
  }
}
