// SPDX-License-Identifier: Apache-2.0
// The traffic tools, tried on the bare underlay of a lab.

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { Host } from './host'
import { Lab } from './lab'
import { FLOWING, fetchHttp, ping, SteadyPing, serveHttp, throughput } from './traffic'

let lab: Lab
let a: Host
let b: Host

beforeAll(async () => {
  lab = await Lab.up({ hosts: 2, agents: false })
  a = lab.host('edge-1')
  b = lab.host('edge-2')
})

afterAll(() => lab?.down())

describe('between two hosts', () => {
  test('a ping tells who is there and who is not', async () => {
    expect(await ping(a, b.vtep)).toBe(true)
    expect(await ping(a, '192.0.2.99')).toBe(false)
  })

  test('a steady ping counts what a broken link has lost', async () => {
    const whole = await SteadyPing.start(a, b.vtep6)
    expect((await whole.stop()).lost).toBe(0)

    const broken = await SteadyPing.start(a, b.vtep)
    await b.run(['nft', 'add table ip t; add chain ip t in { type filter hook input priority 0; policy drop; }'])
    await new Promise(resolve => setTimeout(resolve, 100))
    await b.run(['nft', 'delete table ip t'])
    await broken.says('icmp_seq=20')
    const { sent, lost } = await broken.stop()
    expect(lost).toBeGreaterThan(3)
    expect(lost).toBeLessThan(sent)
  })

  test('HTTP is answered, refused or not answered', async () => {
    const server = await serveHttp(b, 8080, 'hello')
    expect(await fetchHttp(a, b.vtep, 8080)).toBe('hello')
    expect(await fetchHttp(a, b.vtep6, 8080)).toBe('hello')
    await server.stop()
    expect(await fetchHttp(a, b.vtep, 8080)).toBe('refused')
  })

  test('throughput is measured', async () => {
    expect(await throughput(a, b, b.vtep, 1)).toBeGreaterThan(FLOWING)
  })
})
