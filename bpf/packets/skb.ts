// SPDX-License-Identifier: Apache-2.0
// struct __sk_buff (<linux/bpf.h>) as BPF_PROG_TEST_RUN takes and returns it: the fields that tests set and read.

const SIZE = 192
const MARK = 8
const PRIORITY = 32
const CB = 48
const GSO_SEGS = 164
const GSO_SIZE = 176

export interface Context {
  cb: number[]
  mark: number
}

/** The priority is cb[0], as starter.bpf.c wants it. `gso_segs` is told by decodeSegments() until a program makes one packet of the train. */
export function encodeContext({ cb, mark, gso_size, gso_segs = 0 }: Context & { gso_size: number; gso_segs?: number }): Buffer {
  const context = Buffer.alloc(SIZE)
  context.writeUInt32LE(mark >>> 0, MARK)
  context.writeUInt32LE((cb[0] ?? 0) >>> 0, PRIORITY)
  for (const [n, word] of cb.entries()) context.writeUInt32LE(word >>> 0, CB + 4 * n)
  context.writeUInt32LE(gso_segs, GSO_SEGS)
  context.writeUInt32LE(gso_size, GSO_SIZE)
  return context
}

export function decodeContext(context: Buffer): Context {
  return { cb: Array.from({ length: 5 }, (_, n) => context.readUInt32LE(CB + 4 * n)), mark: context.readUInt32LE(MARK) }
}

export function decodeSegments(context: Buffer): number {
  return context.readUInt32LE(GSO_SEGS)
}

/** What the program has left in the field that encodeContext() sets to cb[0]. */
export function decodePriority(context: Buffer): number {
  return context.readUInt32LE(PRIORITY)
}
