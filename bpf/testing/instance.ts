// SPDX-License-Identifier: Apache-2.0
// One loaded function: its maps in the words of their types, and the image of its configuration in them. What the agent does, in little.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type BpfMap, type BpfObject, type LoadOptions, type NativeError, native, type Program } from '@inkev/native'
import { decodeEntries, type MapSpec, type ObjectSpec, readObject, sumPerCpu } from '../catalogue/btf'
import { configEntry } from '../catalogue/config'
import { type Entry, type FunctionKind, type Image, portNames, type Surroundings, type Value } from '../catalogue/define'
import { validateConfig } from '../catalogue/validate'
import { coreCounters } from '../core/core'
import { marksOf } from '../core/graph'

const BUILD = join(__dirname, '../build')
/** The counters that every object has, in the order of their numbers. */
const ROAD = Object.keys(coreCounters)

/** One map, in the words of its types in C. */
export interface Table {
  get(key: Value): Value | undefined
  put(key: Value, value: Value): void
  delete(key: Value): boolean
  entries(): Entry[]
}

export interface Placement {
  number: number
  /** Map name → number of entries; names of maps that the object has not are ignored. */
  sizes?: Record<string, number>
  /** Maps that it shares with others; those that it has not are ignored. */
  share?: ReadonlyMap<string, BpfMap>
}

/** A compiled object, loaded. */
export class LoadedObject {
  protected constructor(
    readonly object: BpfObject,
    readonly spec: ObjectSpec
  ) {}

  /** The objects must have been built: node bpf/build.mjs. */
  static async load(name: string, placement: Placement): Promise<LoadedObject> {
    return new LoadedObject(...(await loadObject(name, placement)))
  }

  program(name: string): Program {
    const program = this.object.programs.get(name)
    if (!program) throw new Error(`there is no program ${name}`)
    return program
  }

  table(name: string): Table {
    const spec = this.spec.maps.get(name)
    if (!spec) throw new Error(`there is no map ${name} but ${[...this.spec.maps.keys()].join(', ')}`)
    return tableOf(spec, this.object.maps.get(name)!)
  }

  /** What every counter holds, for every CPU: to compare with what it holds later. */
  rawCounters(): Buffer {
    return this.object.maps.get('counters')!.dump().values
  }

  /** Sums by name. `own`: the names behind the road's. */
  countersOf(own: string[]): Record<string, number> {
    const raw = this.rawCounters()
    const names = [...ROAD, ...own]
    return Object.fromEntries(names.map((name, number) => [name, this.sumOf(this.cellOf(raw, number))]))
  }

  /** What moved from one reading to another, and by how much, by name. */
  protected difference(own: string[], before: Buffer, after: Buffer): Record<string, number> {
    if (after.equals(before)) return {}
    const moved = [...ROAD, ...own].flatMap((name, number) => {
      const [was, is] = [this.cellOf(before, number), this.cellOf(after, number)]
      return is.equals(was) ? [] : [[name, this.sumOf(is) - this.sumOf(was)] as const]
    })
    return Object.fromEntries(moved)
  }

  /** One counter, for every CPU. */
  private cellOf(raw: Buffer, number: number): Buffer {
    const size = raw.length / this.spec.maps.get('counters')!.maxEntries
    return raw.subarray(number * size, (number + 1) * size)
  }

  private sumOf(cell: Buffer): number {
    return Number(sumPerCpu(this.spec.maps.get('counters')!.value!, cell))
  }

  close(): void {
    this.object.close()
  }
}

/** An instance of a kind. */
export class Instance extends LoadedObject {
  /** Its ports, in the order of their numbers. */
  names: string[] = []
  private generation = 0
  private image: Image = { maps: {} }

  private constructor(
    readonly kind: FunctionKind,
    readonly number: number,
    object: BpfObject,
    spec: ObjectSpec
  ) {
    super(object, spec)
  }

  /** Throws when the configuration is not valid. */
  static async create(kind: FunctionKind, config: Record<string, unknown>, placement: Placement): Promise<Instance> {
    const sizes = { ...placement.sizes, ...kind.sizes?.(validated(kind, config) as never) }
    return new Instance(kind, placement.number, ...(await loadObject(kind.kind, { ...placement, sizes }, kind.object?.elf)))
  }

  get entry(): Program {
    return this.program(this.kind.object?.main ?? this.kind.kind)
  }

  /** Makes the maps hold what the configuration wants: puts, commits, deletes. */
  apply(config: Record<string, unknown>, surroundings: Partial<Surroundings> = {}): void {
    const valid = validated(this.kind, config)
    const before = this.image
    this.names = portNames(this.kind, valid)
    this.generation++
    this.image = this.kind.image?.(valid as never, this.around(surroundings)) ?? { maps: {} }
    const scalars = configEntry(this.kind, valid)
    const { maps, commit } = this.image
    for (const [name, entries] of Object.entries(maps)) this.putAll(name, entries)
    if (scalars) this.putAll('config', [scalars])
    if (commit) this.putAll(commit.map, commit.entries)
    for (const [name, entries] of Object.entries(before.maps)) this.remove(name, entries, maps[name] ?? [])
  }

  counters(): Record<string, number> {
    return this.countersOf(Object.keys(this.kind.counters))
  }

  /** The counters that have moved since, and by how much. */
  countedSince(before: Buffer, now = this.rawCounters()): Record<string, number> {
    return this.difference(Object.keys(this.kind.counters), before, now)
  }

  private putAll(name: string, entries: Entry[]): void {
    const table = this.table(name)
    for (const { key, value } of entries) table.put(key, value)
  }

  private remove(name: string, before: Entry[], after: Entry[]): void {
    const { type, key, value } = this.spec.maps.get(name)!
    if (!key || !value || (type !== 'array' && type.endsWith('array'))) return
    const kept = new Set(after.map(entry => key.encode(entry.key).toString('hex')))
    const gone = before.map(entry => key.encode(entry.key)).filter(bytes => !kept.has(bytes.toString('hex')))
    const map = this.object.maps.get(name)!
    for (const bytes of gone) type === 'array' ? map.put(bytes, Buffer.alloc(value.size)) : map.delete(bytes)
  }

  private around(given: Partial<Surroundings>): Surroundings {
    const alone = Object.fromEntries(this.names.map((name, number) => [name, { number }]))
    return { name: 'tested', host: 'here', generation: this.generation, ...given, ports: { ...alone, ...given.ports } }
  }
}

function validated(kind: FunctionKind, config: Record<string, unknown>): Record<string, unknown> {
  const isUsers = kind.object !== undefined
  const { config: valid, problems } = isUsers ? { config, problems: kind.check?.(config as never) ?? [] } : validateConfig(kind, config)
  if (problems.length > 0) throw new Error(problems.map(({ path, message }) => `${path}: ${message}`).join('\n'))
  return valid
}

async function loadObject(
  name: string,
  { number, sizes = {}, share }: Placement,
  elf: Uint8Array = readFileSync(join(BUILD, `${name}.bpf.o`))
): Promise<[BpfObject, ObjectSpec]> {
  const spec = readObject(elf)
  const known = (map: string) => spec.maps.has(map)
  const reuse = Object.fromEntries([...(share ?? [])].filter(([map]) => known(map)))
  const maxEntries = Object.fromEntries(Object.entries(sizes).filter(([map]) => known(map) && !(map in reuse)))
  return [await explained({ elf, name, reuse, maxEntries, immediates: marksOf(number, native.bpf.ticksInSecond) }), spec]
}

/** Where the verifier refuses, its last lines are what a reader wants to see. */
async function explained(options: LoadOptions): Promise<BpfObject> {
  try {
    return await native.bpf.load(options)
  } catch (error) {
    const { message, log = '' } = error as NativeError
    throw new Error([message, ...log.trimEnd().split('\n').slice(-20)].join('\n'))
  }
}

function tableOf(spec: MapSpec, map: BpfMap): Table {
  const { key: keys, value: values } = spec
  if (!keys || !values) throw new Error(`the map ${spec.name} has no types`)
  const decode = (key: Buffer, bytes: Buffer) => decodeEntries(spec, [[key, bytes]])[0]!.value
  return {
    get: key => {
      const bytes = map.get(keys.encode(key))
      return bytes && decode(keys.encode(key), bytes)
    },
    put: (key, value) => map.put(keys.encode(key), values.encode(value)),
    delete: key => map.delete(keys.encode(key)),
    entries: () => decodeEntries(spec, map.entries())
  }
}
