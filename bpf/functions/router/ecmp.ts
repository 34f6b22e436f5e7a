// SPDX-License-Identifier: Apache-2.0
// Equal-cost multipath: which of several next hops each part of the flows to a destination takes.

/** Into how many parts (buckets) the flows to a destination are divided by their hash. */
export const BUCKETS = 64
/** How many destinations may have several next hops. */
export const GROUPS_MAX = 256

export interface WeightedHop {
  /** What makes the hop this one: the same hop keeps its buckets while others come and go. */
  name: string
  weight: number
}

/**
 * The hop of every bucket, as an index into `hops`: shares by weight, exact to one bucket. Each pair of bucket and hop has a rank that depends on
 * nothing else (rendezvous hashing), so every host deals alike, and a change of one hop moves few buckets between the others.
 */
export function spread(hops: WeightedHop[]): number[] {
  const dealt = Array<number>(BUCKETS).fill(-1)
  const left = shares(hops)
  const pairs = hops.flatMap(({ name }, hop) => dealt.map((_, bucket) => ({ hop, bucket, rank: hash(`${bucket} ${name}`) })))
  for (const { hop, bucket } of pairs.sort((a, b) => a.rank - b.rank)) {
    if (dealt[bucket] !== -1 || left[hop] === 0) continue
    dealt[bucket] = hop
    left[hop]! -= 1
  }
  return dealt
}

/** Buckets per hop: in proportion to the weights, what rounding leaves going to the largest remainders. */
function shares(hops: WeightedHop[]): number[] {
  const total = hops.reduce((sum, { weight }) => sum + weight, 0)
  const exact = hops.map(({ weight }) => (weight * BUCKETS) / total)
  const whole = exact.map(Math.floor)
  const byRemainder = hops
    .map((_, hop) => hop)
    .sort((a, b) => exact[b]! - whole[b]! - (exact[a]! - whole[a]!) || (hops[a]!.name < hops[b]!.name ? -1 : 1))
  const rest = BUCKETS - whole.reduce((sum, share) => sum + share, 0)
  for (const hop of byRemainder.slice(0, rest)) whole[hop]! += 1
  return whole
}

/** 32 bits of a text: FNV-1a, then murmur3's finisher so that close texts lie far apart. */
export function hash(text: string): number {
  let value = 0x811c9dc5
  for (const character of text) value = Math.imul(value ^ character.codePointAt(0)!, 0x01000193)
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b)
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35)
  return (value ^ (value >>> 16)) >>> 0
}
