// SPDX-License-Identifier: Apache-2.0
// The catalogue of errors itself: each code is provoked by a test, and the faults of the agent are told in the same form.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DEFAULT_POLICY } from '@inkev/bpf/catalogue/policy'
import { describe, expect, test } from '@jest/globals'
import { errorKinds } from '../api/errors'
import { Agent } from '../src/agent'
import { noRows } from '../src/model/desired'
import type { Reconciler } from '../src/reconcile'
import { buildApp } from '../src/server/app'
import type { Ids } from '../src/store/ids'
import type { Store } from '../src/store/store'

const AGENT = join(__dirname, '..')

describe('the catalogue', () => {
  test('has a test for every code', () => {
    const files = readdirSync(AGENT, { recursive: true, encoding: 'utf8' }).filter(
      file => file.endsWith('.test.ts') && !file.includes('node_modules')
    )
    const tests = files.map(file => readFileSync(join(AGENT, file), 'utf8')).join()
    expect(Object.keys(errorKinds).filter(code => !tests.includes(`'${code}'`) && !tests.includes(`${code})`))).toEqual([])
  })

  test.each(Object.entries(errorKinds))('says of %s what it stands for', (_, { status, doc }) => {
    expect(doc).toMatch(/^[A-Z].*\.$/)
    expect(status).toBeGreaterThanOrEqual(400)
  })
})

describe('a fault of the agent itself', () => {
  const unable = {
    introspection: {} as never,
    tracer: {} as never,
    captures: {} as never,
    host: () => {
      throw new TypeError('nothing is undefined')
    },
    ready: () => true,
    authorize: () => {}
  }

  test('is answered as INKEV_ERR_INTERNAL', async () => {
    const app = await buildApp({ ...unable, agent: {} as never })
    const answer = await app.inject({ method: 'GET', url: '/v1/host' })
    expect(answer.statusCode).toBe(500)
    expect(answer.json().error).toMatchObject({ code: 'INKEV_ERR_INTERNAL', message: 'nothing is undefined' })
  })

  test('of which the kernel hears too late is answered as INKEV_ERR_TIMEOUT', async () => {
    const endless = { request: () => new Promise(() => {}), on() {}, statuses: new Map(), failures: new Map() } as unknown as Reconciler
    const store = { write: async () => {} } as unknown as Store
    const desired = noRows()
    const agent = new Agent(
      store,
      {} as Ids,
      endless,
      () => desired,
      () => ({
        name: 'edge-1',
        hasNetns: () => true,
        troubles: () => ({ failing: new Map(), hindered: new Map() }),
        programs: DEFAULT_POLICY,
        device: () => ({ ifindex: 1, mtu: 1500 })
      }),
      10
    )
    const change = { method: 'PUT' as const, type: 'networks' as const, name: 'web', body: { vni: 1, subnets: {} } }
    await expect(agent.change([change])).rejects.toMatchObject({ code: 'INKEV_ERR_TIMEOUT' })
  })
})
