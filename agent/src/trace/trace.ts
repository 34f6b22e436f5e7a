// SPDX-License-Identifier: Apache-2.0
// Follows one packet through a shadow of the graph, function by function, and the copies that are made of it; tells every step.

import type { Image } from '@inkev/bpf/catalogue/define'
import { coreCounters } from '@inkev/bpf/core/core'
import { InkevError } from '../../api/errors'
import type { Ending, Step, TraceAnswer } from '../../api/trace'
import { type Copy, EXIT, type Packet, type Run, type Shadow, STOPPED } from '../kernel/shadow'
import { inWords } from '../model/desired'
import type { Instance } from '../model/graph'
import { segmentKey } from '../model/workloads'
import { ROAD, roadKey } from '../plan/wishes'
import type { Reconciler } from '../reconcile'
import { changesOf } from './frame'
import type { Names, Place } from './names'

const TC_ACT_SHOT = 2
const TC_ACT_REDIRECT = 7

/** A broadcast among many functions, copied again and again, is told so far. */
const STEPS_MAX = 256

/** What becomes of a packet in a step, and where it is then, if it is in the graph still or has just left it. */
type Outcome = Ending & { vni?: number; packet?: Packet }

/** A packet before it is anywhere. */
export type Described = Pick<Packet, 'bytes' | 'gso_size'>

/** What a step says beside its outcome. */
type Told = Omit<Step, keyof Ending | 'vni'>

const NOTHING = { matched: [], counted: {}, changed: {} }

export class Trace {
  private readonly steps: Step[] = []
  private readonly waiting: { at: string; copy: number; made: Copy }[] = []
  private copies = 0
  private truncated = false

  constructor(
    private readonly shadow: Shadow,
    private readonly names: Names,
    private readonly labels: Reconciler['labels']
  ) {}

  /** From a workload, by its number. */
  async fromWorkload(workload: number, sent: Described): Promise<TraceAnswer> {
    const run = await this.shadow.runPort(this.names.road('port'), workload, sent)
    const outcome = await this.outcomeOf(run, {})
    this.tell({ copy: 0, at: this.names.workload(workload), ...toldOf(run, {}, sent.bytes) }, outcome)
    return this.follow(outcome)
  }

  /** From the physical segment that is a workload's, by its number. */
  async fromSegment(workload: number, sent: Described): Promise<TraceAnswer> {
    const run = await this.shadow.runSegment(this.names.road('vlan'), workload, sent)
    const outcome = await this.outcomeOf(run, {})
    const at = this.names.workload(workload)
    this.tell({ copy: 0, at, ...toldOf(run, {}, sent.bytes) }, outcome)
    this.takeCopies(at, { ...sent, cb: [], mark: 0 }, run)
    return this.follow(outcome)
  }

  /** From the tunnel of another host, by its number, into a network. The program that opens tunnels is not run: it has no choice. */
  async fromHost(peer: number, { instance, port }: Place, sent: Described): Promise<TraceAnswer> {
    const packet = { ...sent, cb: [((instance << 16) | port) >>> 0, 1 << 8, 0, peer, 0], mark: 0 }
    const outcome = this.arrival(packet)
    this.tell({ copy: 0, at: this.names.host(peer), ...NOTHING }, outcome)
    return this.follow(outcome)
  }

  private async follow(start: Outcome): Promise<TraceAnswer> {
    const { packet: _, vni: __, ...ending } = await this.walk(0, start)
    for (let copy = this.waiting.shift(); copy; copy = this.waiting.shift()) await this.followCopy(copy)
    return { ...ending, truncated: this.truncated, steps: this.steps }
  }

  private async walk(copy: number, start: Outcome): Promise<Outcome> {
    let outcome = start
    while (outcome.verdict === 'forwarded') {
      if (this.steps.length >= STEPS_MAX) {
        this.truncated = true
        return outcome
      }
      outcome = await this.step(copy, outcome.packet!)
    }
    return outcome
  }

  private step(copy: number, packet: Packet): Promise<Outcome> {
    const { instance: number, port } = placeOf(packet)
    const instance = this.names.instance(number)
    if (number === ROAD.vlan) return this.passTags(copy, packet)
    return instance ? this.passFunction(copy, packet, instance, port) : this.leaveHost(copy, packet)
  }

  private async passFunction(copy: number, packet: Packet, instance: Instance, port: number): Promise<Outcome> {
    const { key, kind } = instance
    const labels = this.labels(key) ?? {}
    const run = await this.shadow.run(this.names.program(instance), packet, Object.keys(labels))
    const outcome = await this.outcomeOf(run, kind.counters)
    const port_out = this.portOut(instance, outcome)
    this.tell(
      {
        ...{ copy, at: key, kind: kind.kind, port_in: this.names.port(instance, port) },
        ...(port_out !== undefined && { port_out }),
        ...toldOf(run, kind.counters, packet.bytes),
        matched: matchedBy(run, labels)
      },
      outcome
    )
    this.takeCopies(key, packet, run)
    return outcome
  }

  /** What stands before a trunk port or a segment. */
  private async passTags(copy: number, packet: Packet): Promise<Outcome> {
    const run = await this.shadow.run(this.names.road('vlan'), packet)
    const outcome = await this.outcomeOf(run, {})
    this.tell({ copy, at: roadKey('vlan'), ...toldOf(run, {}, packet.bytes) }, outcome)
    return outcome
  }

  private portOut(instance: Instance, { verdict, packet }: Outcome): string | undefined {
    if (!packet) return undefined
    return this.names.portTowards(instance, verdict === 'delivered' ? 'workload' : placeOf(packet), packet.cb[2]!)
  }

  /** The overlay: all that is left of the packet is in a tunnel, or an answer to it. */
  private async leaveHost(copy: number, packet: Packet): Promise<Outcome> {
    const run = await this.shadow.runOverlay(this.names.road('overlay'), packet)
    const [, , , peer = 0, vni = 0] = packet.cb
    const isSent = run.verdict === TC_ACT_REDIRECT
    const outcome: Outcome = isSent ? { verdict: 'tunnelled', to: this.names.host(peer), vni } : await this.outcomeOf(run, {})
    this.tell({ copy, at: roadKey('overlay'), ...(isSent ? NOTHING : toldOf(run, {}, packet.bytes)) }, outcome)
    return outcome
  }

  private takeCopies(at: string, from: Packet, run: Run): void {
    requireWhole(at, from, run)
    const { copies, missing } = run
    if (missing > 0) this.truncated = true
    for (const made of copies) this.waiting.push({ at, copy: ++this.copies, made })
  }

  /** A copy goes on where the replica device comes out, or in a tunnel. */
  private async followCopy({ at, copy, made }: (typeof this.waiting)[number]): Promise<void> {
    const { bytes, mark, vtep, vni } = made
    const outcome: Outcome = mark
      ? await this.goRound({ bytes, mark, gso_size: 0 })
      : { verdict: 'tunnelled', to: this.names.hostAt(vtep), vni }
    this.tell({ copy, at, ...NOTHING }, outcome)
    await this.walk(copy, outcome)
  }

  /** Through the replica device. */
  private async goRound({ bytes, mark, gso_size }: Omit<Packet, 'cb'>): Promise<Outcome> {
    return this.outcomeOf(await this.shadow.run(this.names.road('replica'), { bytes, cb: [], mark, gso_size }), {})
  }

  private async outcomeOf({ verdict, packet, counted, copies, missing }: Run, own: Counters): Promise<Outcome> {
    if (verdict === STOPPED) return this.arrival(packet)
    if (verdict === TC_ACT_REDIRECT && packet.mark !== 0) return this.goRound(packet)
    if (verdict !== TC_ACT_SHOT) return { verdict: 'kernel' }
    if (copies.length + missing > 0) return { verdict: 'copied' }
    const [reason, explanation] = docsOf(own)[counted.findLastIndex(count => count > 0n)] ?? []
    return reason === undefined ? { verdict: 'consumed' } : { verdict: 'dropped', reason, explanation }
  }

  private arrival(packet: Packet): Outcome {
    const { instance } = placeOf(packet)
    if (instance === EXIT) return { verdict: 'delivered', to: this.names.workload(packet.cb[2]!), packet }
    return { verdict: 'forwarded', to: this.names.key(instance), packet }
  }

  private tell(told: Told, { packet: _, ...ending }: Outcome): void {
    this.steps.push({ ...told, ...ending })
  }
}

type Counters = Instance['kind']['counters']

/** Names and sentences, by number. */
function docsOf(own: Counters): [name: string, doc: string][] {
  return Object.entries({ ...coreCounters, ...own })
}

function toldOf({ counted, packet }: Run, own: Counters, before: Buffer): Pick<Step, 'matched' | 'counted' | 'changed'> {
  const moved = docsOf(own).flatMap(([name], n) => (counted[n] ? [[name, Number(counted[n])] as const] : []))
  return { matched: [], counted: Object.fromEntries(moved), changed: changesOf(before, packet.bytes) }
}

/** The operator's names of what the packet changed a record of. */
function matchedBy({ touched }: Run, labels: NonNullable<Image['labels']>): string[] {
  return [...touched].flatMap(([map, keys]) => keys.flatMap(key => labels[map]?.[String(key)] ?? []))
}

/** Throws INKEV_ERR_SCHEMA where a train is copied: a test run has no whole train to give to the device that is to tell of the copy. */
function requireWhole(key: string, { gso_size }: Packet, { copies, missing, counted }: Run): void {
  const tried = copies.length + missing + Number(counted[NO_ROOM] ?? 0)
  if (gso_size === 0 || tried === 0) return
  const path = 'packet.segment_size'
  throw new InkevError(
    'INKEV_ERR_SCHEMA',
    `${path}: ${copierInWords(key)} copies the train, of which no copy can be traced`,
    path,
    'Trace one of its segments.'
  )
}

function copierInWords(key: string): string {
  const segments = segmentKey('')
  return key.startsWith(segments) ? `the segment of network ${key.slice(segments.length)}` : inWords(key)
}

const NO_ROOM = Object.keys(coreCounters).indexOf('no_room')

function placeOf({ cb: [place = 0] }: Packet): Place {
  return { instance: place >>> 16, port: place & 0xffff }
}
