// SPDX-License-Identifier: Apache-2.0
// One real host: workloads reach each other, whatever happens to the agent, and at the end nothing is left.

import type { Host } from '@inkev/acceptance/lab/host'
import { type KernelState, kernelState, whatIsLeft } from '@inkev/acceptance/lab/kernel'
import { Lab } from '@inkev/acceptance/lab/lab'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { becomes, packetsLost, port, put, putAll, remove, removeAll, routed, statusOf, web } from './client'

let lab: Lab
let host: Host
let before: KernelState

beforeAll(async () => {
  lab = await Lab.up({ hosts: 1 })
  host = lab.host('edge-1')
  before = await kernelState(lab)
}, 60_000)

afterEach(() => removeAll(host))

afterAll(async () => {
  await lab?.down()
})

async function twoWorkloads(): Promise<void> {
  await put(host, 'networks/web', web)
  await put(host, 'ports/web1', port('web', 'web1', 11))
  await put(host, 'ports/web2', port('web', 'web2', 12))
}

describe('a network', () => {
  test('lets its workloads reach each other, and leaves nothing when it is gone', async () => {
    await twoWorkloads()
    expect(await packetsLost(host, 'web1', '10.0.1.12')).toBe(0)
    expect(await packetsLost(host, 'web1', 'fd00:1::12')).toBe(0)
    await remove(host, 'ports/web1', 'ports/web2', 'networks/web')
    expect(await whatIsLeft(lab, before)).toEqual([])
  })

  test('without workloads is idle, and nothing is in the kernel', async () => {
    await put(host, 'networks/web', web)
    expect(await statusOf(host, 'networks/web')).toEqual({ state: 'idle', reason: 'no workload of this host reaches it' })
    expect(await whatIsLeft(lab, before)).toEqual([])
  })
})

describe('a router between two networks', () => {
  test('leads packets across, IPv4 and IPv6', async () => {
    await twoWorkloads()
    await putAll(host, routed)
    await put(host, 'ports/db1', port('db', 'db1', 11))
    expect(await packetsLost(host, 'web1', '10.0.2.11')).toBe(0)
    expect(await packetsLost(host, 'web1', 'fd00:2::11')).toBe(0)
  })
})

describe('a firewall in a chain', () => {
  const allow = { direction: 'egress', action: 'allow', protocol: 'icmp' }
  const rules = (rules: object) => put(host, 'functions/rules', { firewall: { default_ingress: 'allow', rules } })
  const counted = async () => {
    const { items } = (await host.request('GET', '/v1/functions/rules/tables/rule_hits')).body
    return items.map(({ name }: { name?: string }) => name).toSorted()
  }

  test('counts by rule, and forgets the rule with its count', async () => {
    await rules({ pings: allow })
    await put(host, 'networks/web', web)
    await put(host, 'ports/web1', { ...port('web', 'web1', 11), chain: ['rules'] })
    await put(host, 'ports/web2', port('web', 'web2', 12))
    expect(await packetsLost(host, 'web1', '10.0.1.12')).toBe(0)
    expect(await counted()).toContain('pings')
    await rules({ others: allow })
    expect(await counted()).not.toContain('pings')
    expect(await counted()).not.toContain(undefined)
    expect(await packetsLost(host, 'web1', '10.0.1.12')).toBe(0)
    expect(await counted()).toContain('others')
  })
})

describe('an agent', () => {
  test('that is killed and started again loses no packet', async () => {
    await twoWorkloads()
    const lost = packetsLost(host, 'web1', '10.0.1.12', 400, 0.005)
    await host.stopAgent('SIGKILL')
    await host.startAgent()
    expect(await lost).toBe(0)
    expect(await statusOf(host, 'ports/web1')).toEqual({ state: 'active' })
  })

  test('notices a namespace that goes and comes back', async () => {
    await host.addWorkload('web3')
    await twoWorkloads()
    await put(host, 'ports/web3', { ...port('web', 'web3', 13), create_netns: false })
    await host.run(['ip', 'netns', 'del', 'web3'])
    await becomes(host, 'ports/web3', 'degraded')
    await host.addWorkload('web3')
    await becomes(host, 'ports/web3', 'active')
    expect(await packetsLost(host, 'web1', '10.0.1.13')).toBe(0)
    await remove(host, 'ports/web3')
    await host.run(['ip', 'netns', 'del', 'web3'])
  })
})
