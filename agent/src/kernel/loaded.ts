// SPDX-License-Identifier: Apache-2.0
// The eBPF objects that run: loaded or taken over, replaced in place, unloaded. Pins carry what a next start must know.

import { existsSync, statSync } from 'node:fs'
import { basename } from 'node:path'
import { decodeEntries, sumPerCpu } from '@inkev/bpf/catalogue/btf'
import type { Entry } from '@inkev/bpf/catalogue/define'
import { LayoutFault, type MapShape, shapeOf, sharedBytes } from '@inkev/bpf/catalogue/layout'
import { readTypes } from '@inkev/bpf/catalogue/types'
import { INSTANCE_FIRST, marksOf } from '@inkev/bpf/core/graph'
import type { Bpf, BpfMap, BpfObject, BpfTemplate, InstanceOptions, Program } from '@inkev/native'
import { type Entries, type ObjectFact, type ObjectWish, programValue } from '../plan/state'
import { deleteEntries, readEntries, writeEntries } from './contents'
import { type CompiledObject, layoutOf, type Objects } from './objects'
import type { Pins } from './pins'
import type { SharedMaps } from './shared'

/** One version of a function and the next. */
export interface Handover {
  key: string
  before: Program
  after: Program
  moves: Move[]
}

/** Of each value the first `bytes` are moved; what lies behind them is zero. */
export interface Move {
  name: string
  from: BpfMap
  to: BpfMap
  bytes: number
}

interface Running {
  digest: string
  /** The program that the object is named after. */
  main: Program
  programs: Map<string, Program>
  /** Its own maps. */
  maps: Map<string, BpfMap>
}

/** What had the packets before an object, and has them until its memory is moved. */
interface Former {
  running: Running
  moves: Move[]
}

const TEMPLATES_MAX = 64
const LAYOUT_SUFFIX = '_00000000'.length

export class LoadedObjects {
  private readonly running = new Map<string, Running>()
  private readonly former = new Map<string, Former>()
  private readonly templates = new Map<string, BpfTemplate>()

  constructor(
    private readonly bpf: Bpf,
    private readonly objects: Objects,
    private readonly shared: SharedMaps,
    private readonly pins: Pins
  ) {}

  /** Opens what is pinned. `active` holds the entries of the map `instances`: of two programs of one object, the one that packets reach is it. */
  adopt(active: ReadonlySet<string>): Map<string, ObjectFact> {
    const facts = this.pins.objects().map(key => [key, this.adoptOne(key, active)] as const)
    return new Map(facts.flatMap(([key, fact]) => (fact ? [[key, fact] as const] : [])))
  }

  /**
   * Loads an object and pins it, its program last: without that pin it counts as not loaded. Of what runs under its key, maps of equal layout are taken over
   * with their contents: their names are in `kept`. Memory of another layout waits to be moved by `handover`; where it cannot be, `lost` says why.
   */
  async load(wish: ObjectWish): Promise<{ fact: ObjectFact; kept: string[]; lost: string[] }> {
    const compiled = this.objects.get(wish.object)
    const before = this.former.get(wish.key)?.running ?? this.running.get(wish.key)
    const own = this.openPinned(wish, compiled, before)
    try {
      const { programs, maps } = await this.template(compiled).load({
        immediates: this.marks(wish.id),
        reuse: { ...this.sharedBy(compiled), ...Object.fromEntries(own) },
        maxEntries: Object.fromEntries(Object.entries(wish.sizes).filter(([name]) => !own.has(name)))
      })
      const running = {
        digest: wish.digest,
        main: programs.get(compiled.main)!,
        programs: new Map(programs),
        maps: this.keepMaps(wish, compiled, maps, own)
      }
      this.pinPrograms(wish, running)
      const { moves, lost } = before ? movesOf(wish, compiled, before, running, own) : { moves: [], lost: [] }
      this.replace(wish.key, before, running, moves)
      return { fact: { ...factOf(running, before !== undefined), waiting: moves.length > 0 }, kept: [...own.keys()], lost }
    } finally {
      for (const map of own.values()) map.close()
    }
  }

  /** What has to be done before packets are led to an object whose memory waits. */
  handover(key: string): Handover {
    const { running, moves } = this.former.get(key)!
    return { key, before: running.main, after: this.running.get(key)!.main, moves }
  }

  /** Packets wait, and find the former version by this map: also when the agent is gone, with which the kernel would empty it. */
  keepWay(key: string, former: BpfMap): void {
    this.pins.remove(this.pins.former(key))
    former.pin(this.pins.makeWay(this.pins.former(key)))
  }

  /** No packet waits any more. */
  forgetWay(key: string): void {
    this.pins.remove(this.pins.former(key))
  }

  /** Objects whose packets waited when the agent died, with the version that has them since. */
  interrupted(): Map<string, Program> {
    const found = [...this.running].filter(([key]) => existsSync(this.pins.former(key)))
    return new Map(found.map(([key, { main }]) => [key, main]))
  }

  /** The memory is moved: what ran before is let go. */
  confirm(key: string): void {
    closeAll(this.former.get(key)!.running)
    this.former.delete(key)
  }

  /** The memory could not be moved: what ran before is the object again. */
  takeBack(key: string): ObjectFact {
    const { running } = this.former.get(key)!
    closeAll(this.running.get(key)!)
    this.running.set(key, running)
    this.former.delete(key)
    this.tidy(key, running.digest)
    return factOf(running, false)
  }

  /** Has the kernel verify code that nothing runs yet. */
  async prove(compiled: CompiledObject): Promise<void> {
    const template = this.bpf.template({ elf: compiled.elf, name: compiled.main })
    try {
      const { programs, maps } = await template.load({ immediates: this.marks(INSTANCE_FIRST), reuse: this.sharedBy(compiled) })
      for (const handle of [...programs.values(), ...maps.values()]) handle.close()
    } finally {
      template.close()
    }
  }

  /** Removes the pins of programs and maps that the object no longer uses. */
  tidy(key: string, digest: string): void {
    const used = new Set([...this.running.get(key)!.maps.values()].map(({ info }) => info.id))
    for (const program of this.pins.programs(key)) if (program.digest !== digest) this.pins.remove(program.path)
    for (const path of this.pins.maps(key)) if (!used.has(this.idOf(path))) this.pins.remove(path)
  }

  unload(key: string): void {
    for (const path of [...this.pins.programs(key).map(program => program.path), ...this.pins.maps(key)]) this.pins.remove(path)
    for (const running of [this.running.get(key), this.former.get(key)?.running]) if (running) closeAll(running)
    this.running.delete(key)
    this.former.delete(key)
  }

  /** Keys of objects of which pins are left, but no program that could run. */
  remains(): string[] {
    return this.pins.objects().filter(key => !this.running.has(key))
  }

  program(key: string, program: string): Program | undefined {
    return this.running.get(key)?.programs.get(program)
  }

  /** The functions themselves, as program arrays hold them. */
  mains(): Program[] {
    return [...this.running.values()].map(({ main }) => main)
  }

  /** Loads an object, as of that number, beside those that run: the caller closes it. */
  loadCopy(compiled: CompiledObject, number: number, options: Omit<InstanceOptions, 'immediates'>): Promise<BpfObject> {
    return this.template(compiled).load({ ...options, immediates: this.marks(number) })
  }

  private marks(number: number): Record<number, number> {
    return marksOf(number, this.bpf.ticksInSecond)
  }

  /** Names what has the packets; undefined while nothing has. */
  digest(key: string): string | undefined {
    return (this.former.get(key)?.running ?? this.running.get(key))?.digest
  }

  /** Its own maps; undefined while the object does not run. */
  maps(key: string): ReadonlyMap<string, BpfMap> | undefined {
    return this.running.get(key)?.maps
  }

  /** Undefined where the object has no such map. */
  read(key: string, map: string): Entries | undefined {
    const found = this.running.get(key)?.maps.get(map)
    return found && readEntries(found)
  }

  put(key: string, map: string, entries: Entries): void {
    writeEntries(this.map(key, map), entries, [])
  }

  delete(key: string, map: string, keys: string[]): void {
    deleteEntries(this.map(key, map), keys)
  }

  /** Totals over all CPUs, in the order of the counters' numbers; undefined while the object does not run. */
  counters(key: string, object: string): bigint[] | undefined {
    const map = this.running.get(key)?.maps.get('counters')
    const codec = this.objects.get(object).spec.maps.get('counters')?.value
    return map && codec && map.entries().map(([, value]) => sumPerCpu(codec, value))
  }

  /** The records of one of the object's own maps; undefined while it does not run or where it has no such map. */
  table(key: string, object: string, name: string): Entry[] | undefined {
    const map = this.running.get(key)?.maps.get(name)
    const spec = this.objects.get(object).spec.maps.get(name)
    return map && spec?.key && decodeEntries(spec, map.entries())
  }

  tables(key: string): string[] {
    return [...(this.running.get(key)?.maps ?? [])].flatMap(([name, { info }]) => (info.keySize > 0 ? [name] : []))
  }

  close(): void {
    for (const running of [...this.running.values(), ...[...this.former.values()].map(former => former.running)]) closeAll(running)
    this.running.clear()
    this.former.clear()
    for (const template of this.templates.values()) template.close()
    this.templates.clear()
  }

  /** What was loaded before it, but never had the packets, goes. */
  private replace(key: string, before: Running | undefined, running: Running, moves: Move[]): void {
    const last = this.running.get(key)
    if (last && last !== before) closeAll(last)
    this.former.delete(key)
    if (before && moves.length > 0) this.former.set(key, { running: before, moves })
    else if (before) closeAll(before)
    this.running.set(key, running)
  }

  private template({ name, elf }: CompiledObject): BpfTemplate {
    const template = this.templates.get(name) ?? this.bpf.template({ elf, name })
    this.templates.delete(name)
    this.templates.set(name, template)
    this.forgetTemplates()
    return template
  }

  /** Of programs that are replaced again and again the versions of long ago are let go. */
  private forgetTemplates(): void {
    const [oldest] = this.templates
    if (!oldest || this.templates.size <= TEMPLATES_MAX) return
    oldest[1].close()
    this.templates.delete(oldest[0])
  }

  private adoptOne(key: string, active: ReadonlySet<string>): ObjectFact | undefined {
    const pinned = this.pins.programs(key).map(pin => ({ ...pin, program: this.bpf.openProgram(pin.path) }))
    const complete = pinned.filter(({ main }) => main)
    const chosen = complete.find(({ program }) => active.has(programValue(program.info.id))) ?? oldest(complete)
    const [own, others] = partition(pinned, ({ digest }) => digest === chosen?.digest)
    for (const { program } of others) program.close()
    if (!chosen) return undefined
    const used = new Set(own.flatMap(({ program }) => program.info.mapIds))
    const maps = this.pins.maps(key).map(path => ({ name: basename(path).slice(0, -LAYOUT_SUFFIX), map: this.bpf.openMap(path) }))
    const [ours, former] = partition(maps, ({ map }) => used.has(map.info.id))
    for (const { map } of former) map.close()
    const running = {
      digest: chosen.digest,
      main: chosen.program,
      programs: new Map(own.map(({ program }) => [program.info.name, program])),
      maps: new Map(ours.map(({ name, map }) => [name, map]))
    }
    this.running.set(key, running)
    return factOf(running, others.length + former.length > 0)
  }

  private sharedBy({ spec }: CompiledObject): Record<string, BpfMap> {
    return Object.fromEntries(Object.entries(this.shared.all()).filter(([name]) => spec.maps.has(name)))
  }

  /** Of the maps of a load: pins those that are new, and answers those that are the object's own. */
  private keepMaps(
    wish: ObjectWish,
    compiled: CompiledObject,
    maps: ReadonlyMap<string, BpfMap>,
    pinned: Map<string, BpfMap>
  ): Map<string, BpfMap> {
    const kept = new Map<string, BpfMap>()
    for (const [name, map] of maps) {
      const isOwn = compiled.spec.maps.has(name) && !this.shared.isShared(name)
      if (isOwn) kept.set(name, map)
      if (isOwn && !pinned.has(name)) map.pin(this.pins.makeWay(this.mapPath(wish, compiled, name)))
      if (this.shared.isShared(name)) this.shared.offer(name, map)
      else if (!isOwn) map.close()
    }
    return kept
  }

  /** Pins of an earlier attempt that did not come to its end are in the way. */
  private pinPrograms({ key, digest }: ObjectWish, { main, programs }: Running): void {
    const others = [...programs].filter(([, program]) => program !== main)
    for (const [name, program] of [...others, [undefined, main] as const]) {
      const path = this.pins.program(key, digest, name)
      this.pins.remove(path)
      program.pin(this.pins.makeWay(path))
    }
  }

  /** The maps of what runs that are as the wish wants them. Others that lie in their place are left of an attempt that failed, and go. */
  private openPinned(wish: ObjectWish, compiled: CompiledObject, before: Running | undefined): Map<string, BpfMap> {
    const pinned = new Set(this.pins.maps(wish.key))
    const opened = new Map<string, BpfMap>()
    for (const name of compiled.spec.maps.keys()) {
      const path = this.mapPath(wish, compiled, name)
      if (this.shared.isShared(name) || !pinned.has(path)) continue
      const map = this.bpf.openMap(path)
      if (map.info.id === before?.maps.get(name)?.info.id) opened.set(name, map)
      else {
        map.close()
        this.pins.remove(path)
      }
    }
    return opened
  }

  private mapPath({ key, sizes }: ObjectWish, { spec }: CompiledObject, name: string): string {
    const map = spec.maps.get(name)!
    return this.pins.map(key, name, layoutOf(map, sizes[name] ?? map.maxEntries))
  }

  private idOf(path: string): number {
    const map = this.bpf.openMap(path)
    try {
      return map.info.id
    } finally {
      map.close()
    }
  }

  private map(key: string, name: string): BpfMap {
    const map = this.running.get(key)?.maps.get(name)
    if (!map) throw new Error(`${key} has no map ${name}`)
    return map
  }
}

/** Of two versions of which none has the packets: they wait, and the later one has yet to get the memory of the other. */
function oldest<T extends { path: string }>(pinned: T[]): T | undefined {
  return pinned.toSorted((a, b) => statSync(a.path).mtimeMs - statSync(b.path).mtimeMs)[0]
}

/** How the memory of what ran before gets to an object. Its maps are looked at in the kernel: the code that made them need not be known any more. */
function movesOf(
  { key, written }: ObjectWish,
  { spec }: CompiledObject,
  before: Running,
  { maps }: Running,
  kept: ReadonlyMap<string, BpfMap>
): { moves: Move[]; lost: string[] } {
  const [moves, lost]: [Move[], string[]] = [[], []]
  for (const [name, to] of maps) {
    const from = before.maps.get(name)
    if (!from || !written || kept.has(name) || written.has(name) || name === 'counters' || from.info.type === 'ringbuf') continue
    try {
      moves.push({ name, from, to, bytes: sharedBytes(shapeInKernel(from), shapeOf(spec, spec.maps.get(name)!)) })
    } catch (error) {
      lost.push(`map ${name} of ${key} starts empty, as the former one cannot be taken over: ${(error as Error).message}`)
    }
  }
  return { moves, lost }
}

/** Throws LayoutFault. */
function shapeInKernel(map: BpfMap): MapShape {
  const { type, flags, valueSize } = map.info
  const found = map.types()
  if (!found) throw new LayoutFault('the kernel does not know its types')
  const types = readTypes(found.btf)
  return { type, flags, valueSize, key: { types, index: found.key }, value: { types, index: found.value } }
}

function factOf({ digest, main, programs }: Running, stale: boolean): ObjectFact {
  return { digest, programId: main.info.id, programs: new Map([...programs].map(([name, { info }]) => [name, info.id])), stale }
}

function partition<T>(items: T[], test: (item: T) => boolean): [T[], T[]] {
  return [items.filter(test), items.filter(item => !test(item))]
}

function closeAll({ programs, maps }: Running): void {
  for (const handle of [...programs.values(), ...maps.values()]) handle.close()
}
