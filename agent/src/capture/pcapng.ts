// SPDX-License-Identifier: Apache-2.0
// Blocks of the pcapng format (draft-ietf-opsawg-pcapng), little-endian, with times in nanoseconds. Bytes only: nothing of packets is looked at.

const SECTION_HEADER = 0x0a0d0d0a
const INTERFACE_DESCRIPTION = 1
const INTERFACE_STATISTICS = 5
const ENHANCED_PACKET = 6

const BYTE_ORDER = 0x1a2b3c4d
const VERSION = [1, 0] as const
/** The section's length is not known before its end. */
const UNKNOWN_LENGTH = -1n
const LINKTYPE_ETHERNET = 1
/** Times count units of 10⁻⁹ seconds. */
const NANOSECONDS = Buffer.from([9])

/** A block is padded to words of four bytes, and has its length at both ends. */
const FRAMING = 12

type Option = [code: number, value: Buffer]

const [COMMENT, END] = [1, 0]

/** Begins a capture. */
export function sectionHeader({ system, application }: { system: string; application: string }): Buffer {
  const body = Buffer.alloc(16)
  body.writeUInt32LE(BYTE_ORDER)
  body.writeUInt16LE(VERSION[0], 4)
  body.writeUInt16LE(VERSION[1], 6)
  body.writeBigInt64LE(UNKNOWN_LENGTH, 8)
  return block(
    SECTION_HEADER,
    body,
    options([
      [3, Buffer.from(system)],
      [4, Buffer.from(application)]
    ])
  )
}

export interface Interface {
  name: string
  description: string
  /** Most bytes of a packet. */
  snapLength: number
}

/** Interfaces are numbered from 0 in the order of these. */
export function interfaceDescription({ name, description, snapLength }: Interface): Buffer {
  const body = Buffer.alloc(8)
  body.writeUInt16LE(LINKTYPE_ETHERNET)
  body.writeUInt32LE(snapLength, 4)
  return block(
    INTERFACE_DESCRIPTION,
    body,
    options([
      [2, Buffer.from(name)],
      [3, Buffer.from(description)],
      [9, NANOSECONDS]
    ])
  )
}

export interface PacketRecord {
  interface: number
  /** Nanoseconds since 1970. */
  time: bigint
  /** Of the packet, of which `bytes` may be the first only. */
  length: number
  bytes: Buffer
  /** Packets of the interface that were lost since the one before. */
  lost?: number
}

export function enhancedPacket({ interface: number, time, length, bytes, lost = 0 }: PacketRecord): Buffer {
  const head = Buffer.alloc(20)
  head.writeUInt32LE(number)
  writeTime(head, time, 4)
  head.writeUInt32LE(bytes.length, 12)
  head.writeUInt32LE(length, 16)
  return block(ENHANCED_PACKET, head, bytes, padding(bytes.length), options(lost > 0 ? [[4, uint64(lost)]] : []))
}

export interface Statistics {
  interface: number
  /** Nanoseconds since 1970: the beginning, and now. */
  start: bigint
  end: bigint
  /** Packets that were to be captured; of these, how many the capture had no room for, how many its reader was too slow for, how many it has. */
  received: number
  dropped: number
  droppedForReader: number
  delivered: number
  comment: string
}

export function interfaceStatistics({ interface: number, start, end, comment, ...counts }: Statistics): Buffer {
  const body = Buffer.alloc(12)
  body.writeUInt32LE(number)
  writeTime(body, end, 4)
  return block(
    INTERFACE_STATISTICS,
    body,
    options([
      [COMMENT, Buffer.from(comment)],
      [2, timestamp(start)],
      [3, timestamp(end)],
      [4, uint64(counts.received)],
      [5, uint64(counts.dropped)],
      [7, uint64(counts.droppedForReader)],
      [8, uint64(counts.delivered)]
    ])
  )
}

function block(type: number, ...parts: Buffer[]): Buffer {
  const length = FRAMING + parts.reduce((sum, part) => sum + part.length, 0)
  const [head, tail] = [Buffer.alloc(8), Buffer.alloc(4)]
  head.writeUInt32LE(type)
  head.writeUInt32LE(length, 4)
  tail.writeUInt32LE(length)
  return Buffer.concat([head, ...parts, tail], length)
}

function options(list: Option[]): Buffer {
  if (list.length === 0) return Buffer.alloc(0)
  return Buffer.concat(
    [...list, [END, Buffer.alloc(0)] as Option].flatMap(([code, value]) => [optionHead(code, value.length), value, padding(value.length)])
  )
}

function optionHead(code: number, length: number): Buffer {
  const head = Buffer.alloc(4)
  head.writeUInt16LE(code)
  head.writeUInt16LE(length, 2)
  return head
}

function padding(length: number): Buffer {
  return Buffer.alloc(-length & 3)
}

/** The upper half comes first, whatever the byte order. */
function writeTime(to: Buffer, time: bigint, at: number): void {
  to.writeUInt32LE(Number(time >> 32n), at)
  to.writeUInt32LE(Number(time & 0xffff_ffffn), at + 4)
}

function timestamp(time: bigint): Buffer {
  const value = Buffer.alloc(8)
  writeTime(value, time, 0)
  return value
}

function uint64(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}
