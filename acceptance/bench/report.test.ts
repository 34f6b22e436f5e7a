// SPDX-License-Identifier: Apache-2.0
// The arithmetic of the figures, on numbers small enough to check by head.

import { expect, test } from '@jest/globals'
import { figures, isMet, overhead, overheadShare, type Rounds, ratio } from './figures'
import { median } from './median'
import { plainText } from './report'

const rounds: Rounds = {
  'bare underlay': { rr: [{ rate: 100_000 }, { rate: 50_000 }, { rate: 100_000 }] },
  'inkev, two hosts': { rr: [{ rate: 80_000 }, { rate: 40_000 }, { rate: 10_000 }] }
}

test('the median of an even number of values is the mean of the middle two', () => {
  expect(median([4, 1, 3, 2])).toBe(2.5)
})

test('a ratio compares each round with its own reference', () => {
  expect(ratio(rounds, 'inkev, two hosts', 'bare underlay', 'rr')).toBeCloseTo(0.8)
})

test('overhead is the time beyond that of the limit', () => {
  expect(overhead(rounds, 'inkev, two hosts', 'bare underlay')).toBeCloseTo(5)
})

test('connections have an overhead of their own', () => {
  const dialled: Rounds = {
    'bare veth': { dial: [{ rate: 50_000 }] },
    peer: { dial: [{ rate: 25_000 }] },
    own: { dial: [{ rate: 40_000 }] }
  }
  expect(overheadShare(dialled, 'own', 'peer', 'bare veth', 'dial')).toBeCloseTo(0.25)
})

test('a ceiling that is passed is a missed figure, and the table says so', () => {
  const passages = [
    { functions: 1, forwardersNs: 50, bareCallsNs: 40 },
    { functions: 3, forwardersNs: 57, bareCallsNs: 46 }
  ]
  const results = { passages, functionCreateMs: 20 }
  expect(figures(results).map(isMet)).toEqual([false, true])
  expect(plainText(results)).toMatch(/only forwards +3\.50 ns +≤ 3 ns +missed/)
})

test('a table of a million sessions is held to its memory and to losing none, a smaller one is not', () => {
  const table = { kind: 'firewall', openNs: 1000, knownNs: 500, lost: 1, bytes: 128 * 2 ** 20 }
  const sessions = [
    { ...table, sessions: 1000 },
    { ...table, sessions: 1_000_000 }
  ]
  expect(figures({ sessions }).map(isMet)).toEqual([true, false])
})

test('what was not measured has no figure', () => {
  expect(figures({})).toEqual([])
})
