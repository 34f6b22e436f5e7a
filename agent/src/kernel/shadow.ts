// SPDX-License-Identifier: Apache-2.0
// The graph as it stands, a second time: the same programs with copies of their maps, in which a packet can be sent without anybody noticing. A function is
// loaded when the packet comes to it, and all is gone when the shadow is closed. Nothing is pinned, nothing attached to a device of the host.

import { randomUUID } from 'node:crypto'
import { decodeEntries, encodeEntries, sumPerCpu } from '@inkev/bpf/catalogue/btf'
import type { Entry, FunctionKind, Value } from '@inkev/bpf/catalogue/define'
import { slotOf } from '@inkev/bpf/core/graph'
import { decodeContext, decodeSegments, encodeContext } from '@inkev/bpf/packets/skb'
import type { BpfMap, BpfObject, Link, MapInfo, Native, Netns } from '@inkev/native'
import { InkevError } from '../../api/errors'
import { inWords } from '../model/desired'
import type { Entries } from '../plan/state'
import { readEntries } from './contents'
import type { LoadedObjects } from './loaded'
import type { Objects } from './objects'
import { letGo, type SharedMaps } from './shared'

/** The object trace.bpf.c, and the verdict of its program `stop`. */
export const TRACE = 'trace'
export const STOPPED = 0x7ace

/** Stands for all devices of workloads: no instance has this number. */
export const EXIT = 15
/** The only device of a shadow's namespace, the loopback device; for copies it stands for the replica device and the vxlan device. */
const DEVICE = 1

/** What the maps of one function may measure. */
const COPIED_BYTES_MAX = 64 * 1024 * 1024
const COPIED = ['hash', 'array', 'percpu_hash', 'percpu_array', 'lru_hash', 'lpm_trie']
/** Programs of a function's own are in their array when it is loaded; of ring buffers there is nothing to copy. */
const LEFT = ['prog_array', 'ringbuf']

/** A packet between two functions: skb->cb and skb->mark as graph.h and replica.h explain them. */
export interface Packet {
  bytes: Buffer
  cb: number[]
  mark: number
  /** Of a train of segments: bytes of payload in each; else 0. */
  gso_size: number
}

/** A copy made by flooding: through the replica device, or where it has no mark to another host. */
export interface Copy {
  bytes: Buffer
  mark: number
  vtep: string
  vni: number
}

export interface Run {
  /** TC_ACT_…, or STOPPED before the next function, which cb[0] names. */
  verdict: number
  packet: Packet
  /** By how much each counter moved, by its number. */
  counted: bigint[]
  /** Keys whose records changed, by map, of the maps that were to be watched. */
  touched: Map<string, Value[]>
  copies: Copy[]
  /** Copies that were made and are not among `copies`: they were too many, or too long. */
  missing: number
}

/** An instance: its key, its kind (of the road, its object), and its number. */
export interface Program {
  key: string
  kind: Pick<FunctionKind, 'kind' | 'object'>
  id: number
  /** Another of the object's programs than its main one. */
  main?: string
}

/** What is copied. */
interface Source {
  running: LoadedObjects
  shared: SharedMaps
  /** Contents of the shared maps, which stay as they are. */
  contents: ReadonlyMap<string, Entries>
}

export class Shadow {
  private readonly loaded = new Map<string, BpfObject>()
  private readonly shared = new Map<string, BpfMap>()
  private readonly netns: Netns
  private readonly link: Link

  private constructor(
    native: Native,
    private readonly objects: Objects,
    private readonly source: Source,
    private readonly tracer: BpfObject
  ) {
    this.netns = namelessNetns(native)
    const inside = native.net.open(this.netns)
    inside.setLink(DEVICE, { up: true })
    inside.close()
    this.link = tracer.programs.get('copy')!.attachTcx(DEVICE, 'egress', this.netns)
  }

  static async open(native: Native, objects: Objects, source: Source): Promise<Shadow> {
    const tracer = await native.bpf.load({ elf: objects.get(TRACE).elf, name: TRACE })
    try {
      return new Shadow(native, objects, source, tracer)
    } catch (error) {
      tracer.close()
      throw error
    }
  }

  /** A packet of a workload comes in at its port. */
  async runPort(port: Program, workload: number, sent: Pick<Packet, 'bytes' | 'gso_size'>): Promise<Run> {
    await this.object(port)
    const { value } = this.actual('workloads').find(({ key }) => key === workload)!
    this.put('workload_ids', [{ key: DEVICE, value: workload }])
    this.put('workloads', [{ key: workload, value: { ...(value as object), ifindex: DEVICE } }])
    const run = await this.run(port, { ...sent, cb: [0, 0, 0, 0, 0], mark: 0 })
    this.put('workloads', [{ key: workload, value: withExit(value) }])
    return run
  }

  /** A packet comes in from the segment that is a workload's, its tag taken off. */
  async runSegment(vlan: Program, workload: number, sent: Pick<Packet, 'bytes' | 'gso_size'>): Promise<Run> {
    await this.object(vlan)
    this.put('vlan_ids', [{ key: { ifindex: DEVICE, tag: 0 }, value: workload }])
    return this.run({ ...vlan, main: 'segment' }, { ...sent, cb: [0, 0, 0, 0, 0], mark: 0 })
  }

  /** To other hosts: the routes and neighbours that count are those of the host's own namespace. Nothing but these is looked at there. */
  async runOverlay(overlay: Program, packet: Packet): Promise<Run> {
    await this.object(overlay)
    this.put('host', this.actual('host'))
    const run = await this.run(overlay, packet, [], true)
    this.put('host', this.shadowed('host'))
    return run
  }

  /** Runs one function. `watched` are maps whose changes are to be told. */
  async run(program: Program, { bytes, cb, mark, gso_size }: Packet, watched: string[] = [], onHost = false): Promise<Run> {
    const object = await this.object(program)
    const before = new Map(watched.map(name => [name, readEntries(object.maps.get(name)!)]))
    const counters = this.counters(program, object)
    this.forgetCopies()
    const { verdict, data, context } = object.programs.get(program.main ?? this.objects.of(program.kind).main)!.testRun({
      data: bytes,
      context: encodeContext({ cb, mark, gso_size, gso_segs: gso_size && Math.ceil(bytes.length / gso_size) }),
      ...(!onHost && { netns: this.netns })
    })
    return {
      verdict,
      packet: { bytes: data, ...decodeContext(context), gso_size: decodeSegments(context) && gso_size },
      counted: this.counters(program, object).map((value, n) => value - counters[n]!),
      touched: new Map([...before].map(([name, entries]) => [name, this.keysTouched(program, name, object.maps.get(name)!, entries)])),
      ...this.copies()
    }
  }

  /** Resolves when the kernel has let go of all. */
  async close(bpf: Native['bpf']): Promise<void> {
    const ids = [...this.loaded.values(), this.tracer].flatMap(({ maps }) => [...maps.values()].map(({ info }) => info.id))
    this.link.detach()
    this.link.close()
    for (const object of this.loaded.values()) object.close()
    this.tracer.close()
    this.netns.close()
    await letGo(bpf, ids)
  }

  private async object(program: Program): Promise<BpfObject> {
    const known = this.loaded.get(program.key)
    if (known) return known
    const { key, kind, id } = program
    const live = this.source.running.maps(key)
    if (!live) throw new InkevError('INKEV_ERR_NOT_FOUND', `${inWords(key)} went away while the packet was on its way`)
    requireCopyable(key, live)
    const compiled = this.objects.of(kind)
    const object = await this.source.running.loadCopy(compiled, id, {
      reuse: Object.fromEntries([...this.shared].filter(([map]) => compiled.spec.maps.has(map))),
      maxEntries: this.sizes(compiled.spec.maps, live)
    })
    this.loaded.set(key, object)
    for (const [map, handle] of object.maps) this.fill(map, handle, live)
    return object
  }

  private sizes(declared: ReadonlyMap<string, unknown>, live: ReadonlyMap<string, BpfMap>): Record<string, number> {
    const own = [...live].map(([name, { info }]) => [name, info.maxEntries] as const)
    const shared = Object.entries({ panel: 1, stitches: slotOf(Math.max(...this.numbers()) + 1, 0) })
    return Object.fromEntries([...own, ...shared.filter(([name]) => declared.has(name) && !this.shared.has(name))])
  }

  /** Counters start anew, and the panel stays empty: so each jump to a function goes through `instances`. */
  private fill(name: string, map: BpfMap, live: ReadonlyMap<string, BpfMap>): void {
    const own = live.get(name)
    if (own && name !== 'counters' && COPIED.includes(own.info.type)) map.putAll(own.entries())
    if (!this.source.shared.isShared(name) || this.shared.has(name)) return
    this.shared.set(name, map)
    if (name === 'instances') for (const number of this.numbers()) map.putProgram(number, this.tracer.programs.get('stop')!)
    else if (name !== 'panel') this.put(name, this.shadowed(name))
  }

  /** Of all instances that run. */
  private numbers(): number[] {
    return [EXIT, ...this.actual('instances').map(({ key }) => Number(key))]
  }

  private actual(name: string): Entry[] {
    const entries = [...(this.source.contents.get(name) ?? [])].map(([key, value]) => [Buffer.from(key, 'hex'), Buffer.from(value, 'hex')])
    return decodeEntries(this.source.shared.spec(name), entries as [Buffer, Buffer][])
  }

  /** As a shadow wants it: no device is that of a workload. */
  private shadowed(name: string): Entry[] {
    if (name === 'workload_ids' || name === 'vlan_ids') return []
    return this.actual(name).map(({ key, value }) => {
      if (name === 'workloads') return { key, value: withExit(value) }
      return name === 'host' ? { key, value: { ...(value as object), replica: DEVICE, vxlan: DEVICE } } : { key, value }
    })
  }

  private put(name: string, entries: Entry[]): void {
    this.shared.get(name)?.putAll(encodeEntries(this.source.shared.spec(name), entries))
  }

  private counters({ kind }: Program, object: BpfObject): bigint[] {
    const codec = this.objects.of(kind).spec.maps.get('counters')!.value!
    return object.maps
      .get('counters')!
      .entries()
      .map(([, value]) => sumPerCpu(codec, value))
  }

  private keysTouched({ kind }: Program, name: string, map: BpfMap, before: Entries): Value[] {
    const touched = [...readEntries(map)].filter(([key, value]) => before.get(key) !== value)
    return touched.map(([key]) => this.objects.of(kind).spec.maps.get(name)!.key!.decode(Buffer.from(key, 'hex')))
  }

  private forgetCopies(): void {
    this.tracer.maps.get('copied')!.put(Buffer.alloc(4), Buffer.alloc(4))
  }

  private copies(): Pick<Run, 'copies' | 'missing'> {
    const { maps } = this.tracer
    const count = maps.get('copied')!.get(Buffer.alloc(4))!.readUInt32LE()
    if (count === 0) return { copies: [], missing: 0 }
    const records = decodeEntries(this.objects.get(TRACE).spec.maps.get('copies')!, maps.get('copies')!.entries())
    const copies = records
      .slice(0, count)
      .flatMap(({ value }) => ((value as unknown as CopyRecord).length > 0 ? [value as unknown as CopyRecord] : []))
    return {
      copies: copies.map(({ bytes, length, mark, vtep, vni }) => ({ bytes: Buffer.from(bytes).subarray(0, length), mark, vtep, vni })),
      missing: count - copies.length
    }
  }
}

/** struct copy of trace.bpf.c. */
interface CopyRecord extends Omit<Copy, 'bytes'> {
  bytes: Uint8Array
  length: number
}

/**
 * Whatever comes to the workload goes to EXIT, with the workload's number in cb[2]: where a chain is before it, instead of into its device; else by a chain
 * of that one.
 */
function withExit(workload: Value): Value {
  const { chain_length, ...rest } = workload as Record<string, Value>
  if (chain_length === 0) return { ...rest, ifindex: EXIT, chain_length: 1, chain: [EXIT] }
  return { ...rest, ifindex: EXIT, delivery: 'ATTACHED_FUNCTION', chain_length: chain_length! }
}

type Size = Pick<MapInfo, 'maxEntries' | 'keySize' | 'valueSize'> & { type: string }

/** Throws INKEV_ERR_TOO_LARGE. */
export function requireCopyable(key: string, live: ReadonlyMap<string, { info: Size }>): void {
  for (const [name, { info }] of live)
    if (![...COPIED, ...LEFT].includes(info.type))
      throw new InkevError(
        'INKEV_ERR_TOO_LARGE',
        `${inWords(key)} has a map ${name} of a type (${info.type}) of which a trace makes no copy`
      )
  const bytes = [...live.values()].reduce((sum, { info }) => sum + info.maxEntries * (info.keySize + info.valueSize), 0)
  if (bytes > COPIED_BYTES_MAX)
    throw new InkevError(
      'INKEV_ERR_TOO_LARGE',
      `the tables of ${inWords(key)} take ${mebibytes(bytes)} MiB, and a trace copies at most ${mebibytes(COPIED_BYTES_MAX)} MiB of a function`
    )
}

function mebibytes(bytes: number): number {
  return Math.ceil(bytes / 1024 / 1024)
}

/** A network namespace that is gone as soon as nobody holds it. */
function namelessNetns({ net }: Native): Netns {
  const name = `inkev-trace-${randomUUID()}`
  const netns = net.createNetns(name)
  net.deleteNetns(name)
  return netns
}
