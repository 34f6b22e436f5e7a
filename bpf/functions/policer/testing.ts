// SPDX-License-Identifier: Apache-2.0
// What the tests of the policer share: time that passes when they say so.

import type { TestedFunction } from '../../testing/harness'

const TICKS_PER_SECOND = 64e9

/** Makes it later for all buckets, as if time had passed. */
export function pass(policer: TestedFunction, seconds: number): void {
  for (const { table, key, value } of buckets(policer))
    table.put(key, { full_at: (value as { full_at: bigint }).full_at - BigInt(Math.round(seconds * TICKS_PER_SECOND)) })
}

/** All buckets are full again. */
export function refill(policer: TestedFunction): void {
  for (const { table, key } of buckets(policer)) table.delete(key)
}

export function buckets(policer: TestedFunction) {
  return ['port_buckets', 'flow_buckets'].flatMap(name => {
    const table = policer.table(name)
    return table.entries().map(entry => ({ ...entry, table }))
  })
}
