// SPDX-License-Identifier: Apache-2.0
// Maglev hashing: which backend each slot of a service's table leads to, such that a backend that comes or goes moves few slots of the others.

import { createHash } from 'node:crypto'

/** Slots of a table; a prime, so that every step leads through all of them. */
export const SLOTS = 65_537

export interface WeightedBackend {
  /** What makes the backend this one: its order of preference for slots follows from nothing else. */
  name: string
  weight: number
}

/**
 * The backend of every slot, as an index into `backends`, of which there are 1 to 256. Eisenbud et al., "Maglev" (NSDI 2016), section 3.4: backends take
 * turns, each takes the first free slot in its own order of preference. A turn is left out so often that the shares are those of the weights.
 */
export function maglev(backends: WeightedBackend[]): Uint8Array {
  const table = new Uint8Array(SLOTS)
  const taken = new Uint8Array(SLOTS)
  const heaviest = Math.max(...backends.map(({ weight }) => weight))
  // The order in which backends are given must not matter, as it differs between hosts.
  const turns = backends
    .map(({ name, weight }, index) => ({ index, name, share: weight / heaviest, slots: 0, ...preferenceOf(name) }))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
  for (let round = 1, filled = 0; ; round++)
    for (const turn of turns) {
      if (turn.slots >= round * turn.share) continue
      while (taken[turn.next]) turn.next = (turn.next + turn.step) % SLOTS
      taken[turn.next] = 1
      table[turn.next] = turn.index
      turn.slots++
      if (++filled === SLOTS) return table
    }
}

/** The first slot that a backend wants, and how far it is from each to the next. */
function preferenceOf(name: string): { next: number; step: number } {
  const digest = createHash('sha256').update(name).digest()
  return { next: digest.readUInt32LE(0) % SLOTS, step: 1 + (digest.readUInt32LE(4) % (SLOTS - 1)) }
}
