// SPDX-License-Identifier: Apache-2.0
// Reads of an ELF object what the catalogue needs: sections by name, and the names of its programs.

import { createHash } from 'node:crypto'

/** A relocatable ELF64 object of this machine's byte order, as clang makes it for BPF. */
export interface Elf {
  section(name: string): Buffer | undefined
  /** Global functions in executable sections, but for `.text`, whose functions are called and never attached. */
  functions: { name: string; section: string }[]
  /** Names of the sections that hold something. */
  sections: string[]
  /** The instructions of all executable sections. */
  code: Buffer[]
  /** What it uses and does not define: functions, variables and settings of the kernel. */
  externs: string[]
}

interface Section {
  name: string
  type: number
  flags: number
  offset: number
  size: number
  /** Index of the section with its strings. */
  link: number
}

interface Symbol {
  name: string
  /** Binding and type. */
  info: number
  /** Index of the section that defines it. */
  section: number
}

const CLASS_64 = 2
const LITTLE_ENDIAN = 1
const MACHINE_BPF = 247
const TYPE_SYMTAB = 2
const TYPE_NOBITS = 8
const FLAG_EXECUTABLE = 4
/** What the file only claims to hold is not believed without limit. */
const NOBITS_MAX = 1 << 20
const SYMBOL_SIZE = 24
const GLOBAL_FUNCTION = (1 << 4) | 2
/** Index of no section. */
const UNDEFINED = 0

/** Throws RangeError when the bytes are no such object, or are cut short. */
export function readElf(bytes: Uint8Array): Elf {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (file.length < 64 || file.readUInt32BE(0) !== 0x7f454c46 || file[4] !== CLASS_64 || file[5] !== LITTLE_ENDIAN)
    throw new RangeError('not a 64-bit little-endian ELF object')
  if (file.readUInt16LE(18) !== MACHINE_BPF) throw new RangeError('an ELF object, but not of BPF: compile it with clang -target bpf')
  const sections = readSections(file)
  const contents = (section: Section) =>
    section.type === TYPE_NOBITS
      ? Buffer.alloc(Math.min(section.size, NOBITS_MAX))
      : file.subarray(section.offset, section.offset + section.size)
  const table = sections.find(({ type }) => type === TYPE_SYMTAB)
  const symbols = table ? readSymbols(contents(table), contents(sections[table.link]!)) : []
  return {
    section: name => {
      const found = sections.find(section => section.name === name)
      return found && contents(found)
    },
    functions: functionsOf(symbols, sections),
    sections: sections.filter(({ size }) => size > 0).map(({ name }) => name),
    code: sections.filter(({ flags }) => flags & FLAG_EXECUTABLE).map(contents),
    externs: symbols.filter(({ name, section }) => name !== '' && section === UNDEFINED).map(({ name }) => name)
  }
}

function readSections(file: Buffer): Section[] {
  const start = Number(file.readBigUInt64LE(40))
  const [size, count, namesIndex] = [58, 60, 62].map(at => file.readUInt16LE(at)) as [number, number, number]
  const headers = Array.from({ length: count }, (_, n) => file.subarray(start + n * size, start + (n + 1) * size))
  const sections = headers.map(header => ({
    nameAt: header.readUInt32LE(0),
    type: header.readUInt32LE(4),
    flags: Number(header.readBigUInt64LE(8)),
    offset: Number(header.readBigUInt64LE(24)),
    size: Number(header.readBigUInt64LE(32)),
    link: header.readUInt32LE(40)
  }))
  const names = sections[namesIndex]
  return sections.map(({ nameAt, ...section }) => ({ name: names ? textAt(file, names.offset + nameAt) : '', ...section }))
}

function readSymbols(table: Buffer, strings: Buffer): Symbol[] {
  return Array.from({ length: table.length / SYMBOL_SIZE }, (_, n) => table.subarray(n * SYMBOL_SIZE, (n + 1) * SYMBOL_SIZE)).map(
    symbol => ({ name: textAt(strings, symbol.readUInt32LE(0)), info: symbol[4]!, section: symbol.readUInt16LE(6) })
  )
}

function functionsOf(symbols: Symbol[], sections: Section[]): Elf['functions'] {
  return symbols.flatMap(({ name, info, section: index }) => {
    const section = sections[index]
    const isMeant = info === GLOBAL_FUNCTION && section && section.flags & FLAG_EXECUTABLE && section.name !== '.text'
    return isMeant ? [{ name, section: section.name }] : []
  })
}

/** The string that begins at an offset and ends with a zero byte. */
export function textAt(strings: Buffer, offset: number): string {
  return strings.toString('utf8', offset, strings.indexOf(0, offset))
}

/** What an object is known by: the SHA-256 of its ELF, in hex, as everybody's tools tell it. */
export function sha256Of(elf: Uint8Array): string {
  return createHash('sha256').update(elf).digest('hex')
}
