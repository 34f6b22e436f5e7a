// SPDX-License-Identifier: Apache-2.0
// The maps that all objects share: the panel, the stitches, the workloads, the other hosts.

import { setTimeout } from 'node:timers/promises'
import type { MapSpec } from '@inkev/bpf/catalogue/btf'
import type { Bpf, BpfMap, Program } from '@inkev/native'
import { SHARED_MAPS } from '../plan/plan'
import type { Entries } from '../plan/state'
import { ROAD } from '../plan/wishes'
import { deleteEntries, readEntries, readIndexes, readSlots, writeEntries } from './contents'
import type { Objects } from './objects'
import type { Pins } from './pins'

/** The road's objects declare them, beside the maps that every object has for itself. */
const ROAD_OBJECTS = Object.keys(ROAD)
const OWN_MAPS = ['counters', 'config']

const LETTING_GO_MS = 1_000
const POLL_MS = 5

/** These have an element for every port of every instance. */
const SLOT_MAPS = ['panel', 'stitches']

export class SharedMaps {
  private readonly maps = new Map<string, BpfMap>()
  private known: ReadonlyMap<string, MapSpec> | undefined

  constructor(
    private readonly bpf: Bpf,
    private readonly objects: Objects,
    private readonly pins: Pins
  ) {}

  /** Opens those that are pinned and reads them. */
  adopt(): Map<string, Entries> {
    for (const name of this.pins.sharedMaps()) this.maps.set(name, this.bpf.openMap(this.pins.sharedMap(name)))
    const written: readonly string[] = SHARED_MAPS
    const instances = this.maps.get('instances')
    const active = instances ? readIndexes(instances, range(instances.info.maxEntries)) : new Map<string, string>()
    const ids = [...active.keys()].map(key => Buffer.from(key, 'hex').readUInt32LE())
    const read = (name: string, map: BpfMap) =>
      SLOT_MAPS.includes(name) ? readSlots(map, ids) : name === 'instances' ? active : readEntries(map)
    return new Map([...this.maps].filter(([name]) => written.includes(name)).map(([name, map]) => [name, read(name, map)]))
  }

  /** Whether the pinned maps are as this version lays them out; if not, nothing that runs can be taken over. */
  fit(): boolean {
    return [...this.maps].every(([name, { info }]) => {
      const spec = this.declared().get(name)
      return spec !== undefined && spec.keySize === info.keySize && spec.valueSize === info.valueSize && spec.maxEntries === info.maxEntries
    })
  }

  isShared(name: string): boolean {
    return this.declared().has(name)
  }

  /** Of a map that is shared. */
  spec(name: string): MapSpec {
    return this.declared().get(name)!
  }

  /** Those that exist. The first object that is loaded brings them into being. */
  all(): Record<string, BpfMap> {
    return Object.fromEntries(this.maps)
  }

  /** A map that a load has created or used: the first of its name is kept and pinned, others are closed. */
  offer(name: string, map: BpfMap): void {
    if (this.maps.has(name)) {
      map.close()
      return
    }
    map.pin(this.pins.makeWay(this.pins.sharedMap(name)))
    this.maps.set(name, map)
  }

  put(name: string, entries: Entries, programs: Iterable<Program>): void {
    writeEntries(this.maps.get(name)!, entries, programs)
  }

  delete(name: string, keys: string[]): void {
    deleteEntries(this.maps.get(name)!, keys)
  }

  /** Resolves when the kernel has let go of them. */
  async clear(): Promise<void> {
    const ids = [...this.maps.values()].map(({ info }) => info.id)
    this.close()
    for (const name of this.pins.sharedMaps()) this.pins.remove(this.pins.sharedMap(name))
    await letGo(this.bpf, ids)
  }

  close(): void {
    for (const map of this.maps.values()) map.close()
    this.maps.clear()
  }

  /** Their types. */
  declared(): ReadonlyMap<string, MapSpec> {
    this.known ??= new Map(ROAD_OBJECTS.flatMap(name => [...this.objects.get(name).spec.maps].filter(([map]) => !OWN_MAPS.includes(map))))
    return this.known
  }
}

/**
 * Resolves when the kernel has let go of maps that were closed, which it does a little later. A program array that is opened by its number just then, as
 * `bpftool map` does, is kept by the kernel for ever (seen on 6.18): so nobody is told before that it is gone.
 */
export async function letGo(bpf: Bpf, ids: number[]): Promise<void> {
  const gone = new Set(ids)
  const end = performance.now() + LETTING_GO_MS
  while (bpf.mapIds().some(id => gone.has(id)) && performance.now() < end) await setTimeout(POLL_MS)
}

function range(length: number): number[] {
  return Array.from({ length }, (_, n) => n)
}
