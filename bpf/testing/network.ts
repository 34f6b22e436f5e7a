// SPDX-License-Identifier: Apache-2.0
// A network on a hand-made host: its bridge, its workloads, and what it knows of other hosts.

import type { Endpoint } from '../catalogue/define'
import { INSTANCE_OVERLAY, INSTANCE_PORT, INSTANCE_REPLICA, INSTANCE_UPLINK, INSTANCE_VLAN } from '../core/graph'
import { bridge } from '../functions/bridge/bridge'
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
  /** Port ids, by workload. */
  readonly ids = new Map<Workload, number>()
  private readonly known: Endpoint[] = []
  private readonly peers: number[] = []
  private readonly vteps: string[] = []
  private hasTaps = false
  /** Port ids of those that share a device by tags. */
  private readonly joined: number[] = []
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

  /** The device is told of last: it must not speak before it is known. */
  async addWorkload(name: string, options: PlacedWorkload): Promise<Workload> {
    const { host } = this
    const workload = await Workload.create(`${host.name}-${name}`, host, options)
    const id = ++workloads
    const { chain: further = [], pinned = false, mtu = 1450, mac, trunk = false } = options
    const chain = [...(trunk ? [INSTANCE_VLAN] : []), ...further]
    const network = { target: this.bridge.number, port: WORKLOADS, kind: 'ATTACHED_FUNCTION' }
    const device = { ifindex: workload.hostIfindex, delivery: options.tap ? 'ATTACHED_DEVICE' : 'ATTACHED_VETH', mac, mtu, pinned }
    host.table('workloads').put(id, { ...device, network, chain, chain_length: chain.length })
    if (trunk) this.tag(id, workload.hostIfindex, 0)
    else host.table('workload_ids').put(workload.hostIfindex, id)
    for (const ip of workload.ips) host.table('workload_ips').put({ ip, workload: id }, 0)
    this.workloads.push(workload)
    this.ids.set(workload, id)
    this.hasTaps ||= options.tap === true
    this.know({ mac, addresses: workload.ips, port_id: id })
    host.attach(trunk ? host.program('vlan', 'trunk') : host.program('port'), workload.hostIfindex)
    return workload
  }

  /** The workload, whose device is a trunk port of another network, speaks here by a tag. */
  addTag(workload: Workload, tag: number): number {
    const id = this.join(workload.hostIfindex, 'ATTACHED_VETH', tag, workload.mac)
    this.know({ mac: workload.mac, addresses: [], port_id: id })
    return id
  }

  /** The network reaches into the frames of a tag at a device of the host. What is known by now lives on this side of it. */
  addSegment(ifindex: number, tag: number): number {
    const id = this.join(ifindex, 'ATTACHED_DEVICE', tag, '00:00:00:00:00:00')
    for (const { mac } of this.known) this.host.table('residents').put({ workload: id, mac }, 1)
    this.refresh()
    return id
  }

  private join(ifindex: number, delivery: string, tag: number, mac: string): number {
    const id = ++workloads
    const network = { target: this.bridge.number, port: WORKLOADS, kind: 'ATTACHED_FUNCTION' }
    const chain = { chain: [INSTANCE_VLAN], chain_length: 1 }
    this.host.table('workloads').put(id, { ifindex, delivery, mac, mtu: 1500, pinned: false, network, ...chain })
    this.tag(id, ifindex, tag)
    this.joined.push(id)
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
      this.host.table('tunnels').put({ remote, vni: this.vni }, { network, peer: this.peers[n]!, by_kernel: this.hasTaps })
    const { vni, known: endpoints, peers, stitched } = this
    this.bridge.apply(this.config, {
      bridge: { vni, mtu: 1450, endpoints, port_ids: [...this.ids.values(), ...this.joined], peers, stitched }
    })
  }

  close(): void {
    for (const workload of this.workloads) workload.close()
  }
}
