// SPDX-License-Identifier: Apache-2.0
// What the prober makes of a port in whose namespace nothing can be asked.

import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from '@jest/globals'
import { Store } from '../store/store'
import { Prober } from './prober'

const folder = mkdtempSync(join(tmpdir(), 'inkev-prober-'))
let store: Store
let prober: Prober
afterEach(async () => {
  prober?.close()
  await store?.close()
  rmSync(folder, { recursive: true })
})

test('a namespace that is gone makes nobody fail: what is asked from there is unknown', async () => {
  const log = { info: () => undefined, warn: () => undefined, error: () => undefined }
  store = await Store.open(folder)
  prober = new Prober(store, log as never)
  const question = { protocol: 'tcp', address: '10.0.0.1', port: 80, path: '/', interval: 1000, timeout: 500 }
  const probe = { ...question, healthyThreshold: 1, unhealthyThreshold: 1, from: ['probe'] }
  const probes = new Map([['web1', { probe, from: { port: 'probe', netns: '/nonexistent/netns' } }]])
  const changed = once(prober, 'change')
  prober.follow({ instances: new Map([['functions/front', { probes }]]) } as never)
  await changed
  expect(prober.health('functions/front')).toEqual([
    {
      ...{ name: 'web1', address: '10.0.0.1', port: 80, state: 'unknown' },
      reason: 'cannot probe from port probe: no process stays in its namespace: it ended with 1'
    }
  ])
  expect(prober.troubles('functions/front').failing.size).toBe(0)
})
