// SPDX-License-Identifier: Apache-2.0
// The one owner of everything that inkev has in the kernel: reads what is there, performs steps, and keeps `actual` true to both.

import { isDeepStrictEqual } from 'node:util'
import type { MapSpec } from '@inkev/bpf/catalogue/btf'
import type { Entry, FunctionKind } from '@inkev/bpf/catalogue/define'
import type { Native, Netlink } from '@inkev/native'
import { codeOf } from '../plan/digest'
import type { Step } from '../plan/plan'
import type { Actual, Entries, ObjectWish } from '../plan/state'
import { Devices } from './devices'
import { handOver, type Parts, resumeFormer } from './handover'
import { Hooks } from './hooks'
import { LoadedObjects } from './loaded'
import { Namespaces, type OwnedNamespaces } from './namespaces'
import type { Objects } from './objects'
import { Pins } from './pins'
import { type Listener, type Listening, Rings } from './rings'
import { Shadow } from './shadow'
import { SharedMaps } from './shared'

export class Kernel {
  readonly actual: Actual = {
    namespaces: new Map(),
    objects: new Map(),
    devices: new Map(),
    images: new Map(),
    shared: new Map(),
    hooks: new Map()
  }
  private readonly shared: SharedMaps
  private readonly loaded: LoadedObjects
  private readonly namespaces: Namespaces
  private readonly devices: Devices
  private readonly hooks: Hooks
  private readonly rings: Rings

  /** `host` is a netlink socket in the host's namespace. */
  constructor(
    private readonly native: Native,
    private readonly objects: Objects,
    host: Netlink,
    owned: OwnedNamespaces,
    bpffs: string,
    /** Is told of memory that the next version of an object cannot take over. */
    private readonly onLoss: (key: string, reason: string) => void
  ) {
    const pins = new Pins(bpffs)
    this.shared = new SharedMaps(native.bpf, objects, pins)
    this.loaded = new LoadedObjects(native.bpf, objects, this.shared, pins)
    this.namespaces = new Namespaces(native.net, owned)
    this.devices = new Devices(native.net, host)
    this.hooks = new Hooks(native.bpf, pins)
    this.rings = new Rings(native.bpf, this.loaded)
  }

  /** Takes over what an earlier agent left: it runs on as it is. False when that was laid out by another version, and had to be removed. */
  async adopt(): Promise<boolean> {
    replace(this.actual.shared, this.shared.adopt())
    const active = new Set(this.actual.shared.get('instances')?.values())
    replace(this.actual.objects, this.loaded.adopt(active))
    this.hooks.adopt()
    const fits = this.shared.fit()
    if (fits) resumeFormer(this.parts())
    else await this.removeAll()
    for (const key of this.loaded.remains()) this.loaded.unload(key)
    for (const key of this.actual.objects.keys()) this.rings.adopt(key)
    this.observe()
    return fits
  }

  /** Looks again at what others can change: namespaces, devices, hooks. True when anything is not as it was. */
  observe(): boolean {
    const { actual } = this
    const before = [actual.namespaces, actual.devices, actual.hooks].map(part => new Map<string, unknown>(part))
    replace(actual.namespaces, this.namespaces.find())
    replace(actual.devices, this.devices.find(actual.devices))
    replace(actual.hooks, this.hooks.find())
    return !isDeepStrictEqual(before, [actual.namespaces, actual.devices, actual.hooks])
  }

  /** Types of the shared maps. */
  get sharedSpecs(): ReadonlyMap<string, MapSpec> {
    return this.shared.declared()
  }

  /** Whether a device that is gone was ours. */
  owns(ifindex: number): boolean {
    return (
      [...this.actual.devices.values()].some(device => device.ifindex === ifindex) ||
      [...this.actual.hooks.values()].some(hook => hook.ifindex === ifindex)
    )
  }

  /** Reads maps of objects that were taken over, by key of the object and name of the map, so that an image can be compared with them. */
  readImages(wished: Iterable<[key: string, maps: Iterable<string>]>): void {
    for (const [key, maps] of wished) {
      const known = this.actual.images.get(key) ?? new Map<string, Entries>()
      for (const map of maps) {
        const entries = known.has(map) ? undefined : this.loaded.read(key, map)
        if (entries) known.set(map, entries)
      }
      if (this.actual.objects.has(key)) this.actual.images.set(key, known)
    }
  }

  async perform(step: Step): Promise<void> {
    const { actual } = this
    switch (step.do) {
      case 'found':
        if (await this.namespaces.found(step.key)) actual.namespaces.set(step.key, true)
        break
      case 'make':
        actual.devices.set(step.key, this.devices.make(step.wish, actual.devices.get(step.key)?.made, actual.hooks.has(step.key)))
        break
      case 'load':
        await this.load(step.wish)
        break
      case 'take over':
        await this.takeOver(step.key)
        break
      case 'sync':
        this.sync(step)
        break
      case 'put':
        this.shared.put(step.key, step.entries, this.loaded.mains())
        add(actual.shared, step.key, step.entries)
        break
      case 'delete':
        this.shared.delete(step.key, step.keys)
        for (const key of step.keys) actual.shared.get(step.key)?.delete(key)
        break
      case 'attach':
        actual.hooks.set(
          step.key,
          this.hooks.attach(step.key, step.wish.ifindex, this.loaded.program(step.wish.object, step.wish.program)!)
        )
        if (actual.devices.get(step.key)?.ifindex === step.wish.ifindex) this.devices.raise(step.wish.ifindex)
        break
      case 'detach':
        this.hooks.detach(step.key)
        actual.hooks.delete(step.key)
        break
      case 'tidy':
        this.loaded.tidy(step.key, actual.objects.get(step.key)!.digest)
        actual.objects.set(step.key, { ...actual.objects.get(step.key)!, stale: false })
        break
      case 'unload':
        this.rings.end(step.key)
        this.loaded.unload(step.key)
        actual.objects.delete(step.key)
        actual.images.delete(step.key)
        break
      case 'unmake':
        this.devices.unmake(step.keys.map(key => [key, actual.devices.get(key)!.ifindex]))
        for (const key of step.keys) actual.devices.delete(key)
        break
      case 'dissolve':
        await this.namespaces.dissolve(step.key)
        actual.namespaces.delete(step.key)
        break
      case 'clear':
        await this.shared.clear()
        actual.shared.clear()
    }
  }

  /** SHA-256 of the code that has an object's packets; undefined while nothing has, or where another version of the agent did not tell. */
  code(key: string): string | undefined {
    const digest = this.loaded.digest(key)
    return digest && codeOf(digest)
  }

  /** Totals over all CPUs, in the order of the counters' numbers; undefined while the object does not run. */
  counters(key: string, object: string): bigint[] | undefined {
    return this.loaded.counters(key, object)
  }

  /** The records of one of an object's own maps; undefined while it does not run or where it has no such map. */
  table(key: string, object: string, map: string): Entry[] | undefined {
    return this.loaded.table(key, object, map)
  }

  /** Names of an object's own maps. */
  tables(key: string): string[] {
    return this.loaded.tables(key)
  }

  /** Packets that an object captures, from now on; undefined where it does not run or captures nothing. */
  listen(key: string, kind: FunctionKind, listener: Listener): Listening | undefined {
    return this.rings.listen(key, this.objects.of(kind), listener)
  }

  /** Throws where the kernel's verifier refuses a kind's code. */
  prove(kind: FunctionKind): Promise<void> {
    return this.loaded.prove(this.objects.of(kind))
  }

  /** What runs now, a second time: `use` may do with it what it likes. */
  async inShadow<T>(use: (shadow: Shadow) => Promise<T>): Promise<T> {
    const contents = new Map([...this.actual.shared].map(([name, entries]) => [name, new Map(entries)]))
    const shadow = await Shadow.open(this.native, this.objects, { running: this.loaded, shared: this.shared, contents })
    try {
      return await use(shadow)
    } finally {
      await shadow.close(this.native.bpf)
    }
  }

  /** Lets go of the handles. What runs goes on. */
  close(): void {
    this.rings.close()
    this.hooks.close()
    this.loaded.close()
    this.shared.close()
  }

  private async load(wish: ObjectWish): Promise<void> {
    const { fact, kept, lost } = await this.loaded.load(wish)
    for (const message of lost) this.onLoss(wish.key, message)
    this.rings.renew(wish.key, this.objects.get(wish.object))
    const before = this.actual.images.get(wish.key)
    this.actual.objects.set(wish.key, fact)
    this.actual.images.set(wish.key, new Map([...(before ?? [])].filter(([map]) => kept.includes(map))))
  }

  private parts(): Parts {
    return { bpf: this.native.bpf, objects: this.objects, loaded: this.loaded, shared: this.shared, held: this.actual.shared }
  }

  /** Where memory cannot be moved, what ran before runs on. */
  private async takeOver(key: string): Promise<void> {
    const { actual, loaded } = this
    try {
      await handOver(this.parts(), loaded.handover(key))
      loaded.confirm(key)
      actual.objects.set(key, { ...actual.objects.get(key)!, waiting: false })
    } catch (error) {
      actual.objects.set(key, loaded.takeBack(key))
      actual.images.delete(key)
      throw error
    }
  }

  /** What a map holds after a write that failed is not known. */
  private sync({ key, puts, commit, deletes, allowed }: Extract<Step, { do: 'sync' }>): void {
    try {
      for (const { map, entries } of [...puts, ...commit]) this.putImage(key, map, entries)
      for (const { map, keys } of deletes) this.deleteImage(key, map, keys)
      for (const [map, keys] of allowed) this.loaded.delete(key, map, this.strangers(key, map, keys))
    } catch (error) {
      this.actual.images.delete(key)
      throw error
    }
  }

  private putImage(key: string, map: string, entries: Entries): void {
    this.loaded.put(key, map, entries)
    const images = this.actual.images.get(key) ?? new Map<string, Entries>()
    this.actual.images.set(key, images)
    add(images, map, entries)
  }

  private deleteImage(key: string, map: string, keys: string[]): void {
    this.loaded.delete(key, map, keys)
    for (const entry of keys) this.actual.images.get(key)?.get(map)?.delete(entry)
  }

  private strangers(key: string, map: string, allowed: ReadonlySet<string>): string[] {
    return [...(this.loaded.read(key, map)?.keys() ?? [])].filter(entry => !allowed.has(entry))
  }

  private async removeAll(): Promise<void> {
    for (const key of this.hooks.find().keys()) this.hooks.detach(key)
    this.rings.close()
    for (const key of this.actual.objects.keys()) this.loaded.unload(key)
    await this.shared.clear()
    for (const part of [this.actual.objects, this.actual.shared]) part.clear()
  }
}

function add(maps: Map<string, Entries>, name: string, entries: Entries): void {
  const held = maps.get(name) ?? new Map<string, string>()
  maps.set(name, held)
  for (const [key, value] of entries) held.set(key, value)
}

function replace<K, V>(map: Map<K, V>, contents: Map<K, V>): void {
  map.clear()
  for (const [key, value] of contents) map.set(key, value)
}
