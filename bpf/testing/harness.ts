// SPDX-License-Identifier: Apache-2.0
// Runs packets through a function as the kernel does (BPF_PROG_TEST_RUN), with maps of its own and a probe behind every port. Nothing is attached or pinned.

import { release } from 'node:os'
import type { Netns, TestResult } from '@inkev/native'
import type { FunctionKind, Surroundings } from '../catalogue/define'
import { INSTANCE_FIRST, slotOf } from '../core/graph'
import { Frame } from '../packets/frame'
import { type Parsed, type ParseOptions, parse } from '../packets/parse'
import { type Context, decodeContext, decodePriority, encodeContext } from '../packets/skb'
import { noteCounted } from './counted'
import { memoryOf } from './fdinfo'
import { Instance, LoadedObject, type Table } from './instance'
import { runTogether } from './together'

/** TC_ACT_SHOT and TC_ACT_REDIRECT. */
const VERDICTS: Record<number, 'nowhere' | 'device'> = { 2: 'nowhere', 7: 'device' }

/** The function under test; the probe behind its ports; the probe that is the chain of every workload. */
const INSTANCE = INSTANCE_FIRST
const PORT_PROBE = INSTANCE + 1
const WORKLOAD_PROBE = INSTANCE + 2

/** The slot whose program those of starter.bpf.c call: no instance has it. */
export const STARTED = 0

/** Ports with a probe that is reached directly; those beyond are not probed. */
const PROBED_PORTS = 16
const SLOTS = slotOf(WORKLOAD_PROBE + 1, 0)

/** A test needs few: maps of the size of a host's would only cost time. */
const SMALL_MAPS = { panel: SLOTS, stitches: SLOTS, workloads: 256, peers: 64, tunnels: 64 }

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
  /** An IP packet that has come out of a tunnel from another host of this machine. */
  decapsulated?: boolean
  /** False: as from a sender on this host, which no device has summed up. For functions whose helpers tell by where a packet runs whether to keep that sum, which a test run is not. */
  summed?: boolean
  /** Where its copies find devices; the namespace of this process if left out. */
  netns?: Netns
}

export interface Outcome extends Context {
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
  verdict: number
  /** What the frame says; throws where a checksum is wrong. */
  parsed(options?: ParseOptions): Parsed
}

/** A packet of which no counters are known. */
export type Passed = Omit<Outcome, 'counted'>

export interface TestedFunction {
  /** As of a device that has summed the packet up (CHECKSUM_COMPLETE), from Linux 6.11 on: throws EBADMSG where that sum is wrong afterwards. */
  send(frame: Frame | Uint8Array, arrival?: Arrival): Outcome
  /** Each lane on a CPU of its own, as far as there are so many: the first packets of all lanes at the same moment, then the second ones, and so on. */
  sendTogether(...lanes: { frame: Frame; arrival?: Arrival }[][]): Promise<Passed[][]>
  /** Nanoseconds per run, the probe included. Every run finds the frame as the last one has left it. */
  measure(frame: Frame | Uint8Array, arrival?: Arrival, repeat?: number): number
  /** The same with the frame, UDP over IPv4, of another flow in every run: `count` of them, numbered from 0. */
  measureFlows(frame: Frame, arrival: Arrival, count: number): number
  /** Makes the maps hold what the configuration wants, as the agent does: puts, commits, deletes. */
  apply(config: Record<string, unknown>, surroundings?: Partial<Surroundings>): void
  /** A workload port: `went` names it. */
  addWorkload(id: number, mac?: string): void
  /** A map of the function, or one of the road's. */
  table(name: string): Table
  /** Bytes that the kernel has set aside for such a map. */
  memory(name: string): number
  counters(): Record<string, number>
  /** What of it is in the kernel. */
  readonly loaded: LoadedObject
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

/** Of a kind, or of a user's program as readProgram() reads it. Throws when the configuration is not valid. The objects must have been built: node bpf/build.mjs. */
export async function loadFunction(
  kind: FunctionKind,
  config: Record<string, unknown> = {},
  { sizes, surroundings }: Situation = {}
): Promise<TestedFunction> {
  const instance = await Instance.create(kind, config, { number: INSTANCE, sizes: { ...SMALL_MAPS, ...sizes } })
  try {
    const probe = await LoadedObject.load('probe', { number: 0, share: instance.object.maps })
    const starter = await LoadedObject.load('starter', { number: 0, share: instance.object.maps })
    stitchProbe(instance, probe)
    instance.object.maps.get('panel')!.putProgram(STARTED, instance.entry)
    instance.apply(config, surroundings)
    return new Tested(instance, probe, starter)
  } catch (error) {
    instance.close()
    throw error
  }
}

function stitchProbe(instance: Instance, probe: LoadedObject): void {
  const program = probe.program('probe')
  const stitches = instance.table('stitches')
  for (const number of [PORT_PROBE, WORKLOAD_PROBE]) instance.object.maps.get('instances')!.putProgram(number, program)
  for (let port = 0; port < PROBED_PORTS; port++) {
    instance.object.maps.get('panel')!.putProgram(slotOf(INSTANCE, port), program)
    stitches.put(slotOf(INSTANCE, port), { target: PORT_PROBE, port, kind: 'ATTACHED_FUNCTION' })
  }
}

/** Whether test runs can say that a device has summed the packet up: Linux 6.11. */
const [major = 0, minor = 0] = release().split('.').map(Number)
export const SUMS = major > 6 || (major === 6 && minor >= 11)

class Tested implements TestedFunction {
  /** The counters after the last packet, while nothing else can have moved them. */
  private counted: Buffer | undefined

  constructor(
    private readonly instance: Instance,
    private readonly probe: LoadedObject,
    private readonly starter: LoadedObject
  ) {}

  send(frame: Frame | Uint8Array, arrival: Arrival = {}): Outcome {
    const before = this.counted ?? this.instance.rawCounters()
    const { summed = SUMS, decapsulated } = arrival
    const start = decapsulated ? 'decapsulated' : summed ? 'summed' : undefined
    const entry = start ? this.starter.program(start) : this.instance.entry
    const run = entry.testRun({ data: bytesOf(frame), context: this.contextOf(arrival), summed, netns: arrival.netns })
    const data = start ? run.data.subarray(0, run.data.length - decodePriority(run.context)) : run.data
    this.counted = this.instance.rawCounters()
    const counted = this.instance.countedSince(before, this.counted)
    noteCounted(this.instance.kind.kind, Object.keys(counted))
    return { ...this.passed(run, data), counted }
  }

  async sendTogether(...lanes: { frame: Frame; arrival?: Arrival }[][]): Promise<Passed[][]> {
    const runs = lanes.map(lane => lane.map(({ frame, arrival }) => ({ data: frame.bytes(), context: this.contextOf(arrival ?? {}) })))
    this.counted = undefined
    const results = await runTogether(this.instance.entry, runs)
    return results.map(lane => lane.map(run => this.passed(run, run.data)))
  }

  measure(frame: Frame | Uint8Array, arrival: Arrival = {}, repeat = 100_000): number {
    this.counted = undefined
    const context = this.contextOf(arrival)
    return this.starter.program('starter').testRun({ data: bytesOf(frame), context, repeat }).durationNs
  }

  measureFlows(frame: Frame, arrival: Arrival, count: number): number {
    this.counted = undefined
    const context = this.contextOf({ ...arrival, mark: 0 })
    return this.starter.program('flows').testRun({ data: frame.bytes(), context, repeat: count }).durationNs
  }

  apply(config: Record<string, unknown>, surroundings?: Partial<Surroundings>): void {
    this.instance.apply(config, surroundings)
  }

  addWorkload(id: number, mac = '02:00:00:00:00:00'): void {
    const network = { target: 0, port: 0, kind: 'ATTACHED_NOTHING' }
    const device = { ifindex: 1, delivery: 'ATTACHED_VETH', pinned: false, mac, mtu: 1500 }
    this.table('workloads').put(id, { ...device, network, chain: [WORKLOAD_PROBE], chain_length: 1 })
  }

  table(name: string): Table {
    return this.instance.table(name)
  }

  memory(name: string): number {
    return memoryOf(this.instance.object.maps.get(name)!)
  }

  counters(): Record<string, number> {
    return this.instance.counters()
  }

  get loaded(): LoadedObject {
    return this.instance
  }

  close(): void {
    this.probe.close()
    this.starter.close()
    this.instance.close()
  }

  private passed({ verdict, context }: TestResult, bytes: Buffer): Passed {
    const decoded = decodeContext(context)
    return { ...this.ending(verdict, decoded), ...decoded, bytes, verdict, parsed: options => parse(bytes, options) }
  }

  private ending(verdict: number, { cb }: Context): Pick<Outcome, 'went' | 'port' | 'workload'> {
    const [instance, port] = [verdict >>> 16, verdict & 0xffff]
    if (instance === PORT_PROBE) return { went: 'port', port: this.instance.names[port] ?? port }
    if (instance === WORKLOAD_PROBE) return { went: 'workload', workload: cb[2]! }
    return { went: VERDICTS[verdict] ?? 'kernel' }
  }

  private contextOf({ port = 0, workload = 0, peer = 0, hops = 1, scratch = 0, mark = 0, gso_size = 0 }: Arrival): Buffer {
    const { names, kind } = this.instance
    const number = typeof port === 'number' ? port : names.indexOf(port)
    if (number < 0) throw new Error(`${kind.kind} has no port ${port}: it has ${names.join(', ')}`)
    return encodeContext({ cb: [(INSTANCE << 16) | number, hops << 8, workload, peer, scratch], mark, gso_size })
  }
}

function bytesOf(frame: Frame | Uint8Array): Uint8Array {
  return frame instanceof Frame ? frame.bytes() : frame
}
