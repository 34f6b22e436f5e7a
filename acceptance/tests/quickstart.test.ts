// SPDX-License-Identifier: Apache-2.0
// The example quickstart, from nothing to packets and back to nothing.

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { Host } from '../lab/host'
import { type KernelState, kernelState, whatIsLeft } from '../lab/kernel'
import { Lab } from '../lab/lab'
import type { Namespace } from '../lab/namespace'
import { Terraform } from '../lab/terraform'
import { fetchHttp, ping, SteadyPing, serveHttp } from '../lab/traffic'

const ALICE = '10.0.0.11'
const BOB = { v4: '10.0.0.12', v6: 'fd00::12' }

let lab: Lab
let edge: Host
let alice: Namespace
let terraform: Terraform
let before: KernelState

beforeAll(async () => {
  lab = await Lab.up({ hosts: 1 })
  edge = lab.host('edge-1')
  alice = edge.workload('alice')
  before = await kernelState(lab)
  terraform = Terraform.ofExample('quickstart', lab)
  await terraform.init()
  await terraform.apply()
})

afterAll(() => lab?.down())

describe('the example quickstart', () => {
  test('carries IPv4 and IPv6 between its workloads', async () => {
    expect(await ping(alice, BOB.v4)).toBe(true)
    expect(await ping(alice, BOB.v6)).toBe(true)
    const server = await serveHttp(edge.workload('bob'), 80, 'hello')
    expect(await fetchHttp(alice, BOB.v4, 80)).toBe('hello')
    expect(await fetchHttp(alice, BOB.v6, 80)).toBe('hello')
    await server.stop()
  })

  test('is followed by an empty plan', async () => {
    expect(await terraform.plan()).toMatchObject({ empty: true })
  })

  test('is updated in place while a ping runs, and none is lost', async () => {
    const steady = await SteadyPing.start(alice, BOB.v4)
    terraform.edit('vni   = 100', 'vni   = 100\n  aging_time = "60s"')
    expect((await terraform.plan()).text).toContain('0 to add, 1 to change, 0 to destroy')
    await terraform.apply()
    expect((await steady.stop()).lost).toBe(0)
    expect((await edge.request('GET', '/v1/networks/home')).body.aging_time).toBe('60s')
  })

  test('is restored when a port was deleted behind its back', async () => {
    expect((await edge.request('DELETE', '/v1/ports/bob')).status).toBe(204)
    expect(await ping(alice, BOB.v4)).toBe(false)
    expect((await terraform.plan()).text).toContain('1 to add, 0 to change, 0 to destroy')
    await terraform.apply()
    expect(await ping(alice, BOB.v4, 3)).toBe(true)
    expect(await terraform.plan()).toMatchObject({ empty: true })
  })

  test('is restored when an attribute was changed behind its back', async () => {
    const { status, name, ...network } = (await edge.request('GET', '/v1/networks/home')).body
    expect((await edge.request('PUT', '/v1/networks/home', { ...network, learning: false })).status).toBe(200)
    expect((await terraform.plan()).text).toMatch(/learning +=/)
    await terraform.apply()
    expect((await edge.request('GET', '/v1/networks/home')).body.learning).toBe(true)
  })

  test.each([
    ['inkev_network.home', 'home'],
    ['inkev_port.alice', 'edge-1/alice']
  ])('takes over %s by import, and the plan after it is empty', async (address, id) => {
    await terraform.run(['state', 'rm', address])
    await terraform.run(['import', address, id])
    expect(await terraform.plan()).toMatchObject({ empty: true })
    expect(await ping(alice, BOB.v4)).toBe(true)
  })

  test('replaces a port whose address changes only where it must, and frees the old one', async () => {
    terraform.edit('["10.0.0.11", "fd00::11"]', '["10.0.0.21"]')
    await terraform.apply()
    expect(await ping(edge.workload('bob'), '10.0.0.21', 3)).toBe(true)
    expect(await ping(edge.workload('bob'), ALICE)).toBe(false)
  })

  test('leaves nothing in the kernel once destroyed', async () => {
    await terraform.destroy()
    expect(await whatIsLeft(lab, before)).toEqual([])
  })
})
