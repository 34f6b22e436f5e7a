// SPDX-License-Identifier: Apache-2.0
// Runs packets through a function as the kernel does (BPF_PROG_TEST_RUN), with maps of its own and a probe behind every port. Nothing is attached or pinned.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type BpfMap, type BpfObject, type LoadOptions, type NativeError, native, type Program } from '@inkev/native'
import { decodeEntries, encodeVariables, type MapSpec, type ObjectSpec, readObject, sumPerCpu } from '../catalogue/btf'
import { configEntry } from '../catalogue/config'
import { type Entry, type FunctionKind, type Image, portNames, type Surroundings, type Value } from '../catalogue/define'
import { validateConfig } from '../catalogue/validate'
import { coreCounters } from '../core/core'
import { INSTANCE_FIRST, slotOf } from '../core/graph'
import { Frame } from './frame'
import { type Parsed, type ParseOptions, parse } from './parse'
import { type Context, decodeContext, encodeContext } from './skb'

const BUILD = join(__dirname, '../build')
/** TC_ACT_SHOT and TC_ACT_REDIRECT. */
const VERDICTS: Record<number, 'nowhere' | 'device'> = { 2: 'nowhere', 7: 'device' }

/** The function under test; the probe behind its ports; the probe that is the chain of every workload. */
const INSTANCE = INSTANCE_FIRST
const PORT_PROBE = INSTANCE + 1
const WORKLOAD_PROBE = INSTANCE + 2
/** A test needs few: maps of the size of a host's would only cost time. */
const SMALL_MAPS = {
  panel: slotOf(WORKLOAD_PROBE + 1, 0),
  stitches: slotOf(WORKLOAD_PROBE + 1, 0),
  workloads: 256,
  peers: 64,
  paths: 64,
  tunnels: 64
}

/** How the packet comes to the function. */
export interface Arrival {
  /** Name or number; default 0. */
  port?: string | number
  /** The workload port that it is from, or in whose chain the function stands. */
  workload?: number
  /** The remote host that it is from. */
  peer?: number
  hops?: number
  /** cb[4] */
  scratch?: number
  mark?: number
  /** A train of segments: bytes of payload in each. */
  gso_size?: number
}

export interface Outcome {
  /** How it ended: by a port of the function, to a workload (addWorkload), in a device, dropped or consumed, or left to the kernel. */
  went: 'port' | 'workload' | 'device' | 'nowhere' | 'kernel'
  /** The port by which it left: its name, or its number where it has none. */
  port?: string | number
  /** The port id of the workload. */
  workload?: number
  /** Counters that moved, by how much. */
  counted: Record<string, number>
  /** The frame as it left. */
  bytes: Buffer
  cb: number[]
  mark: number
  verdict: number
  /** What the frame says; throws where a checksum is wrong. */
  parsed(options?: ParseOptions): Parsed
}

/** One map, in the words of its types in C. */
export interface Table {
  get(key: Value): Value | undefined
  put(key: Value, value: Value): void
  delete(key: Value): boolean
  entries(): Entry[]
}

export interface TestedFunction {
  send(frame: Frame | Uint8Array, arrival?: Arrival): Outcome
  /** Nanoseconds per run. */
  measure(frame: Frame | Uint8Array, arrival?: Arrival, repeat?: number): number
  /** Makes the maps hold what the configuration wants, as the agent does: put, commit, delete. */
  apply(config: Record<string, unknown>, surroundings?: Partial<Surroundings>): void
  /** A workload port: `went` names it. */
  addWorkload(id: number, mac?: string): void
  /** A map of the function, or one of the road's. */
  table(name: string): Table
  counters(): Record<string, number>
  close(): void
}

export interface Situation {
  /** What is around the function; ports that are not named lie at nothing. */
  surroundings?: Partial<Surroundings>
  /** Map name → number of entries. */
  sizes?: Record<string, number>
}

/** Nanoseconds since boot as programs read them: what they write into a map can be made older. */
export function now(): bigint {
  return process.hrtime.bigint()
}

/** Throws when the configuration is not valid. The objects must have been built: node bpf/build.mjs. */
export async function loadFunction(
  kind: FunctionKind,
  config: Record<string, unknown> = {},
  situation: Situation = {}
): Promise<TestedFunction> {
  const valid = validated(kind, config)
  const elf = readFileSync(join(BUILD, `${kind.kind}.bpf.o`))
  const spec = readObject(elf)
  const wanted = { ...SMALL_MAPS, ...kind.sizes?.(valid as never), ...situation.sizes }
  const maxEntries = Object.fromEntries(Object.entries(wanted).filter(([map]) => spec.maps.has(map)))
  const object = await load({ elf, name: kind.kind, rodata: encodeVariables(spec, { instance: INSTANCE }), maxEntries })
  try {
    const reuse = Object.fromEntries(['panel', 'instances', 'stitches', 'workloads'].map(map => [map, object.maps.get(map)!]))
    const probe = await load({ elf: join(BUILD, 'probe.bpf.o'), reuse })
    const loaded = new Loaded(kind, object, spec, probe)
    loaded.stitchProbe()
    loaded.apply(config, situation.surroundings)
    return loaded
  } catch (error) {
    object.close()
    throw error
  }
}

/** Where the verifier refuses, its last lines are what a reader wants to see. */
async function load(options: LoadOptions): Promise<BpfObject> {
  try {
    return await native.bpf.load(options)
  } catch (error) {
    const { message, log = '' } = error as NativeError
    throw new Error([message, ...log.trimEnd().split('\n').slice(-20)].join('\n'))
  }
}

function validated(kind: FunctionKind, config: Record<string, unknown>): Record<string, unknown> {
  const { config: valid, problems } = validateConfig(kind, config)
  if (problems.length > 0) throw new Error(problems.map(({ path, message }) => `${path}: ${message}`).join('\n'))
  return valid
}

class Loaded implements TestedFunction {
  private readonly program: Program
  private readonly counterNames: string[]
  private names: string[] = []
  private generation = 0
  private image: Image = { maps: {} }

  constructor(
    private readonly kind: FunctionKind,
    private readonly object: BpfObject,
    private readonly spec: ObjectSpec,
    private readonly probe: BpfObject
  ) {
    this.program = object.programs.get(kind.kind)!
    this.counterNames = [...Object.keys(coreCounters), ...Object.keys(kind.counters)]
  }

  /** Every slot leads to the probe, directly where the slot is a port's. */
  stitchProbe(): void {
    const probe = this.probe.programs.get('probe')!
    const stitches = this.table('stitches')
    const panel = this.object.maps.get('panel')!
    for (const instance of [PORT_PROBE, WORKLOAD_PROBE]) this.object.maps.get('instances')!.putProgram(instance, probe)
    for (let port = 0; port < 16; port++) {
      panel.putProgram(slotOf(INSTANCE, port), probe)
      stitches.put(slotOf(INSTANCE, port), { target: PORT_PROBE, port, kind: 'ATTACHED_FUNCTION' })
    }
  }

  send(frame: Frame | Uint8Array, arrival: Arrival = {}): Outcome {
    const before = this.counters()
    const result = this.program.testRun({ data: bytesOf(frame), context: this.contextOf(arrival) })
    const counted = Object.entries(this.counters()).map(([name, value]) => [name, value - before[name]!] as const)
    const { verdict, data } = result
    const context = decodeContext(result.context)
    return {
      ...this.ending(verdict, context),
      counted: Object.fromEntries(counted.filter(([, more]) => more !== 0)),
      bytes: data,
      ...context,
      verdict,
      parsed: options => parse(data, options)
    }
  }

  private ending(verdict: number, { cb }: Context): Pick<Outcome, 'went' | 'port' | 'workload'> {
    const [instance, port] = [verdict >>> 16, verdict & 0xffff]
    if (instance === PORT_PROBE) return { went: 'port', port: this.names[port] ?? port }
    if (instance === WORKLOAD_PROBE) return { went: 'workload', workload: cb[2]! }
    return { went: VERDICTS[verdict] ?? 'kernel' }
  }

  addWorkload(id: number, mac = '02:00:00:00:00:00'): void {
    const delivery = 'ATTACHED_VETH'
    const workload = {
      ifindex: 1,
      delivery,
      chain_length: 1,
      pinned: false,
      mac,
      mtu: 1500,
      network: { target: 0, port: 0, kind: 'ATTACHED_NOTHING' }
    }
    this.table('workloads').put(id, { ...workload, chain: [WORKLOAD_PROBE] })
  }

  measure(frame: Frame | Uint8Array, arrival: Arrival = {}, repeat = 100_000): number {
    return this.program.testRun({ data: bytesOf(frame), context: this.contextOf(arrival), repeat }).durationNs
  }

  private contextOf({ port = 0, workload = 0, peer = 0, hops = 1, scratch = 0, mark = 0, gso_size = 0 }: Arrival): Buffer {
    const number = typeof port === 'number' ? port : this.names.indexOf(port)
    if (number < 0) throw new Error(`${this.kind.kind} has no port ${port}: it has ${this.names.join(', ')}`)
    return encodeContext({ cb: [(INSTANCE << 16) | number, hops << 8, workload, peer, scratch], mark, gso_size })
  }

  apply(config: Record<string, unknown>, surroundings: Partial<Surroundings> = {}): void {
    const valid = validated(this.kind, config)
    this.names = portNames(this.kind, valid)
    const before = this.image
    this.generation++
    this.image = this.kind.image?.(valid as never, this.around(surroundings)) ?? { maps: {} }
    const scalars = configEntry(this.kind, valid)
    const { maps, commit } = this.image
    for (const [name, entries] of Object.entries(maps)) for (const { key, value } of entries) this.table(name).put(key, value)
    if (scalars) this.table('config').put(scalars.key, scalars.value)
    for (const { key, value } of commit?.entries ?? []) this.table(commit!.map).put(key, value)
    for (const [name, entries] of Object.entries(before.maps)) this.remove(name, entries, maps[name] ?? [])
  }

  private remove(name: string, before: Entry[], after: Entry[]): void {
    const { type, key } = this.specOf(name)
    if (type.endsWith('array') || !key) return
    const kept = new Set(after.map(entry => key.encode(entry.key).toString('hex')))
    for (const entry of before) if (!kept.has(key.encode(entry.key).toString('hex'))) this.table(name).delete(entry.key)
  }

  private around(given: Partial<Surroundings>): Surroundings {
    const alone = Object.fromEntries(this.names.map((name, number) => [name, { number }]))
    return { name: 'tested', generation: this.generation, ...given, ports: { ...alone, ...given.ports } }
  }

  table(name: string): Table {
    const spec = this.specOf(name)
    const map = this.object.maps.get(name)!
    return tableOf(spec, map)
  }

  private specOf(name: string): MapSpec {
    const spec = this.spec.maps.get(name)
    if (!spec) throw new Error(`${this.kind.kind} has no map ${name}: it has ${[...this.spec.maps.keys()].join(', ')}`)
    return spec
  }

  counters(): Record<string, number> {
    const codec = this.specOf('counters').value!
    const values = new Map(
      this.object.maps
        .get('counters')!
        .entries()
        .map(([key, value]) => [key.readUInt32LE(0), value])
    )
    return Object.fromEntries(this.counterNames.map((name, number) => [name, Number(sumPerCpu(codec, values.get(number)!))]))
  }

  close(): void {
    this.probe.close()
    this.object.close()
  }
}

/** A map in the words of its types. Of a per-CPU map, values are lists. */
export function tableOf(spec: MapSpec, map: BpfMap): Table {
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

function bytesOf(frame: Frame | Uint8Array): Uint8Array {
  return frame instanceof Frame ? frame.bytes() : frame
}
