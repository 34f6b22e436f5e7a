// SPDX-License-Identifier: Apache-2.0
// What capture.h asks of the TypeScript around it: the names of its maps, how large the ring is, and what lies in it.

import { type ObjectSpec, recordCodec } from '../catalogue/btf'
import type { Entry } from '../catalogue/define'

/** The ring buffer of a function that can be captured; the state of its capture; what lies in the ring. */
export const CAPTURED_MAP = 'captured'
export const CAPTURE_MAP = 'capture'
const CAPTURED_RECORD = 'captured_packet'

/** Most bytes of one packet that can be captured. */
export const SNAP_LENGTH_MAX = 65_535

/** Bytes of the ring, powers of two: what a busy link brings while the agent does something else; and the least that any kernel takes. */
const ROOM = 4 << 20
const NO_ROOM = 64 << 10

/** For `sizes` of a kind. */
export function captureSizes(captures: boolean): Record<string, number> {
  return { [CAPTURED_MAP]: captures ? ROOM : NO_ROOM }
}

/** struct capture, of a capture that begins or ends: nothing is lost yet. */
export function captureState(wanted: boolean): Entry {
  return { key: 0, value: { wanted, lost: [] } }
}

/** A packet as a function has written it down. */
export interface CapturedPacket {
  /** Nanoseconds of CLOCK_MONOTONIC. */
  time: bigint
  /** Bytes of the frame, of which `bytes` may be the first only. */
  length: number
  /** The number of the port at which it arrived. */
  port: number
  bytes: Buffer
}

/** How to read the records of an object; undefined where it writes none. */
export function captureReader(spec: ObjectSpec): ((record: Buffer) => CapturedPacket) | undefined {
  const codec = recordCodec(spec, CAPTURED_RECORD)
  if (!codec || !spec.maps.has(CAPTURED_MAP) || !spec.maps.has(CAPTURE_MAP)) return undefined
  return record => {
    const { time, length, kept, port, tagged, tag, tag_protocol } = codec.decode(record.subarray(0, codec.size)) as unknown as Written
    const bytes = record.subarray(codec.size, codec.size + kept)
    if (!tagged) return { time, length, port, bytes }
    return { time, length: length + TAG_LENGTH, port, bytes: withTag(bytes, tag_protocol, tag) }
  }
}

/** struct captured_packet */
interface Written extends Omit<CapturedPacket, 'bytes'> {
  kept: number
  tagged: boolean
  tag: number
  tag_protocol: number
}

const ADDRESSES_LENGTH = 12
const TAG_LENGTH = 4

/** The kernel keeps a tag of 802.1Q beside the frame: on a wire it stands behind the addresses. */
function withTag(bytes: Buffer, protocol: number, control: number): Buffer {
  const tag = Buffer.alloc(TAG_LENGTH)
  tag.writeUInt16BE(protocol)
  tag.writeUInt16BE(control, 2)
  return Buffer.concat([bytes.subarray(0, ADDRESSES_LENGTH), tag, bytes.subarray(ADDRESSES_LENGTH)])
}
