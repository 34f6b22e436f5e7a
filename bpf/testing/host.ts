// SPDX-License-Identifier: Apache-2.0
// A host made by hand: a network namespace with the road in it, so that tests see packets of real kernels on real devices, without an agent.

import { type BpfMap, type Link, type Netlink, type Netns, native, type Program } from '@inkev/native'
import type { FunctionKind, Surroundings } from '../catalogue/define'
import {
  INSIDE,
  INSTANCE_FIRST,
  INSTANCE_OVERLAY,
  INSTANCE_PORT,
  INSTANCE_REPLICA,
  INSTANCE_UPLINK,
  INSTANCE_VLAN,
  likelySlot,
  OUTSIDE,
  slotOf
} from '../core/graph'
import { VXLAN_PORT } from '../packets/frame'
import { noteCounted } from './counted'
import { Instance, LoadedObject, type Table } from './instance'
import { Network } from './network'

const VXLAN_MTU = 65_000
const INSTANCES = 256
const SIZES = { panel: slotOf(INSTANCES, 0), stitches: slotOf(INSTANCES, 0), workloads: 4096, peers: 64, tunnels: 256 }
const SHARED = ['panel', 'instances', 'stitches', 'workloads', 'host', 'peers', 'tunnels', 'workload_ips']

/** What lies behind a slot, in the words of union attachment. */
export type Attachment = { target: number; port?: number; kind: string }

export class Host {
  readonly networks: Network[] = []
  private readonly links: Link[] = []
  private readonly instances: Instance[] = []
  private readonly shared = new Map<string, BpfMap>()
  private readonly core = new Map<string, LoadedObject>()
  private readonly peers: string[] = []
  private nextInstance = INSTANCE_FIRST

  private constructor(
    readonly name: string,
    readonly vtep: string,
    readonly netns: Netns,
    readonly net: Netlink
  ) {}

  /** In the namespace `name`, which has the address `vtep` and reaches other hosts by the devices `uplinks`. */
  static async create(name: string, vtep: string, ...uplinks: string[]): Promise<Host> {
    const netns = native.net.openNetns(`/run/netns/${name}`)
    const host = new Host(name, vtep, netns, native.net.open(netns))
    await host.loadCore()
    host.begin(uplinks.map(uplink => host.net.link(uplink)!.ifindex))
    return host
  }

  private async loadCore(): Promise<void> {
    const numbers = {
      port: INSTANCE_PORT,
      overlay: INSTANCE_OVERLAY,
      uplink: INSTANCE_UPLINK,
      replica: INSTANCE_REPLICA,
      vlan: INSTANCE_VLAN
    }
    for (const [name, number] of Object.entries(numbers)) {
      const loaded = await LoadedObject.load(name, { number, sizes: SIZES, share: this.shared })
      this.core.set(name, loaded)
      for (const map of SHARED) if (!this.shared.has(map) && loaded.object.maps.has(map)) this.shared.set(map, loaded.object.maps.get(map)!)
    }
  }

  private begin(uplinks: number[]): void {
    const { net } = this
    const vxlan = net.createVxlan({ name: 'vxlan', port: VXLAN_PORT, mtu: VXLAN_MTU })
    const replica = net.createVeth({ name: 'replica', peerName: 'replica-out', mtu: VXLAN_MTU })
    const replicaOut = net.link('replica-out')!.ifindex
    for (const device of ['vxlan', 'replica', 'replica-out']) net.sysctl(`ipv6/conf/${device}/disable_ipv6`, '1')
    for (const family of ['ipv4', 'ipv6']) net.sysctl(`${family}/conf/replica/forwarding`, '1')
    for (const ifindex of [vxlan, replica, replicaOut]) net.setLink(ifindex, { up: true })
    this.table('host').put(0, { vtep: this.vtep, uplinks: uplinks.length, vxlan, replica, vxlan_port: VXLAN_PORT })
    this.map('instances').putProgram(INSTANCE_OVERLAY, this.program('overlay'))
    this.map('instances').putProgram(INSTANCE_VLAN, this.program('vlan'))
    for (const port of [INSIDE, OUTSIDE]) this.stitch(INSTANCE_VLAN, port, { target: 0, kind: 'ATTACHED_CHAIN' })
    for (const uplink of uplinks) this.attach(this.program('uplink'), uplink)
    this.attach(this.program('uplink', 'vxlan'), vxlan)
    this.attach(this.program('replica'), replicaOut)
  }

  /** By a tcx link on ingress. */
  attach(program: Program, ifindex: number): void {
    this.links.push(program.attachTcx(ifindex, 'ingress', this.netns))
  }

  program(object: string, name = object): Program {
    return this.core.get(object)!.program(name)
  }

  /** A map that all programs share. */
  map(name: string): BpfMap {
    return this.shared.get(name)!
  }

  /** A map of the road. */
  table(name: string): Table {
    return [...this.core.values()].find(({ spec }) => spec.maps.has(name))!.table(name)
  }

  /** The drops of one of the road's objects. */
  counters(object: string): Record<string, number> {
    const counters = this.core.get(object)!.countersOf([])
    noteCounted(
      object,
      Object.keys(counters).filter(name => counters[name]! > 0)
    )
    return counters
  }

  async addInstance(kind: FunctionKind, config: Record<string, unknown>, surroundings?: Partial<Surroundings>): Promise<Instance> {
    const number = this.nextInstance++
    const instance = await Instance.create(kind, config, { number, sizes: SIZES, share: this.shared })
    this.instances.push(instance)
    instance.apply(config, surroundings)
    this.map('instances').putProgram(number, instance.entry)
    return instance
  }

  /** A function for the chains of workload ports. */
  async addChained(kind: FunctionKind, config: Record<string, unknown>): Promise<Instance> {
    const instance = await this.addInstance(kind, config)
    for (const port of [INSIDE, OUTSIDE]) this.stitch(instance.number, port, { target: 0, kind: 'ATTACHED_CHAIN' })
    return instance
  }

  /** What leaves `instance` by `port` goes to the attachment. The program first, then the entry that makes it count. */
  stitch(instance: number, port: number, attachment: Attachment): void {
    const slot = slotOf(instance, port)
    if (attachment.kind === 'ATTACHED_FUNCTION') this.map('panel').putProgram(slot, this.programOf(attachment.target))
    this.table('stitches').put(slot, { port: 0, ...attachment })
  }

  /** Stitches two ports to each other. */
  connect(...[[a, aPort], [b, bPort]]: [[Instance, number], [Instance, number]]): void {
    this.stitch(a.number, aPort, { target: b.number, port: bPort, kind: 'ATTACHED_FUNCTION' })
    this.stitch(b.number, bPort, { target: a.number, port: aPort, kind: 'ATTACHED_FUNCTION' })
  }

  /** Spares `instance` the indirect jump to `target`. */
  expect(instance: number, target: number): void {
    const slot = likelySlot(instance, target)
    this.map('panel').putProgram(slot, this.programOf(target))
    this.table('stitches').put(slot, { target, port: 0, kind: 'ATTACHED_NOTHING' })
  }

  private programOf(number: number): Program {
    return number === INSTANCE_OVERLAY ? this.program('overlay') : this.instances.find(instance => instance.number === number)!.entry
  }

  /** The number of a remote host. */
  peer(vtep: string): number {
    if (!this.peers.includes(vtep)) {
      this.peers.push(vtep)
      this.table('peers').put(this.peers.length, { vtep })
    }
    return this.peers.indexOf(vtep) + 1
  }

  async addNetwork(vni: number, config: Record<string, unknown> = {}): Promise<Network> {
    const network = await Network.create(this, vni, config)
    this.networks.push(network)
    return network
  }

  close(): void {
    for (const network of this.networks) network.close()
    for (const link of this.links) {
      link.detach()
      link.close()
    }
    for (const instance of this.instances) instance.close()
    for (const object of this.core.values()) object.close()
    this.net.close()
    this.netns.close()
    native.net.deleteNetns(this.name)
  }
}
