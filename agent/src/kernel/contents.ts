// SPDX-License-Identifier: Apache-2.0
// Contents of maps as the plan sees them: hex keys and values. An array's element of all zeros counts as absent, as deletion leaves it so.

import { PORTS_PER_INSTANCE, slotOf } from '@inkev/bpf/core/graph'
import type { BpfMap, Program } from '@inkev/native'
import { type Entries, programValue } from '../plan/state'

export function readEntries(map: BpfMap): Entries {
  const { keySize, type } = map.info
  const { count, keys, values } = map.dump()
  // A map with a value for each CPU has all of them in one entry.
  const valueSize = values.length / (count || 1)
  const zero = Buffer.alloc(valueSize)
  const isAbsent = (n: number) => type === 'array' && values.compare(zero, 0, valueSize, n * valueSize, (n + 1) * valueSize) === 0
  const entries: Entries = new Map()
  for (let n = 0; n < count; n++)
    if (!isAbsent(n))
      entries.set(keys.toString('hex', n * keySize, (n + 1) * keySize), values.toString('hex', n * valueSize, (n + 1) * valueSize))
  return entries
}

/** The elements of a slot map (by instance and port) that belong to some instances: the whole is too large to read. */
export function readSlots(map: BpfMap, instances: Iterable<number>): Entries {
  const slots = [...instances].flatMap(id => Array.from({ length: PORTS_PER_INSTANCE }, (_, port) => slotOf(id, port)))
  return readIndexes(map, slots)
}

/** A program array is read element by element. */
export function readIndexes(map: BpfMap, indexes: number[]): Entries {
  const entries: Entries = new Map()
  for (const index of indexes) {
    const key = indexKey(index)
    const value = map.get(key)?.toString('hex')
    if (value !== undefined && !isZero(value)) entries.set(key.toString('hex'), value)
  }
  return entries
}

/** `programs` are those that a program array's entries may name. */
export function writeEntries(map: BpfMap, entries: Entries, programs: Iterable<Program>): void {
  if (map.info.type === 'prog_array') {
    const named = programsByValue(programs)
    for (const [key, value] of entries) map.putProgram(indexOf(key), named.get(value)!)
  } else map.putAll([...entries].map(([key, value]) => [Buffer.from(key, 'hex'), Buffer.from(value, 'hex')]))
}

export function deleteEntries(map: BpfMap, keys: string[]): void {
  const { type, valueSize } = map.info
  if (type === 'prog_array') for (const key of keys) map.deleteProgram(indexOf(key))
  else if (type === 'array') {
    const zero = Buffer.alloc(valueSize)
    map.putAll(keys.map(key => [Buffer.from(key, 'hex'), zero]))
  } else for (const key of keys) map.delete(Buffer.from(key, 'hex'))
}

function programsByValue(programs: Iterable<Program>): Map<string, Program> {
  return new Map([...programs].map(program => [entryOf(program), program]))
}

/** The kernel is asked once for the number of a program, which never changes. */
const known = new WeakMap<Program, string>()

function entryOf(program: Program): string {
  const value = known.get(program) ?? programValue(program.info.id)
  known.set(program, value)
  return value
}

function isZero(hex: string): boolean {
  return /^0*$/.test(hex)
}

function indexKey(index: number): Buffer {
  const key = Buffer.alloc(4)
  key.writeUInt32LE(index)
  return key
}

function indexOf(key: string): number {
  return Buffer.from(key, 'hex').readUInt32LE()
}
