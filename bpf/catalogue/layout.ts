// SPDX-License-Identifier: Apache-2.0
// What the layout of a map is: maps of one layout are taken over by another version of the program as they are, those that grew or shrank at their end entry by entry.

import type { MapSpec, ObjectSpec } from './btf'
import type { Value } from './define'
import { type CType, type RecordType, resolved } from './types'

/** Type, sizes, and where each field of the records lies. Throws MismatchError where a record holds what has no value, such as a pointer. */
export function layoutText(map: MapSpec, maxEntries = map.maxEntries): string {
  return [map.type, map.keySize, map.valueSize, maxEntries, map.flags, fieldsOf(map)].join(' ')
}

const fields = new WeakMap<MapSpec, string>()

/** Found out once for each map, as every instance of a function asks for it. */
function fieldsOf(map: MapSpec): string {
  const known = fields.get(map) ?? [map.key, map.value].map(codec => (codec ? describe(codec.decode(ramp(codec.size))) : '')).join(' ')
  fields.set(map, known)
  return known
}

/** Bytes that tell their own place, so that the decoded record shows where each field was read. */
function ramp(size: number): Buffer {
  return Buffer.from(Array.from({ length: size }, (_, n) => (n * 7 + 1) & 0x7f))
}

function describe(value: Value): string {
  return JSON.stringify(value, (_, field) => (typeof field === 'bigint' ? field.toString() : field))
}

/** A map as far as it matters to another version of it. */
export interface MapShape {
  type: string
  /** BPF_F_ flags. */
  flags: number
  valueSize: number
  key: TypeRef
  value: TypeRef
}

/** A type among those that it refers to. */
export interface TypeRef {
  types: CType[]
  index: number
}

/** A map as an object declares it; it must have types. */
export function shapeOf({ types }: Pick<ObjectSpec, 'types'>, { type, flags, valueSize, keyType, valueType }: MapSpec): MapShape {
  return { type, flags, valueSize, key: { types, index: keyType ?? 0 }, value: { types, index: valueType ?? 0 } }
}

/** Maps whose entries can be copied. */
const COPYABLE = ['hash', 'array', 'percpu_hash', 'percpu_array', 'lru_hash', 'lru_percpu_hash', 'lpm_trie']
/** Structures that mean something to the kernel beside their bytes. */
const TIED = ['bpf_timer', 'bpf_wq', 'bpf_list_head', 'bpf_list_node', 'bpf_rb_root', 'bpf_rb_node', 'bpf_refcount']

/** Says why, and at which field, a map cannot be taken over. */
export class LayoutFault extends RangeError {}

/** How many bytes of each value another version of a map takes over; what lies behind them is zero there. Throws LayoutFault. */
export function sharedBytes(before: MapShape, next: MapShape): number {
  if (before.type !== next.type) throw new LayoutFault(`it is of type ${next.type} now, and was of ${before.type}`)
  if (!COPYABLE.includes(before.type)) throw new LayoutFault(`maps of type ${before.type} are not copied`)
  if (before.flags !== next.flags) throw new LayoutFault(`its flags are ${next.flags} now, and were ${before.flags}`)
  requireSame(before.key, next.key, 'its key')
  return sharedOf(before.value, next.value, 'its value', Math.min(before.valueSize, next.valueSize))
}

/** Of a structure that may have more fields at its end in one version than in the other; as such, its last one too. */
function sharedOf(before: TypeRef, next: TypeRef, path: string, size: number): number {
  const [a, b] = [plain(before), plain(next)]
  if (a?.kind !== 'struct' || b?.kind !== 'struct') {
    requireSame(before, next, path)
    return size
  }
  const count = Math.min(a.members.length, b.members.length)
  if (count === 0) throw new LayoutFault(`${path} has no field in common with what it was`)
  requireSameMembers({ ...before, record: a }, { ...next, record: b }, path, count - 1)
  const [last, other] = [a.members[count - 1]!, b.members[count - 1]!]
  requireSamePlace(last, other, path)
  const within = sharedOf(
    { ...before, index: last.type },
    { ...next, index: other.type },
    pathTo(path, last),
    sizeOf(before.types, last.type)
  )
  return Math.min(size, Math.ceil(last.bitOffset / 8) + within)
}

type RecordRef = TypeRef & { record: RecordType }

function requireSameMembers(before: RecordRef, next: RecordRef, path: string, count: number): void {
  for (let n = 0; n < count; n++) {
    const [a, b] = [before.record.members[n]!, next.record.members[n]!]
    requireSamePlace(a, b, path)
    requireSame({ ...before, index: a.type }, { ...next, index: b.type }, pathTo(path, a))
  }
}

type Place = RecordType['members'][number]

function requireSamePlace(a: Place, b: Place, path: string): void {
  if (a.name !== b.name)
    throw new LayoutFault(`${path} has the field ${b.name || 'without name'} where ${a.name || 'one without name'} was`)
  if (a.bitOffset !== b.bitOffset || a.bitSize !== b.bitSize)
    throw new LayoutFault(`${pathTo(path, a)} is at byte ${b.bitOffset / 8} now, and was at byte ${a.bitOffset / 8}`)
}

function pathTo(path: string, { name }: Place): string {
  return name ? `${path}.${name}`.replace(/^its (key|value)\./, 'field ') : path
}

/** Enums may have gained words, or lost some. */
function requireSame(before: TypeRef, next: TypeRef, path: string): void {
  const [a, b] = [plain(before), plain(next)]
  const names = [before, next].map(({ types, index }) => nameOf(types, index))
  if (!a || !b || a.kind !== b.kind || names[0] !== names[1] || sizeOf(before.types, before.index) !== sizeOf(next.types, next.index))
    throw new LayoutFault(`${path} is of type ${names[1]} now, and was of ${names[0]}`)
  if (a.kind === 'pointer' || ('name' in a && TIED.includes(a.name)))
    throw new LayoutFault(`${path} (${names[0]}) is bound to the map that holds it`)
  if (a.kind === 'array' && b.kind === 'array') requireSame({ ...before, index: a.element }, { ...next, index: b.element }, path)
  if (a.kind === 'enum' && b.kind === 'enum') requireSameWords(a, b, path)
  if ((a.kind !== 'struct' && a.kind !== 'union') || (b.kind !== 'struct' && b.kind !== 'union')) return
  if (a.members.length !== b.members.length) throw new LayoutFault(`${path} has other fields than before, and stands before others`)
  requireSameMembers({ ...before, record: a }, { ...next, record: b }, path, a.members.length)
}

type Enum = Extract<CType, { kind: 'enum' }>

function requireSameWords(a: Enum, b: Enum, path: string): void {
  const numbers = new Map(a.values.map(({ name, value }) => [name, value]))
  const moved = b.values.find(({ name, value }) => numbers.has(name) && numbers.get(name) !== value)
  if (moved) throw new LayoutFault(`${path} means ${moved.name} by ${moved.value} now, and by ${numbers.get(moved.name)} before`)
}

function plain({ types, index }: TypeRef): CType | undefined {
  return resolved(types, index)
}

function nameOf(types: CType[], index: number): string {
  const type = types[index]
  if (type?.kind === 'modifier') return nameOf(types, type.type)
  if (type?.kind === 'array') return `${nameOf(types, type.element)}[${type.length}]`
  return type && 'name' in type && type.name ? type.name : (type?.kind ?? 'nothing')
}

function sizeOf(types: CType[], index: number): number {
  const type = resolved(types, index)
  if (type?.kind === 'array') return type.length * sizeOf(types, type.element)
  return type && 'size' in type ? type.size : 0
}
