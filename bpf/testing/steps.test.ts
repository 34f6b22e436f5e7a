// SPDX-License-Identifier: Apache-2.0
// What most of the time is spent on when a function is made: the kernel's check of its program.

import { expect, test } from '@jest/globals'
import { exampleConfig } from '../catalogue/example'
import { INSTANCE_FIRST } from '../core/graph'
import { kinds } from '../functions/index.gen'
import { stepsOf } from './fdinfo'
import { Instance } from './instance'

/** The kernel takes some 2 µs for each. */
const STEPS_MAX = 40_000
const SMALL_MAPS = { panel: 8192, stitches: 8192, workloads: 256, peers: 64, tunnels: 64 }

test.each(Object.values(kinds))('the program of the kind $kind is checked in few steps', async kind => {
  const instance = await Instance.create(kind, exampleConfig(kind), { number: INSTANCE_FIRST, sizes: SMALL_MAPS })
  try {
    expect(stepsOf(instance.entry)).toBeLessThan(STEPS_MAX)
  } finally {
    instance.close()
  }
})
