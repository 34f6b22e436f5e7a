// SPDX-License-Identifier: Apache-2.0
// Numbers for generated tests: they look random, and can be had again.

/** What generated tests begin with, another one in each run. A failure prints it; `SEED=… npm test` repeats it. */
export const SEED = Number(process.env.SEED ?? Date.now() % 1_000_000)

/** The same numbers for the same seed: mulberry32. */
export class Random {
  constructor(private state = SEED) {}

  below(limit: number): number {
    this.state = (this.state + 0x6d2b79f5) | 0
    let bits = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state)
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits
    return ((bits ^ (bits >>> 14)) >>> 0) % limit
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!
  }

  maybe<T>(make: () => T): T | undefined {
    return this.below(2) ? make() : undefined
  }
}
