// SPDX-License-Identifier: Apache-2.0
// Where in a payload patterns may begin: a bit for the hash of the first bytes of each, as automaton.h asks for it.

/** As in automaton.h. */
const WORDS = 2048
const HASH = 0x9e3779b1
const WIDTH_MAX = 4

/** All letters lose the bit in which capital and small ones differ; so do other bytes, which does no harm. */
const FOLDED = 0xdf
/** Bits for each beginning: of a hundred random places one is taken for a beginning, or fewer. */
const BITS_PER_KEY = 128
const BITS_MIN = 1024

export interface Sieve {
  bits: Uint32Array
  /** Of the next four bytes, the first lowest: what is hashed. */
  mask: number
  /** Leaves the number of a bit of a hash. */
  shift: number
}

/** `foldCase`: whether capital and small letters begin the same patterns. */
export function makeSieve(patterns: Uint8Array[], foldCase: boolean): Sieve {
  const width = Math.min(WIDTH_MAX, 1 + Math.min(...patterns.map(({ length }) => length)))
  const mask = beginning(new Uint8Array(width).fill(foldCase ? FOLDED : 0xff))
  const keys = new Set(patterns.flatMap(pattern => beginnings(pattern, width)).map(key => (key & mask) >>> 0))
  const size = Math.min(32 * WORDS, Math.max(BITS_MIN, 2 ** Math.ceil(Math.log2(BITS_PER_KEY * keys.size))))
  const shift = 32 - Math.log2(size)
  const bits = new Uint32Array(WORDS)
  for (const key of keys) {
    const bit = Math.imul(key, HASH) >>> shift
    bits[bit >>> 5]! |= 1 << (bit & 31)
  }
  return { bits, mask, shift }
}

/** Of a pattern that is shorter by one byte, all that may follow it. */
function beginnings(pattern: Uint8Array, width: number): number[] {
  if (pattern.length >= width) return [beginning(pattern.subarray(0, width))]
  return Array.from({ length: 256 }, (_, next) => beginning(Uint8Array.of(...pattern, next)))
}

function beginning(bytes: Uint8Array): number {
  return bytes.reduceRight((number, byte) => ((number << 8) | byte) >>> 0, 0)
}
