// SPDX-License-Identifier: Apache-2.0
// Reads the BTF section of an object: the C types as clang laid them out (linux/Documentation/bpf/btf.rst).

import { textAt } from './elf'

export interface Member {
  /** Empty for an anonymous struct or union, and for a bit field that only pads. */
  name: string
  type: number
  bitOffset: number
  /** Width of a bit field; 0 for a member that is none. */
  bitSize: number
}

export interface IntType {
  kind: 'int'
  name: string
  size: number
  signed: boolean
  bool: boolean
}

export interface RecordType {
  kind: 'struct' | 'union'
  /** Empty for an anonymous one. */
  name: string
  size: number
  members: Member[]
}

export interface EnumType {
  kind: 'enum'
  name: string
  size: number
  values: { name: string; value: bigint }[]
}

/** A C type. `type`, `element` are indices into the list of types; 0 is void. */
export type CType =
  | { kind: 'void' }
  | IntType
  | { kind: 'pointer'; type: number }
  | { kind: 'array'; element: number; length: number }
  | RecordType
  | EnumType
  | { kind: 'typedef'; name: string; type: number }
  /** const, volatile, restrict and type tags: the type is another's. */
  | { kind: 'modifier'; type: number }
  | { kind: 'variable'; name: string; type: number }
  | { kind: 'section'; name: string; variables: number[] }
  /** What a declaration is tagged with; `member` is that of the record `type`, -1 for the whole. */
  | { kind: 'tag'; name: string; type: number; member: number }
  /** Functions, forward declarations, floats: of no use for values. */
  | { kind: 'other'; name: string }

const MAGIC = 0xeb9f

/** All types by their index. Throws RangeError when the section is no BTF. */
export function readTypes(btf: Buffer): CType[] {
  if (btf.length < 24 || btf.readUInt16LE(0) !== MAGIC) throw new RangeError('the .BTF section is not BTF of this byte order')
  const [headerSize, typesAt, typesSize, stringsAt] = [4, 8, 12, 16].map(at => btf.readUInt32LE(at)) as [number, number, number, number]
  const strings = btf.subarray(headerSize + stringsAt)
  const end = headerSize + typesAt + typesSize
  const types: CType[] = [{ kind: 'void' }]
  for (let at = headerSize + typesAt; at < end; ) {
    const { type, size } = readType(btf.subarray(at, end), strings)
    types.push(type)
    at += size
  }
  return types
}

/** The type that typedefs and modifiers stand for. */
export function resolved(types: CType[], index: number): CType | undefined {
  const type = types[index]
  return type?.kind === 'typedef' || type?.kind === 'modifier' ? resolved(types, type.type) : type
}

/** One type and the number of bytes that it takes in the section. */
function readType(record: Buffer, strings: Buffer): { type: CType; size: number } {
  const word = (n: number) => record.readUInt32LE(4 * n)
  const text = (n: number) => textAt(strings, word(n))
  const info = word(1)
  const [count, kind, flag] = [info & 0xffff, (info >> 24) & 0x1f, info >>> 31 === 1]
  /** The items of `words` words each that follow the three words all types have; `n` is the number of an item's first word. */
  const items = <T>(words: number, read: (n: number) => T) => ({
    list: Array.from({ length: count }, (_, i) => read(3 + i * words)),
    size: 4 * (3 + count * words)
  })
  const plain = (type: CType, words = 3) => ({ type, size: 4 * words })
  const name = text(0)

  switch (kind) {
    case 1: {
      const encoding = (word(3) >> 24) & 0xf
      return plain({ kind: 'int', name, size: word(2), signed: (encoding & 1) !== 0, bool: (encoding & 4) !== 0 }, 4)
    }
    case 2:
      return plain({ kind: 'pointer', type: word(2) })
    case 3:
      return plain({ kind: 'array', element: word(3), length: word(5) }, 6)
    case 4:
    case 5: {
      const { list, size } = items(3, n => ({
        name: text(n),
        type: word(n + 1),
        bitOffset: flag ? word(n + 2) & 0xffffff : word(n + 2),
        bitSize: flag ? word(n + 2) >>> 24 : 0
      }))
      return { type: { kind: kind === 4 ? 'struct' : 'union', name, size: word(2), members: list }, size }
    }
    case 6: {
      const { list, size } = items(2, n => ({ name: text(n), value: BigInt(flag ? word(n + 1) | 0 : word(n + 1)) }))
      return { type: { kind: 'enum', name, size: word(2), values: list }, size }
    }
    case 8:
      return plain({ kind: 'typedef', name, type: word(2) })
    case 9:
    case 10:
    case 11:
    case 18:
      return plain({ kind: 'modifier', type: word(2) })
    case 13:
      return { type: { kind: 'other', name }, size: items(2, () => 0).size }
    case 14:
      return plain({ kind: 'variable', name, type: word(2) }, 4)
    case 15: {
      const { list, size } = items(3, n => word(n))
      return { type: { kind: 'section', name, variables: list }, size }
    }
    case 17:
      return plain({ kind: 'tag', name, type: word(2), member: word(3) | 0 }, 4)
    case 19: {
      const wide = (value: bigint) => (flag ? BigInt.asIntN(64, value) : value)
      const { list, size } = items(3, n => ({ name: text(n), value: wide((BigInt(word(n + 2)) << 32n) | BigInt(word(n + 1))) }))
      return { type: { kind: 'enum', name, size: word(2), values: list }, size }
    }
    default:
      return plain({ kind: 'other', name })
  }
}
