// SPDX-License-Identifier: Apache-2.0
// The example service-chain: a firewall in the way of a network, re-stitched out of it and back in under traffic.

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type KernelState, kernelState, whatIsLeft } from '../lab/kernel'
import { Lab } from '../lab/lab'
import type { Namespace } from '../lab/namespace'
import { Terraform } from '../lab/terraform'
import { fetchHttp, ping, SteadyPing, serveHttp } from '../lab/traffic'

const SHOP = ['10.0.2.11', 'fd00:2::11'] as const

let lab: Lab
let desk: Namespace
let shop: Namespace
let terraform: Terraform
let before: KernelState

beforeAll(async () => {
  lab = await Lab.up({ hosts: 2 })
  desk = lab.host('edge-1').workload('desk')
  shop = lab.host('edge-2').workload('shop')
  before = await kernelState(lab)
  terraform = Terraform.ofExample('service-chain', lab)
  await terraform.init()
  await terraform.apply()
})

afterAll(() => lab?.down())

/** What the desk gets from each of the shop's addresses on a port. */
async function fetched(port: number): Promise<string[]> {
  const server = await serveHttp(shop, port, 'goods')
  const answers = [await fetchHttp(desk, SHOP[0], port), await fetchHttp(desk, SHOP[1], port)]
  await server.stop()
  return answers
}

async function applyUnderPing(args: string[]): Promise<{ lost: number[]; output: string }> {
  const steady = await Promise.all(SHOP.map(address => SteadyPing.start(desk, address)))
  const output = await terraform.apply(args)
  const lost = await Promise.all(steady.map(async ping => (await ping.stop()).lost))
  return { lost, output }
}

describe('the example service-chain', () => {
  test('lets through what the firewall in the way allows, and refuses the rest', async () => {
    for (const address of SHOP) expect(await ping(desk, address, 3)).toBe(true)
    expect(await fetched(80)).toEqual(['goods', 'goods'])
    expect(await fetched(8080)).toEqual(['refused', 'refused'])
  })

  test('is followed by an empty plan', async () => {
    expect(await terraform.plan()).toMatchObject({ empty: true })
  })

  test('is stitched past the firewall in place, and no packet is lost', async () => {
    const { lost, output } = await applyUnderPing(['-var', 'inspected=false'])
    expect(output).toContain('0 added, 1 changed, 1 destroyed')
    expect(lost).toEqual([0, 0])
    expect(await fetched(8080)).toEqual(['goods', 'goods'])
  })

  test('is stitched through the firewall again, and no packet is lost', async () => {
    const { lost, output } = await applyUnderPing([])
    expect(output).toContain('1 added, 1 changed, 0 destroyed')
    expect(lost).toEqual([0, 0])
    expect(await fetched(8080)).toEqual(['refused', 'refused'])
  })

  test('leaves nothing in the kernel once destroyed', async () => {
    await terraform.destroy()
    expect(await whatIsLeft(lab, before)).toEqual([])
  })
})
