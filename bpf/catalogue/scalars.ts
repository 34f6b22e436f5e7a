// SPDX-License-Identifier: Apache-2.0
// Codecs of C types that hold one thing: integers, enums, addresses, text. codec.ts says which value each has in words.

import { formatIp, formatMac, formatPrefix, ipBytes, ipFromBytes, ownBytes, parseInterfaceAddress, parseIp, parseMac } from './addresses'
import type { Value } from './define'
import { bitsPerSecond, nanoseconds, protocolName, protocolNumber } from './fields'
import type { EnumType } from './types'

/** A value that is not of its C type. `path` leads to the field, as `nexthops[2].via`. */
export class MismatchError extends RangeError {
  override name = 'MismatchError'
  path: string

  constructor(
    readonly reason: string,
    readonly subject = '',
    path = ''
  ) {
    super([subject, path].filter(Boolean).join(' ') + (subject || path ? ': ' : '') + reason)
    this.path = path
  }

  /** The same fault, seen from outside the field. */
  within(field: string): MismatchError {
    const joint = this.path === '' || this.path.startsWith('[') ? '' : '.'
    return new MismatchError(this.reason, this.subject, field + joint + this.path)
  }

  /** The same fault, of a named thing: `value of map routes`. */
  of(subject: string): MismatchError {
    return new MismatchError(this.reason, subject, this.path)
  }
}

/** Writes and reads in place. Buffers that are written are zero before. */
export interface Layout {
  type: string
  size: number
  write(value: Value, to: Buffer): void
  read(from: Buffer): Value
  /** The names that this type adds to a record when it is anonymous in it. */
  names?: string[]
}

/** Integers of up to 4 bytes are numbers in words, those of 8 are bigints. */
export function integer(type: string, size: number, signed = false, bigEndian = false): Layout {
  const [min, max] = signed ? [-(2n ** BigInt(8 * size - 1)), 2n ** BigInt(8 * size - 1) - 1n] : [0n, 2n ** BigInt(8 * size) - 1n]
  const [least, most] = [Number(min), Number(max)] // exact below 8 bytes, and faster to compare with
  return {
    type,
    size,
    write(value, to) {
      if (typeof value !== 'bigint' && !Number.isSafeInteger(value)) throw new MismatchError(`${show(value)} is not an integer (${type})`)
      const whole = value as bigint | number
      const fits = size < 8 ? whole >= least && whole <= most : whole >= min && whole <= max
      if (!fits) throw new MismatchError(`${whole} does not fit: ${type} holds ${min} to ${max}`)
      if (typeof whole === 'number' && whole >= 0 && size < 8) putNumber(to, whole, size, bigEndian)
      else putInteger(to, BigInt.asUintN(8 * size, BigInt(whole)), size, bigEndian)
    },
    read(from) {
      const whole = getInteger(from, size, bigEndian)
      if (typeof whole === 'bigint') return signed ? BigInt.asIntN(64, whole) : whole
      return signed ? Number(BigInt.asIntN(8 * size, BigInt(whole))) : whole
    }
  }
}

function putInteger(to: Buffer, value: bigint, size: number, bigEndian: boolean): void {
  if (size === 8) bigEndian ? to.writeBigUInt64BE(value) : to.writeBigUInt64LE(value)
  else putNumber(to, Number(value), size, bigEndian)
}

function putNumber(to: Buffer, value: number, size: number, bigEndian: boolean): void {
  if (bigEndian) to.writeUIntBE(value, 0, size)
  else to.writeUIntLE(value, 0, size)
}

function getInteger(from: Buffer, size: number, bigEndian: boolean): number | bigint {
  if (size === 8) return bigEndian ? from.readBigUInt64BE() : from.readBigUInt64LE()
  return bigEndian ? from.readUIntBE(0, size) : from.readUIntLE(0, size)
}

export function boolean(type: string): Layout {
  return {
    type,
    size: 1,
    write(value, to) {
      if (typeof value !== 'boolean') throw new MismatchError(`${show(value)} is neither true nor false (${type})`)
      to[0] = value ? 1 : 0
    },
    read: from => from[0] !== 0
  }
}

/** A type whose value is a text that other functions read and write. */
export function text(type: string, size: number, parse: (text: string) => Uint8Array, format: (bytes: Buffer) => string): Layout {
  return {
    type,
    size,
    write(value, to) {
      if (typeof value !== 'string') throw new MismatchError(`${show(value)} is not text (${type})`)
      to.set(asMismatch(type, () => parse(value)))
    },
    read: from => format(from.subarray(0, size))
  }
}

/** An integer that may also be written as a word. */
function worded(base: Layout, parse: (text: string) => number | bigint, format: (value: Value) => Value = value => value): Layout {
  return {
    ...base,
    write: (value, to) => base.write(typeof value === 'string' ? asMismatch(base.type, () => parse(value)) : value, to),
    read: from => format(base.read(from))
  }
}

function asMismatch<T>(type: string, parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    throw error instanceof RangeError ? new MismatchError(`${error.message} (${type})`) : error
  }
}

/** Typedefs that carry byte order and unit: core/types.h, and the kernel's own. */
export const MEANINGS: { [typedef: string]: (type: string, size: number) => Layout } = {
  __be16: (type, size) => integer(type, size, false, true),
  __be32: (type, size) => integer(type, size, false, true),
  __be64: (type, size) => integer(type, size, false, true),
  port_t: (type, size) => integer(type, size, false, true),
  bool_t: type => boolean(type),
  duration_t: (type, size) => worded(integer(type, size), nanoseconds),
  bitrate_t: (type, size) => worded(integer(type, size), bitsPerSecond),
  protocol_t: (type, size) => worded(integer(type, size), protocolNumber, value => protocolName(value as number)),
  mac_t: (type, size) => text(type, size, parseMac, formatMac),
  ipv4_t: (type, size) =>
    text(
      type,
      size,
      value => ofFamily(4, value),
      bytes => formatIp(ipFromBytes(bytes))
    ),
  ipv6_t: (type, size) =>
    text(
      type,
      size,
      value => ofFamily(6, value),
      bytes => formatIp(ipFromBytes(bytes))
    ),
  ip_t: (type, size) =>
    text(
      type,
      size,
      value => ipBytes(parseIp(value)),
      bytes => formatIp(ipFromBytes(bytes))
    ),
  prefix_t: (type, size) => text(type, size, prefixBytes, formatPrefixBytes)
}

function ofFamily(family: 4 | 6, value: string): Buffer {
  const ip = parseIp(value)
  if (ip.family !== family) throw new RangeError(`${value} is not an IPv${family} address`)
  return ownBytes(ip)
}

/** Mapped IPv4 prefixes are this much longer than written. */
const MAPPED_BITS = 96

function prefixBytes(value: string): Buffer {
  const prefix = parseInterfaceAddress(value)
  const length = Buffer.alloc(4)
  length.writeUInt32LE(prefix.length + (prefix.family === 4 ? MAPPED_BITS : 0))
  return Buffer.concat([length, ipBytes(prefix)])
}

function formatPrefixBytes(bytes: Buffer): string {
  const length = bytes.readUInt32LE(0)
  const ip = ipFromBytes(bytes.subarray(4))
  return formatPrefix({ ...ip, length: length - (ip.family === 4 ? MAPPED_BITS : 0) })
}

/** The words of an enum: its own name is left away where a value begins with it, and case is lower. */
export function enumeration({ name, size, values }: EnumType): Layout {
  const type = `enum ${name}`
  const prefix = `${name.toUpperCase()}_`
  const wordOf = (value: string) => (value.startsWith(prefix) ? value.slice(prefix.length).toLowerCase() : value)
  const words = new Map(values.map(value => [wordOf(value.name), value.value]))
  const byValue = new Map(values.map(({ name, value }) => [size < 8 ? Number(value) : value, wordOf(name)]))
  const numbers = integer(
    type,
    size,
    values.some(({ value }) => value < 0n)
  )
  return {
    type,
    size,
    write(value, to) {
      const word = typeof value === 'string' ? words.get(value.replaceAll('-', '_')) : value
      if (word === undefined) throw new MismatchError(`${show(value)} is not one of ${[...words.keys()].join(', ')} (${type})`)
      numbers.write(word, to)
    },
    read(from) {
      const value = numbers.read(from)
      return byValue.get(value as number | bigint) ?? value
    }
  }
}

export function characters(length: number): Layout {
  const type = `char[${length}]`
  const parse = (value: string) => {
    const bytes = Buffer.from(value)
    if (bytes.length >= length) throw new RangeError(`${show(value)} has more than ${length - 1} bytes`)
    return bytes
  }
  return text(type, length, parse, bytes => bytes.toString().replace(/\0.*$/s, ''))
}

export function show(value: unknown): string {
  return typeof value === 'bigint'
    ? String(value)
    : (JSON.stringify(value, (_, inner) => (typeof inner === 'bigint' ? String(inner) : inner)) ?? 'nothing')
}
