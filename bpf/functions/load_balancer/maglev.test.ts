// SPDX-License-Identifier: Apache-2.0
// Maglev tables by themselves: shares follow weights, and a backend that leaves takes its own slots along and few others.

import { expect, test } from '@jest/globals'
import { Random, SEED } from '../../testing/random'
import { BACKENDS_OF_SERVICE_MAX } from './check'
import { maglev, SLOTS, type WeightedBackend } from './maglev'

const hint = `SEED=${SEED}`

function backendsOf(random: Random, count: number): WeightedBackend[] {
  const weighted = random.below(2) === 1
  return Array.from({ length: count }, (_, n) => ({
    name: `10.${random.below(256)}.${n}.${random.below(256)} ${1 + random.below(65_535)}`,
    weight: weighted ? 1 + random.below(10) : 1
  }))
}

/** The name of the backend in each slot. */
function namesOf(backends: WeightedBackend[]): string[] {
  return Array.from(maglev(backends), index => backends[index]!.name)
}

test(`a backend that leaves moves its own slots, and at most 2 % of the others (${hint})`, () => {
  const random = new Random(SEED)
  for (let n = 0; n < 40; n++) {
    const backends = backendsOf(random, 2 + random.below(n < 35 ? 30 : BACKENDS_OF_SERVICE_MAX - 1))
    const before = namesOf(backends)
    const leaving = random.pick(backends)
    const after = namesOf(backends.filter(backend => backend !== leaving))
    const others = before.filter(name => name !== leaving.name).length
    const moved = before.filter((name, slot) => name !== leaving.name && name !== after[slot]).length
    expect([hint, backends.length, moved / others <= 0.02 || moved / others]).toEqual([hint, backends.length, true])
  }
})

test(`shares follow the weights (${hint})`, () => {
  const random = new Random(SEED + 1)
  for (let n = 0; n < 40; n++) {
    const backends = backendsOf(random, 1 + random.below(BACKENDS_OF_SERVICE_MAX))
    const total = backends.reduce((sum, { weight }) => sum + weight, 0)
    const slots = new Map(backends.map(({ name }) => [name, 0]))
    for (const name of namesOf(backends)) slots.set(name, slots.get(name)! + 1)
    const wrong = backends.filter(({ name, weight }) => Math.abs(slots.get(name)! - (SLOTS * weight) / total) > 2 + SLOTS / total)
    expect([hint, wrong]).toEqual([hint, []])
  }
})

test('the order in which backends are named does not matter', () => {
  const backends = backendsOf(new Random(SEED + 2), 20)
  expect(namesOf(backends.toReversed())).toEqual(namesOf(backends))
})
