// SPDX-License-Identifier: Apache-2.0
// From the graph to what must be made for it: namespaces, devices, eBPF objects and the contents of their maps.

import { INSTANCE_OVERLAY, INSTANCE_PORT, INSTANCE_REPLICA, INSTANCE_UPLINK, INSTANCE_VLAN } from '@inkev/bpf/core/graph'
import type { HostFacts } from '../model/desired'
import type { Graph, Instance } from '../model/graph'
import type { Numbers } from '../model/surroundings'
import { isVeth } from '../model/workloads'
import { digestOf, runDigest } from './digest'
import type { CompiledCode, CompiledObjects } from './images'
import type { DeviceWish, ImageWish, ObjectWish, Wishes } from './state'

/** The road's own objects, with their instance numbers, in the order in which they are loaded: the first brings the shared maps. */
export const ROAD = {
  port: INSTANCE_PORT,
  uplink: INSTANCE_UPLINK,
  overlay: INSTANCE_OVERLAY,
  replica: INSTANCE_REPLICA,
  vlan: INSTANCE_VLAN
} as const
export type RoadObject = keyof typeof ROAD

/** The kernel's own vxlan device carries what the fast path cannot; copies go through a pair of devices. */
export const VXLAN = 'core/vxlan'
export const REPLICA = 'core/replica'
const VXLAN_NAME = 'inkev-vxlan'
const REPLICA_NAMES = { name: 'inkev-replica', peer: 'inkev-replica-r' }
/** As large as they take: the graph checks sizes itself. */
const REPLICA_MTU = 65_535
const VXLAN_MTU = 65_485

export function roadKey(object: RoadObject): string {
  return `core/${object}`
}

/** A host to which no workload is connected needs nothing, and has nothing. */
export function wishesOf(
  graph: Graph,
  facts: HostFacts,
  numbers: Numbers,
  objects: CompiledObjects,
  images: Map<string, ImageWish>,
  vxlanPort: number
): Wishes {
  const needed = graph.workloads.size > 0
  const made = [...graph.instances.values()].filter(({ key }) => images.has(key))
  const veths = [...graph.workloads.values()].flatMap(({ key, on, device }) =>
    isVeth(device) && key === on ? [{ key, veth: device }] : []
  )
  const tagged = [...graph.workloads.values()].some(({ tag }) => tag !== undefined)
  const devices = [
    ...(needed ? roadDevices(facts, vxlanPort) : []),
    ...veths.map(({ key, veth }) => ({ key, name: vethName(key), make: { veth } }))
  ]
  const wished = [
    ...(needed ? roadObjects(facts, objects, tagged) : []),
    ...made.map(instance => objectOf(instance, numbers, objects, images))
  ]
  return {
    namespaces: new Map(
      veths.toSorted((a, b) => Number(a.veth.createNetns) - Number(b.veth.createNetns)).map(({ veth }) => [veth.netns, veth.createNetns])
    ),
    devices: byKey(devices),
    objects: byKey(wished),
    images
  }
}

function roadDevices({ uplink }: HostFacts, port: number): DeviceWish[] {
  const replica = { key: REPLICA, name: REPLICA_NAMES.name, make: { pair: { peer: REPLICA_NAMES.peer, mtu: REPLICA_MTU } } }
  if (!uplink) return [replica]
  return [replica, { key: VXLAN, name: VXLAN_NAME, make: { vxlan: { port, mtu: VXLAN_MTU } } }]
}

function roadObjects({ uplink }: HostFacts, objects: CompiledObjects, tagged: boolean): ObjectWish[] {
  const needed: Record<RoadObject, boolean> = { port: true, replica: true, uplink: !!uplink, overlay: !!uplink, vlan: tagged }
  const names = (Object.keys(ROAD) as RoadObject[]).filter(name => needed[name])
  return names.map(name => objectWish(roadKey(name), objects.get(name), ROAD[name], {}))
}

function objectOf(
  { key, kind, config }: Instance,
  numbers: Numbers,
  objects: CompiledObjects,
  images: ReadonlyMap<string, ImageWish>
): ObjectWish {
  const { maps, commit } = images.get(key)!
  const wish = objectWish(key, objects.of(kind), numbers.instance(key), kind.sizes?.(config as never) ?? {})
  return { ...wish, written: new Set([...maps.keys(), ...commit.keys()]) }
}

function objectWish(key: string, { name, digest }: CompiledCode, id: number, sizes: Record<string, number>): ObjectWish {
  return { key, object: name, id, sizes, digest: runDigest(digest, String(id), JSON.stringify(sizes)) }
}

const NAME_MAX = 12

/** The host's end of a port's veth, in the 15 characters that a device's name may have. */
export function vethName(key: string): string {
  const name = key.slice(key.indexOf('/') + 1)
  return `ik-${name.length <= NAME_MAX ? name : `${name.slice(0, 5)}-${digestOf(name).slice(0, 6)}`}`
}

function byKey<T extends { key: string }>(items: T[]): Map<string, T> {
  return new Map(items.map(item => [item.key, item]))
}
