// SPDX-License-Identifier: Apache-2.0
// The kernel of one host as data: what it should hold, and what it holds. Keys are those of the graph; `core/…` is the road's own.

import type { Veth } from '../model/workloads'

/** Contents of one map: key → value, both in hex. */
export type Entries = Map<string, string>

/** How a program array's entry is written. */
export function programValue(programId: number): string {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(programId)
  return bytes.toString('hex')
}

/** An eBPF object that should run. */
export interface ObjectWish {
  key: string
  /** The compiled object, as `bridge`. */
  object: string
  /** The instance number that is set in it. */
  id: number
  /** Maps that the agent writes: all others are the object's memory. Undefined for the road's own, which have none. */
  written?: ReadonlySet<string>
  /** Sizes of maps that differ from those declared. */
  sizes: Record<string, number>
  /** Names what would run: code, number and sizes. Objects of equal digest are equal. */
  digest: string
}

/** What the maps of one object should hold. */
export interface ImageWish {
  maps: Map<string, Entries>
  /** Written last; other entries of these maps are left alone. */
  commit: Map<string, Entries>
  /** Maps that the kernel fills: the keys that they may hold. */
  allowed: Map<string, Set<string>>
}

/** A device that inkev makes. */
export interface DeviceWish {
  key: string
  /** Name on the host. */
  name: string
  make: { veth: Veth } | { vxlan: { port: number; mtu: number } } | { pair: { peer: string; mtu: number } }
}

/** A program that should see what arrives at a device. */
export interface HookWish {
  key: string
  ifindex: number
  /** Key of the object, and which of its programs. */
  object: string
  program: string
}

/** What does not depend on the numbers that the kernel gives. */
export interface Wishes {
  /** Namespaces of workloads; those that are missing are created where true. */
  namespaces: Map<string, boolean>
  devices: Map<string, DeviceWish>
  objects: Map<string, ObjectWish>
  /** By key of the object. */
  images: Map<string, ImageWish>
}

/** What refers to devices and programs by the numbers that the kernel gave them. */
export interface Wiring {
  /** Contents of the maps that all objects share, by map name. */
  shared: Map<string, Entries>
  hooks: Map<string, HookWish>
}

export interface ObjectFact {
  digest: string
  /** The program that the object is named after: the function itself. */
  programId: number
  /** All its programs. */
  programs: ReadonlyMap<string, number>
  /** Whether pins are left of what ran before it. */
  stale: boolean
  /** Whether what ran before it still has the packets, as its memory has to be moved. */
  waiting?: boolean
}

export interface DeviceFact {
  ifindex: number
  /** The other end of a pair, where that is in the same namespace; else of no meaning. */
  peer: number
  /** The `make` that it was last brought to, as JSON; undefined while that is not known. */
  made: string | undefined
}

export interface HookFact {
  ifindex: number
  programId: number
}

/** What the kernel holds of inkev's. */
export interface Actual {
  /** Namespaces that inkev created: whether they are there. */
  namespaces: Map<string, boolean>
  objects: Map<string, ObjectFact>
  devices: Map<string, DeviceFact>
  /** By key of the object, then by map name. */
  images: Map<string, Map<string, Entries>>
  shared: Map<string, Entries>
  hooks: Map<string, HookFact>
}
