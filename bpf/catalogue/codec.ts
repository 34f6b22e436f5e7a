// SPDX-License-Identifier: Apache-2.0
// Values in words ↔ bytes in the kernel's layout, for any C type that BTF describes.
//
// C                                        in words
// integers up to 32 bits                   number
// 64-bit integers                          bigint; a number is taken too
// bool_t, _Bool                            boolean
// __be16, __be32, __be64, port_t           number or bigint, as read in network order
// ipv4_t, ipv6_t, ip_t                     '10.0.0.1', 'fd00::1'; ip_t holds IPv4 mapped
// prefix_t                                 '10.0.0.0/24', 'fd00::/64'
// mac_t                                    '02:00:00:00:00:01'
// duration_t                               bigint nanoseconds; '30s' is taken too
// bitrate_t                                bigint bits per second; '10mbit' is taken too
// protocol_t                               'tcp' or a number
// enum firewall_action { FIREWALL_ACTION_DENY }   'deny': without the enum's own name where it begins with it; a number is taken too
// char[]                                   text
// other arrays                             list; a shorter one is filled up with zeros, Uint8Array, Uint16Array and Uint32Array are taken too
// struct                                   record; members of anonymous structs and unions are its own
// union                                    written: exactly one of its members; read: its first member, as C initialises it
//
// Members named `reserved` or `padding` (also with a number), spin locks and timers are not part of the value: they are written as zero. A member x
// beside a member `bool_t has_x` may be left out, and has_x is not part of the value: it says whether x is there.

import type { Bytes, Value } from './define'
import { boolean, characters, enumeration, integer, type Layout, MEANINGS, MismatchError, show } from './scalars'
import { type CType, type IntType, type Member, type RecordType, resolved } from './types'

/** The codec of one C type. */
export interface Codec {
  /** As C calls it: `struct route`, `ip_t`, `__u32`. */
  readonly type: string
  readonly size: number
  /** Throws MismatchError where the value is not of the type; it names the field. */
  encode(value: Value): Buffer
  /** Throws MismatchError when there are not exactly `size` bytes. */
  decode(bytes: Uint8Array): Value
}

type Record = { [field: string]: Value }

/** A function from a type's index to its codec. `subject` is what errors call the thing: `value of map routes`. */
export function codecsOf(types: CType[]): (type: number, subject: string) => Codec {
  const layouts = new Map<number, Layout>()

  function layoutOf(index: number): Layout {
    const known = layouts.get(index)
    if (known) return known
    const layout = makeLayout(types, index, layoutOf)
    layouts.set(index, layout)
    return layout
  }

  return (index, subject) => codecOf(layoutOf(index), subject)
}

function codecOf(layout: Layout, subject: string): Codec {
  const { type, size } = layout
  return {
    type,
    size,
    encode: value => {
      const bytes = Buffer.alloc(size)
      try {
        layout.write(value, bytes)
      } catch (error) {
        throw error instanceof MismatchError ? error.of(subject) : error
      }
      return bytes
    },
    decode: bytes => {
      if (bytes.length !== size) throw new MismatchError(`${bytes.length} bytes are no ${type}, which has ${size}`, subject)
      return layout.read(Buffer.from(bytes.buffer, bytes.byteOffset, size))
    }
  }
}

/** A mismatch in the value of a field or slot, as the value around it tells it; anything else as it is. */
function inside(field: string, error: unknown): unknown {
  return error instanceof MismatchError ? error.within(field) : error
}

function makeLayout(types: CType[], index: number, layoutOf: (index: number) => Layout): Layout {
  const type = types[index]
  switch (type?.kind) {
    case 'modifier':
      return layoutOf(type.type)
    case 'typedef': {
      const target = resolved(types, type.type)
      if (MEANINGS[type.name]) return MEANINGS[type.name]!(type.name, layoutOf(type.type).size)
      return target?.kind === 'int' ? plain({ ...target, name: type.name }) : { ...layoutOf(type.type), type: type.name }
    }
    case 'int':
      return plain(type)
    case 'enum':
      return enumeration(type)
    case 'array':
      return isChar(types, type.element) ? characters(type.length) : array(layoutOf(type.element), type.length)
    case 'struct':
      return structure(type, layoutOf)
    case 'union':
      return union(type, layoutOf)
    default:
      return opaque(type)
  }
}

function plain({ name, size, signed, bool }: IntType): Layout {
  return bool ? boolean(name) : integer(name, size, signed)
}

/** Whether an array of this type is text. */
export function isChar(types: CType[], index: number): boolean {
  const type = resolved(types, index)
  return type?.kind === 'int' && type.name === 'char'
}

/** A type whose contents are the kernel's, such as a pointer: it has a place but no value. */
function opaque(type: CType | undefined): Layout {
  const name = type && 'name' in type ? type.name : (type?.kind ?? 'unknown')
  const refuse = () => {
    throw new MismatchError(`a ${name} has no value outside the kernel`)
  }
  return { type: name, size: type?.kind === 'pointer' ? 8 : 0, write: refuse, read: refuse }
}

/** What is in memory as the kernel has it, by the size of one; all processors that eBPF is compiled for here are little-endian. */
const PACKED: { readonly [size: number]: string } = { 1: '__u8', 2: '__u16', 4: '__u32' }

function isPacked(value: Value): value is Bytes {
  return value instanceof Uint8Array || value instanceof Uint16Array || value instanceof Uint32Array
}

function array(element: Layout, length: number): Layout {
  const type = `${element.type}[${length}]`
  const slot = (bytes: Buffer, n: number) => bytes.subarray(n * element.size, (n + 1) * element.size)
  return {
    type,
    size: element.size * length,
    write(value, to) {
      if (!Array.isArray(value) && !isPacked(value)) throw new MismatchError(`${show(value)} is not a list (${type})`)
      if (value.length > length) throw new MismatchError(`${value.length} values do not fit ${type}`)
      if (isPacked(value) && element.type === PACKED[value.BYTES_PER_ELEMENT]) {
        to.set(new Uint8Array(value.buffer, value.byteOffset, value.byteLength))
        return
      }
      let n = 0
      try {
        for (; n < value.length; n++) element.write(value[n]!, slot(to, n))
      } catch (error) {
        throw inside(`[${n}]`, error)
      }
    },
    read: from => Array.from({ length }, (_, n) => element.read(slot(from, n)))
  }
}

/** Filled by the kernel, not by us. */
const KERNEL_OWNED = new Set(['struct bpf_spin_lock', 'struct bpf_timer', 'struct bpf_wq'])

const PADDING = /^_*(reserved|padding)\d*$/

/** A member with its place: a slice of the record's bytes, or of their bits. */
interface Field {
  name: string
  layout: Layout
  write(value: Value, record: Buffer): void
  read(record: Buffer): Value
}

function fieldsOf(members: Member[], layoutOf: (index: number) => Layout): Field[] {
  return members
    .map(member => placed(member, layoutOf(member.type)))
    .filter(({ name, layout }) => !KERNEL_OWNED.has(layout.type) && !PADDING.test(name) && (name !== '' || layout.names))
}

function placed({ name, bitOffset, bitSize }: Member, layout: Layout): Field {
  if (bitSize > 0) return bitField(name, bitOffset, bitSize, layout)
  const slice = (record: Buffer) => record.subarray(bitOffset / 8, bitOffset / 8 + layout.size)
  return { name, layout, write: (value, record) => layout.write(value, slice(record)), read: record => layout.read(slice(record)) }
}

function bitField(name: string, bitOffset: number, bitSize: number, layout: Layout): Field {
  const start = Math.floor(bitOffset / 8)
  const shift = BigInt(bitOffset % 8)
  const mask = (1n << BigInt(bitSize)) - 1n
  const slice = (record: Buffer) => record.subarray(start, Math.ceil((bitOffset + bitSize) / 8))
  return {
    name,
    layout,
    write(value, record) {
      const whole = Buffer.alloc(layout.size)
      layout.write(value, whole)
      const bits = getBits(whole)
      if (bits > mask) throw new MismatchError(`${show(value)} does not fit: ${layout.type} has ${bitSize} bits here`)
      putBits(slice(record), getBits(slice(record)) | (bits << shift))
    },
    read(record) {
      const whole = Buffer.alloc(layout.size)
      putBits(whole, (getBits(slice(record)) >> shift) & mask)
      return layout.read(whole)
    }
  }
}

function putBits(to: Buffer, value: bigint): void {
  for (let n = 0; n < to.length; n++) to[n] = Number((value >> BigInt(8 * n)) & 0xffn)
}

function getBits(from: Buffer): bigint {
  return from.reduceRight<bigint>((value, byte) => (value << 8n) | BigInt(byte), 0n)
}

/** The names by which a record knows a field: its own, or those inside it where it is anonymous. */
function namesOf({ name, layout }: Field): string[] {
  return name === '' ? layout.names! : [name]
}

function structure({ name, size, members }: RecordType, layoutOf: (index: number) => Layout): Layout {
  const type = `struct ${name}`.trimEnd()
  const all = fieldsOf(members, layoutOf)
  const switches = new Map(all.filter(field => all.some(other => field.name === `has_${other.name}`)).map(field => [field.name, field]))
  const fields = all.filter(field => !switches.has(field.name)).map(field => ({ field, present: switches.get(`has_${field.name}`) }))
  const names = fields.flatMap(({ field }) => namesOf(field))
  const known = new Set(names)

  return {
    type,
    size,
    names,
    write(value, to) {
      const record = asRecord(value, known, type)
      for (const { field, present } of fields) {
        if (present && record[field.name] === undefined) continue
        writeField(field, record, to, type)
        present?.write(true, to)
      }
    },
    read(from) {
      const record: Record = {}
      for (const { field, present } of fields) if (present?.read(from) ?? true) readField(field, from, record)
      return record
    }
  }
}

function union({ name, size, members }: RecordType, layoutOf: (index: number) => Layout): Layout {
  const type = `union ${name}`.trimEnd()
  const fields = fieldsOf(members, layoutOf)
  const names = fields.flatMap(namesOf)
  const known = new Set(names)
  const alternatives = fields.map(field => namesOf(field).join('+')).join(', ')
  return {
    type,
    size,
    names,
    write(value, to) {
      const record = asRecord(value, known, type)
      const given = Object.keys(record)
      const field = fields.find(candidate => given.every(key => namesOf(candidate).includes(key)))
      if (!field || given.length === 0) throw new MismatchError(`exactly one of ${alternatives} is needed (${type})`)
      writeField(field, record, to, type)
    },
    read: from => (fields[0] ? readField(fields[0], from, {}) : {})
  }
}

function asRecord(value: Value, known: ReadonlySet<string>, type: string): Record {
  if (typeof value !== 'object' || Array.isArray(value) || isPacked(value))
    throw new MismatchError(`${show(value)} is not a record (${type})`)
  for (const key in value)
    if (!known.has(key)) throw new MismatchError(`there is no such field in ${type}, which has ${[...known].join(', ')}`).within(key)
  return value
}

function writeField(field: Field, record: Record, to: Buffer, type: string): void {
  if (field.name === '') {
    field.write(pick(record, field.layout.names!), to)
    return
  }
  const value = record[field.name]
  if (value === undefined) throw new MismatchError(`is missing (${field.layout.type} in ${type})`).within(field.name)
  try {
    field.write(value, to)
  } catch (error) {
    throw inside(field.name, error)
  }
}

/** Adds what the field holds to the record. */
function readField(field: Field, from: Buffer, record: Record): Record {
  const value = field.read(from)
  if (field.name === '') Object.assign(record, value)
  else record[field.name] = value
  return record
}

function pick(record: Record, names: string[]): Record {
  const picked: Record = {}
  for (const name of names) if (record[name] !== undefined) picked[name] = record[name]
  return picked
}
