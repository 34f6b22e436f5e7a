// SPDX-License-Identifier: Apache-2.0
// Reads a compiled BPF object: its maps and programs, with a codec for every value. What the file says; nothing is loaded.

import { type Codec, codecsOf } from './codec'
import type { Entry, Value } from './define'
import { type Elf, readElf } from './elf'
import { MismatchError } from './scalars'
import { type CType, type Member, type RecordType, readTypes, resolved } from './types'

export type { Codec } from './codec'
export { MismatchError } from './scalars'

/** Words for enum bpf_map_type, as `@inkev/native` has them. */
const MAP_TYPES = {
  1: 'hash',
  2: 'array',
  3: 'prog_array',
  5: 'percpu_hash',
  6: 'percpu_array',
  9: 'lru_hash',
  10: 'lru_percpu_hash',
  11: 'lpm_trie',
  12: 'array_of_maps',
  13: 'hash_of_maps',
  27: 'ringbuf'
} as const

export type MapType = (typeof MAP_TYPES)[keyof typeof MAP_TYPES] | 'other'

/** A map as its declaration in C says. A side that C gives by size alone, or not at all, has no codec. */
export interface MapSpec {
  name: string
  type: MapType
  perCpu: boolean
  key?: Codec
  value?: Codec
  /** Their places in the object's types. */
  keyType?: number
  valueType?: number
  keySize: number
  valueSize: number
  maxEntries: number
  /** BPF_F_ flags. */
  flags: number
  /** Whether libbpf would pin it by its name (LIBBPF_PIN_BY_NAME). */
  pinned: boolean
  /** What the maps in a map of maps are like. */
  inner?: MapSpec
}

export interface ProgramSpec {
  name: string
  /** The section's name tells the kind: `tc`. */
  section: string
}

/** A structure that is a variable of the object, or what a map holds: its members with the tags that the C gives them. */
export interface RecordSpec {
  size: number
  members: { name: string; type: number; tags: string[] }[]
}

/** All that a compiled object declares. */
export interface ObjectSpec {
  maps: Map<string, MapSpec>
  programs: Map<string, ProgramSpec>
  types: CType[]
}

/** Throws RangeError when the bytes are no BPF object with BTF. */
export function readObject(bytes: Uint8Array): ObjectSpec {
  return readObjectOf(readElf(bytes))
}

/** As `readObject`, of an ELF that is read already. */
export function readObjectOf(elf: Elf): ObjectSpec {
  const btf = elf.section('.BTF')
  if (!btf) throw new RangeError('the object has no .BTF section: compile it with -g')
  const types = readTypes(btf)
  const codec = codecsOf(types)
  const declared = types.flatMap(type => (type.kind === 'section' && type.name === '.maps' ? type.variables : []))
  const maps = declared.map(index => variable(types, index)).map(({ name, type }) => readMap(types, codec, name, type))
  return {
    maps: byName(maps),
    programs: byName(elf.functions),
    types
  }
}

/** The structure of that name, and its tags; undefined where the object has none. */
export function recordOf({ types }: ObjectSpec, name: string): RecordSpec | undefined {
  const index = types.findIndex(type => type.kind === 'struct' && type.name === name)
  const type = types[index]
  if (type?.kind !== 'struct') return undefined
  return {
    size: type.size,
    members: type.members.map((member, n) => ({ name: member.name, type: member.type, tags: tagsOf(types, index, n) }))
  }
}

/** A codec of the structure of that name; undefined where the object has none. */
export function recordCodec({ types }: ObjectSpec, name: string): Codec | undefined {
  const index = types.findIndex(type => type.kind === 'struct' && type.name === name)
  return index < 0 ? undefined : codecsOf(types)(index, `struct ${name}`)
}

/** The tags of a global variable. */
export function variableTags({ types }: ObjectSpec, name: string): string[] {
  return tagsOf(
    types,
    types.findIndex(type => type.kind === 'variable' && type.name === name),
    -1
  )
}

function tagsOf(types: CType[], index: number, member: number): string[] {
  return types.flatMap(type => (type.kind === 'tag' && type.type === index && type.member === member ? [type.name] : []))
}

/** The bytes of map entries. Throws MismatchError naming map, field and type. */
export function encodeEntries(map: MapSpec, entries: Entry[]): [key: Buffer, value: Buffer][] {
  const { key, value } = codecs(map)
  return entries.map(entry => [key.encode(entry.key), value.encode(entry.value)])
}

/** The entries that the bytes of a map hold. Of a per-CPU map `value` is a list, one item for each CPU. */
export function decodeEntries(map: MapSpec, entries: Iterable<[key: Uint8Array, value: Uint8Array]>): Entry[] {
  const { key, value } = codecs(map)
  const decode = map.perCpu ? (bytes: Uint8Array) => decodePerCpu(value, bytes) : value.decode
  return Array.from(entries, entry => ({ key: key.decode(entry[0]), value: decode(entry[1]) }))
}

/** One value for each CPU: the kernel keeps each at a multiple of 8 bytes. */
export function decodePerCpu(codec: Codec, bytes: Uint8Array): Value[] {
  const stride = perCpuStride(codec)
  return Array.from({ length: bytes.length / stride }, (_, cpu) => codec.decode(bytes.subarray(cpu * stride, cpu * stride + codec.size)))
}

/** The sum over all CPUs of a value that is an integer. */
export function sumPerCpu(codec: Codec, bytes: Uint8Array): bigint {
  return decodePerCpu(codec, bytes).reduce<bigint>((sum, value) => {
    if (typeof value !== 'bigint' && typeof value !== 'number') throw new MismatchError(`cannot be summed: it is no integer`, codec.type)
    return sum + BigInt(value)
  }, 0n)
}

/** The same value for each CPU. */
export function encodePerCpu(codec: Codec, value: Value, cpus: number): Buffer {
  const one = Buffer.alloc(perCpuStride(codec))
  one.set(codec.encode(value))
  return Buffer.concat(Array<Buffer>(cpus).fill(one))
}

function perCpuStride(codec: Codec): number {
  return Math.ceil(codec.size / 8) * 8
}

function codecs({ name, key, value }: MapSpec): { key: Codec; value: Codec } {
  if (!key || !value) throw new MismatchError('its keys and values have no types in BTF', `map ${name}`)
  return { key, value }
}

function variable(types: CType[], index: number): { name: string; type: number } {
  const type = types[index]
  if (type?.kind !== 'variable') throw new RangeError('a BTF section holds something that is no variable')
  return type
}

/**
 * A map is declared as a variable of a struct whose members are pointers: `type`, `max_entries`, `map_flags`, `key_size`, `value_size` and `pinning` to an
 * array whose length is the number meant, `key` and `value` to the type; `values` is an array of pointers to what the map holds.
 */
function readMap(types: CType[], codec: (type: number, subject: string) => Codec, name: string, type: number): MapSpec {
  const declared = recordAt(types, type)
  const member = (wanted: string) => declared.members.find(found => found.name === wanted)
  const number = (wanted: string) => lengthOf(types, member(wanted))
  const [keyType, valueType] = [pointerTarget(types, member('key')?.type), pointerTarget(types, member('value')?.type)]
  const key = keyType === undefined ? undefined : codec(keyType, `key of map ${name}`)
  const value = valueType === undefined ? undefined : codec(valueType, `value of map ${name}`)
  const inner = innerMap(types, member('values'))
  const mapType = MAP_TYPES[number('type') as keyof typeof MAP_TYPES] ?? 'other'
  return {
    name,
    type: mapType,
    perCpu: mapType.includes('percpu'),
    ...(key && { key }),
    ...(value && { value }),
    ...(keyType !== undefined && { keyType }),
    ...(valueType !== undefined && { valueType }),
    keySize: key?.size ?? number('key_size'),
    valueSize: value?.size ?? number('value_size'),
    maxEntries: number('max_entries'),
    flags: number('map_flags'),
    pinned: number('pinning') === 1,
    ...(inner !== undefined && { inner: readMap(types, codec, `${name}[]`, inner) })
  }
}

function innerMap(types: CType[], values: Member | undefined): number | undefined {
  const array = types[values?.type ?? 0]
  const target = array?.kind === 'array' ? pointerTarget(types, array.element) : undefined
  return target !== undefined && types[target]?.kind === 'struct' ? target : undefined
}

function pointerTarget(types: CType[], index: number | undefined): number | undefined {
  const type = types[index ?? 0]
  return type?.kind === 'pointer' ? type.type : undefined
}

function lengthOf(types: CType[], member: Member | undefined): number {
  const array = types[pointerTarget(types, member?.type) ?? 0]
  return array?.kind === 'array' ? array.length : 0
}

function recordAt(types: CType[], index: number): RecordType {
  const type = resolved(types, index)
  if (type?.kind !== 'struct') throw new RangeError('a map is declared by something that is no struct')
  return type
}

function byName<T extends { name: string }>(items: T[]): Map<string, T> {
  return new Map(items.map(item => [item.name, item]))
}
