// SPDX-License-Identifier: Apache-2.0
// The end of a run: it fails for a counter that no packet has moved, if all tests have run.

import { existsSync } from 'node:fs'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { coreCounters } from '../core/core'
import { kinds } from '../functions/index.gen'
import { beginCounting, endCounting, noteCounted } from './counted'

const ours = process.env.INKEV_COUNTED
const run = (more: object = {}) => ({ testPathPatterns: { isSet: () => false }, onlyChanged: false, onlyFailures: false, ...more })

beforeEach(beginCounting)
afterEach(() => {
  process.env.INKEV_COUNTED = ours
})

test('a run in which every counter has moved ends well; one that lacks some does not, and leaves nothing behind', () => {
  for (const { kind, counters } of Object.values(kinds)) noteCounted(kind, Object.keys(counters))
  noteCounted('overlay', Object.keys(coreCounters))
  expect(() => endCounting(run())).not.toThrow()
  beginCounting()
  const folder = process.env.INKEV_COUNTED!
  expect(() => endCounting(run())).toThrow(/counted as core\.unstitched, .*router\.answered$/)
  expect(existsSync(folder)).toBe(false)
})

test.each([
  ['by name', { testNamePattern: 'one' }],
  ['by path', { testPathPatterns: { isSet: () => true } }],
  ['by shard', { shard: {} }],
  ['by change', { onlyChanged: true }]
])('a run of a part, chosen %s, is not judged', (_, part) => {
  expect(() => endCounting(run(part))).not.toThrow()
})
