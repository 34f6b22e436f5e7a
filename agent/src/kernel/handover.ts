// SPDX-License-Identifier: Apache-2.0
// The packets of a function go from one version of its code to the next while its memory is moved, and none is lost: they wait meanwhile.

import type { Bpf, BpfObject, Program } from '@inkev/native'
import { type Entries, programValue } from '../plan/state'
import type { Handover, LoadedObjects, Move } from './loaded'
import type { Objects } from './objects'
import type { SharedMaps } from './shared'

/** The object hold.bpf.c. */
export const HOLD = 'hold'

/** So long packets wait at most, in nanoseconds: then the former version takes them again, even if the agent is gone. */
const WAIT_MAX = 1_000_000_000n
/** The maps by which a function is called. */
const CALLS = ['panel', 'instances']

export interface Parts {
  bpf: Bpf
  objects: Objects
  loaded: LoadedObjects
  shared: SharedMaps
  /** What the shared maps hold. Kept true. */
  held: ReadonlyMap<string, Entries>
}

/**
 * In order: packets are sent round, what ran on others comes to its end, the memory is copied, packets go to the next version. So nothing is written to memory that
 * is not copied, and no version sees a record of which there is a later one. Throws where the memory does not fit, or took longer to copy than packets wait: the
 * former version has the packets again then.
 */
export async function handOver(parts: Parts, { key, before, after, moves }: Handover): Promise<void> {
  const own = programValue(before.info.id)
  const calls = callsOf(parts, value => value === own)
  const until = process.hrtime.bigint() + WAIT_MAX
  const hold = await loadHold(parts, before, until)
  try {
    parts.loaded.keepWay(key, hold.maps.get('former')!)
    lead(parts, calls, hold.programs.get(HOLD)!)
    parts.bpf.settle()
    for (const move of moves) copy(move)
    if (process.hrtime.bigint() >= until) throw new Error(`it is too large to be copied while packets wait`)
    lead(parts, calls, after)
  } catch (error) {
    lead(parts, calls, before)
    throw error
  } finally {
    parts.bpf.settle()
    parts.loaded.forgetWay(key)
    hold.close()
  }
}

/** What an agent that died has left waiting: the packets are led to the version that gets them anyway, and without detour. */
export function resumeFormer(parts: Parts): void {
  const known = new Set(parts.loaded.mains().map(({ info }) => programValue(info.id)))
  for (const [key, former] of parts.loaded.interrupted()) {
    lead(
      parts,
      callsOf(parts, value => !known.has(value)),
      former
    )
    parts.bpf.settle()
    parts.loaded.forgetWay(key)
  }
}

type Calls = (readonly [map: string, slots: string[]])[]

/** Where programs are called, by the values of the maps. */
function callsOf({ held }: Parts, isMeant: (value: string) => boolean): Calls {
  return CALLS.map(map => [map, [...(held.get(map) ?? [])].flatMap(([slot, value]) => (isMeant(value) ? [slot] : []))])
}

async function loadHold({ objects, loaded, shared }: Parts, former: Program, until: bigint): Promise<BpfObject> {
  const compiled = objects.get(HOLD)
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(until)
  const reuse = Object.fromEntries(Object.entries(shared.all()).filter(([name]) => compiled.spec.maps.has(name)))
  const hold = await loaded.loadCopy(compiled, 0, { rodata: { until: bytes }, reuse })
  hold.maps.get('former')!.putProgram(0, former)
  return hold
}

function lead({ shared, held }: Parts, calls: Calls, program: Program): void {
  const value = programValue(program.info.id)
  for (const [map, slots] of calls) {
    const entries = new Map(slots.map(slot => [slot, value]))
    if (entries.size > 0) shared.put(map, entries, [program])
    for (const slot of slots) held.get(map)!.set(slot, value)
  }
}

function copy({ name, from, to, bytes }: Move): void {
  try {
    from.copyTo(to, bytes)
  } catch (error) {
    throw new Error(`map ${name}: ${(error as Error).message}`, { cause: error })
  }
}
