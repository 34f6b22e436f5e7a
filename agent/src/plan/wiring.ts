// SPDX-License-Identifier: Apache-2.0
// From the graph, and the numbers that the kernel gave to its parts, to the shared maps and the hooks: who is led where.

import type { MapSpec } from '@inkev/bpf/catalogue/btf'
import type { Endpoint, Entry } from '@inkev/bpf/catalogue/define'
import { INSIDE, likelySlot, OUTSIDE, slotOf } from '@inkev/bpf/core/graph'
import { type HostFacts, inWords, resourceKey } from '../model/desired'
import { Exits } from '../model/exits'
import type { Graph, Instance } from '../model/graph'
import { type Numbers, Situation } from '../model/surroundings'
import { type ExistingDevice, isVeth, OVERLAY, segmentKey, type Target, type Workload } from '../model/workloads'
import type { Encoder } from './encoder'
import type { SharedMap } from './plan'
import { type Actual, type Entries, type HookWish, programValue, type Wiring } from './state'
import { REPLICA, ROAD, type RoadObject, roadKey, VXLAN } from './wishes'

export interface WiringInput {
  graph: Graph
  facts: HostFacts
  numbers: Numbers
  actual: Actual
  /** Types of the shared maps. */
  specs: ReadonlyMap<string, MapSpec>
  /** Keys of objects that must not be used though they are there: their maps could not be filled. */
  broken: ReadonlySet<string>
  vxlanPort: number
  encoder: Encoder
}

/** The wiring, and why resources are left out of it, by their keys. */
export function wiringOf(input: WiringInput): { wiring: Wiring; blocked: Map<string, string> } {
  const wirer = new Wirer(input)
  return { wiring: { shared: wirer.shared(), hooks: wirer.hooks() }, blocked: wirer.blocked() }
}

/** Contents of `union attachment`. */
type Attachment = { target: number; port: number; kind: string }

/** What lies behind a port of an instance; `to` is the instance whose program the slot holds. */
interface Way {
  from: number
  port: number
  attachment: Attachment
  to: string | undefined
}

/** Where packets come in: the key of the hook, the device, and the program there. */
type Place = [key: string, ifindex: number | undefined, object: RoadObject, program: string]

/** A jump from one instance to another, by their numbers. */
interface Jump {
  from: number
  to: number
}

class Wirer {
  private readonly usable: ReadonlyMap<string, number>
  private readonly connected: Workload[]
  /** Of every port of every instance. */
  private readonly ways: Way[]
  private readonly hints: Jump[]
  private readonly exits: Exits

  constructor(private readonly input: WiringInput) {
    const { actual, broken } = input
    this.usable = new Map([...actual.objects].filter(([key]) => !broken.has(key)).map(([key, { programId }]) => [key, programId]))
    this.connected = [...input.graph.workloads.values()].filter(workload => workload.join && !this.obstacle(workload))
    this.ways = [...input.graph.instances.values()].filter(({ key }) => this.usable.has(key)).flatMap(instance => this.waysFrom(instance))
    this.hints = this.findHints()
    this.exits = new Exits(input.graph)
  }

  /** A workload that waits for a part of its way is not connected: its packets must not go round a function of its chain. */
  blocked(): Map<string, string> {
    const { graph } = this.input
    const workloads = [...graph.workloads.values()].map(workload => [workload.owner, this.obstacle(workload)] as const)
    const stitches = [...graph.stitches].map(([name, ends]) => [resourceKey('stitches', name), this.obstacleAt(ends)] as const)
    return new Map([...stitches, ...workloads].filter((each): each is [string, string] => each[1] !== undefined))
  }

  shared(): Map<string, Entries> {
    const entries: Partial<Record<SharedMap, Entries>> = {
      instances: programEntries([...this.usable].map(([key, program]) => [this.instanceNumber(key), program])),
      host: this.encode('host', this.host()),
      peers: this.encode('peers', this.peers()),
      workloads: this.encode('workloads', this.workloads()),
      workload_ips: this.encode('workload_ips', this.workloadIps()),
      panel: programEntries(this.panel()),
      stitches: this.encode('stitches', this.stitches()),
      tunnels: this.encode('tunnels', this.tunnels()),
      workload_ids: this.encode('workload_ids', this.workloadIds()),
      ...(this.usable.has(roadKey('uplink')) && { veth_stations: this.encode('veth_stations', this.vethStations()) }),
      ...(this.usable.has(roadKey('vlan')) && {
        vlan_tags: this.encode('vlan_tags', this.vlanTags()),
        vlan_ids: this.encode('vlan_ids', this.vlanIds()),
        residents: this.encode('residents', this.residents())
      })
    }
    return new Map(this.usable.size > 0 ? Object.entries(entries) : [])
  }

  hooks(): Map<string, HookWish> {
    const hooks = this.places().flatMap(([key, ifindex, object, program]) =>
      ifindex && this.usable.has(roadKey(object)) ? [{ key, ifindex, object: roadKey(object), program }] : []
    )
    return new Map(hooks.map(hook => [hook.key, hook]))
  }

  /** Where packets come in; index 0 or none for a device that is not there. */
  private places(): Place[] {
    const { graph, facts, actual } = this.input
    if (graph.workloads.size === 0) return []
    const devices = actual.devices
    return [
      ['core/uplink', facts.uplink?.ifindex, 'uplink', 'uplink'],
      ...(facts.uplink?.further ?? []).map(({ name, ifindex }): Place => [`core/uplink-${name}`, ifindex, 'uplink', 'uplink']),
      [VXLAN, devices.get(VXLAN)?.ifindex, 'uplink', 'vxlan'],
      [REPLICA, devices.get(REPLICA)?.peer, 'replica', 'replica'],
      ...this.entrances()
    ]
  }

  /** One for each device; several segments may share one. */
  private entrances(): Place[] {
    const places = new Map<string, Place>()
    for (const workload of this.input.graph.workloads.values()) {
      const { on, device, entrance } = workload
      const key = entrance === 'segment' ? segmentKey((device as ExistingDevice).interface) : on
      places.set(key, [key, this.ifindexOf(workload), entrance === 'port' ? 'port' : 'vlan', entrance])
    }
    return [...places.values()]
  }

  /** What stands in the way of a workload, as a sentence. */
  private obstacle({ key, tag, chain, join }: Workload): string | undefined {
    if (tag !== undefined && !this.usable.has(roadKey('vlan'))) return 'the program of VLANs is not loaded'
    const way: Target[] = [{ workload: key }, ...chain.map(instance => ({ instance, port: '' })), ...(join ? [join] : [])]
    return this.obstacleAt(way)
  }

  private obstacleAt(way: Target[]): string | undefined {
    for (const target of way) {
      const missing = 'workload' in target ? this.missingDevice(target.workload) : this.notLoaded(target.instance)
      if (missing) return missing
    }
    return undefined
  }

  private notLoaded(instance: string): string | undefined {
    const wanted = this.input.graph.instances.has(instance)
    return wanted && !this.usable.has(instance) ? `${inWords(instance)} is not loaded` : undefined
  }

  private missingDevice(key: string): string | undefined {
    const workload = this.input.graph.workloads.get(key)
    if (!workload || this.ifindexOf(workload) !== undefined) return undefined
    const { device } = workload
    return isVeth(device) ? `its device in namespace ${device.netns} is missing` : `the host has no device ${device.interface}`
  }

  private ifindexOf({ on, device }: Workload): number | undefined {
    return isVeth(device) ? this.input.actual.devices.get(on)?.ifindex : this.input.facts.device(device.interface)?.ifindex
  }

  private instanceNumber(key: string): number {
    const road = key.startsWith('core/') ? ROAD[key.slice('core/'.length) as RoadObject] : undefined
    return road ?? this.input.numbers.instance(key)
  }

  private host(): Entry[] {
    const { facts, actual, vxlanPort } = this.input
    const { vtep = '::', further = [] } = facts.uplink ?? {}
    const index = (key: string) => actual.devices.get(key)?.ifindex ?? 0
    return [{ key: 0, value: { vtep, uplinks: 1 + further.length, vxlan: index(VXLAN), replica: index(REPLICA), vxlan_port: vxlanPort } }]
  }

  private peers(): Entry[] {
    const vteps = new Set(this.input.graph.remotes.map(({ vtep }) => vtep))
    return [...vteps].map(vtep => ({ key: this.input.numbers.peer(vtep), value: { vtep } }))
  }

  private workloads(): Entry[] {
    return this.connected.flatMap(workload => {
      const network = this.attachment(workload.join!)
      if (!network) return []
      const chain = this.chainOf(workload)
      const value = {
        ifindex: this.ifindexOf(workload)!,
        delivery: isVeth(workload.device) ? 'ATTACHED_VETH' : 'ATTACHED_DEVICE',
        chain_length: chain.length,
        pinned: workload.pinned,
        mac: workload.mac ?? '00:00:00:00:00:00',
        mtu: workload.mtu,
        network,
        chain
      }
      return [{ key: this.input.numbers.workload(workload.key), value }]
    })
  }

  /** From the workload outwards; where tags count, what puts them on comes first. */
  private chainOf({ tag, chain }: Workload): number[] {
    return [...(tag === undefined ? [] : [ROAD.vlan]), ...chain.map(key => this.instanceNumber(key))]
  }

  private vlanTags(): Entry[] {
    return this.connected.flatMap(({ key, tag }) => (tag === undefined ? [] : [{ key: this.input.numbers.workload(key), value: tag }]))
  }

  private vlanIds(): Entry[] {
    return this.connected.flatMap(workload => {
      const { key, tag } = workload
      return tag === undefined ? [] : [{ key: { ifindex: this.ifindexOf(workload)!, tag }, value: this.input.numbers.workload(key) }]
    })
  }

  /** Who is known to live behind this host, or beyond its tunnels, as seen from each segment. */
  private residents(): Entry[] {
    const { graph, numbers } = this.input
    const segments = this.connected.filter(({ entrance }) => entrance === 'segment')
    const situation = new Situation(graph, numbers)
    return segments.flatMap(({ key, network }) => {
      const workload = numbers.workload(key)
      const { endpoints = [] } = situation.of(graph.instances.get(resourceKey('networks', network!))!).bridge ?? {}
      return endpoints.filter(({ port_id }: Endpoint) => port_id !== workload).map(({ mac }) => ({ key: { workload, mac }, value: 1 }))
    })
  }

  private workloadIps(): Entry[] {
    const pinned = this.connected.filter(workload => workload.pinned)
    return pinned.flatMap(({ key, addresses }) =>
      addresses.map(ip => ({ key: { ip, workload: this.input.numbers.workload(key) }, value: 1 }))
    )
  }

  private workloadIds(): Entry[] {
    const alone = this.connected.filter(({ tag }) => tag === undefined)
    return alone.map(workload => ({ key: this.ifindexOf(workload)!, value: this.input.numbers.workload(workload.key) }))
  }

  private tunnels(): Entry[] {
    const { graph, numbers } = this.input
    return graph.remotes.flatMap(({ network, vtep }) => {
      const key = resourceKey('networks', network)
      const attachment = this.attachment({ instance: key, port: OVERLAY })
      if (!attachment) return []
      const { vni } = graph.instances.get(key)!.network!
      const value = { network: attachment, peer: numbers.peer(vtep), by_kernel: this.exits.from(network) }
      return [{ key: { remote: vtep, vni: vni! }, value }]
    })
  }

  private vethStations(): Entry[] {
    const { instances } = this.input.graph
    return this.exits.workloadsWithout().flatMap(({ network, mac }) => {
      const vni = instances.get(resourceKey('networks', network!))?.network?.vni
      return vni === undefined || mac === undefined || !this.exits.from(network!) ? [] : [{ key: { vni, mac }, value: 1 }]
    })
  }

  private stitches(): Entry[] {
    const ways = [...this.ways, ...this.waysOfTags()].map(({ from, port, attachment }) => ({ key: slotOf(from, port), value: attachment }))
    const hints = this.hints.map(({ from, to }) => ({
      key: likelySlot(from, to),
      value: { target: to, port: 0, kind: 'ATTACHED_NOTHING' }
    }))
    return [...ways, ...hints]
  }

  private panel(): [slot: number, program: number][] {
    const ways = this.ways.flatMap(({ from, port, to }) =>
      to === undefined ? [] : [[slotOf(from, port), this.usable.get(to)!] as [number, number]]
    )
    const programs = new Map([...this.usable].map(([key, program]) => [this.instanceNumber(key), program]))
    return [...ways, ...this.hints.map(({ from, to }) => [likelySlot(from, to), programs.get(to)!] as [number, number])]
  }

  private waysFrom(instance: Instance): Way[] {
    const from = this.instanceNumber(instance.key)
    const alongChains = instance.chained ? waysAlongChains(from) : []
    const overlay = instance.network && this.input.facts.uplink ? [[OVERLAY, { instance: roadKey('overlay'), port: '' }] as const] : []
    const stitched = [...instance.ports, ...overlay].flatMap(([name, target]) => {
      const attachment = target && this.attachment(target)
      if (!attachment) return []
      return [
        { from, port: this.input.numbers.port(instance.key, name), attachment, to: 'instance' in target ? target.instance : undefined }
      ]
    })
    return [...alongChains, ...stitched]
  }

  private waysOfTags(): Way[] {
    return this.usable.has(roadKey('vlan')) ? waysAlongChains(ROAD.vlan) : []
  }

  private attachment(target: Target): Attachment | undefined {
    if ('workload' in target) {
      const workload = this.connected.find(({ key }) => key === target.workload)
      return workload && { target: this.input.numbers.workload(workload.key), port: 0, kind: 'ATTACHED_WORKLOAD' }
    }
    if (!this.usable.has(target.instance)) return undefined
    const port = target.instance === roadKey('overlay') ? 0 : this.input.numbers.port(target.instance, target.port)
    return { target: this.instanceNumber(target.instance), port, kind: 'ATTACHED_FUNCTION' }
  }

  /** For each instance, and each residue of the numbers it may jump to, the one that most of its jumps lead to. */
  private findHints(): Jump[] {
    const counts = new Map<string, { jump: Jump; count: number }>()
    for (const jump of this.jumps()) {
      const name = `${jump.from} ${jump.to}`
      counts.set(name, { jump, count: (counts.get(name)?.count ?? 0) + 1 })
    }
    const best = new Map<number, { jump: Jump; count: number }>()
    for (const each of [...counts.values()].toSorted((a, b) => b.count - a.count || a.jump.to - b.jump.to)) {
      const slot = likelySlot(each.jump.from, each.jump.to)
      if (!best.has(slot)) best.set(slot, each)
    }
    return [...best.values()].map(({ jump }) => jump)
  }

  /** The ways that packets take by number: out of workloads, along their chains, and out of ports that a function computes. */
  private jumps(): Jump[] {
    const alongChains = this.connected.flatMap(workload => {
      const { join } = workload
      const network = join && 'instance' in join ? [this.instanceNumber(join.instance)] : []
      const stations = [...this.chainOf(workload), ...network]
      const steps = stations.slice(1).flatMap((next, n) => [
        { from: stations[n]!, to: next },
        { from: next, to: stations[n]! }
      ])
      return [...(stations[0] === undefined ? [] : [{ from: ROAD.port, to: stations[0] }]), ...steps]
    })
    const outOfPorts = this.ways.flatMap(({ from, to }) => (to === undefined ? [] : [{ from, to: this.instanceNumber(to) }]))
    const fromOutside = this.input.graph.remotes.map(({ network }) => ({
      from: ROAD.uplink,
      to: this.instanceNumber(resourceKey('networks', network))
    }))
    const usable = new Set([...this.usable.keys()].map(key => this.instanceNumber(key)))
    return [...alongChains, ...outOfPorts, ...fromOutside].filter(({ to }) => usable.has(to))
  }

  private encode(map: SharedMap, entries: Entry[]): Entries {
    return this.input.encoder.encode('', this.input.specs, map, entries)
  }
}

function waysAlongChains(from: number): Way[] {
  const attachment = { target: 0, port: 0, kind: 'ATTACHED_CHAIN' }
  return [INSIDE, OUTSIDE].map(port => ({ from, port, attachment, to: undefined }))
}

function programEntries(entries: [index: number, program: number][]): Entries {
  return new Map(entries.map(([index, program]) => [programValue(index), programValue(program)]))
}
