// SPDX-License-Identifier: Apache-2.0
// The example two-hosts: two networks across two hosts, routed and filtered in the kernel.

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type KernelState, kernelState, whatIsLeft } from '../lab/kernel'
import { Lab } from '../lab/lab'
import type { Namespace } from '../lab/namespace'
import { Terraform } from '../lab/terraform'
import { FLOWING, fetchHttp, ping, SteadyPing, serveHttp, throughput } from '../lab/traffic'

const HOST_OF = { web1: 'edge-1', web2: 'edge-1', web3: 'edge-2', db1: 'edge-1', db2: 'edge-2' } as const
const ADDRESSES = {
  web1: ['10.0.1.11', 'fd00:1::11'],
  web2: ['10.0.1.12', 'fd00:1::12'],
  web3: ['10.0.1.13', 'fd00:1::13'],
  db1: ['10.0.2.11', 'fd00:2::11'],
  db2: ['10.0.2.12', 'fd00:2::12']
} as const
type Workload = keyof typeof ADDRESSES
const WORKLOADS = Object.keys(ADDRESSES) as Workload[]
const PAIRS = WORKLOADS.flatMap(from => WORKLOADS.filter(to => to !== from).map(to => [from, to] as const))
const DB_PORT = 5432

let lab: Lab
let terraform: Terraform
let before: KernelState

beforeAll(async () => {
  lab = await Lab.up({ hosts: 2 })
  before = await kernelState(lab)
  terraform = Terraform.ofExample('two-hosts', lab)
  await terraform.init()
  await terraform.apply()
})

afterAll(() => lab?.down())

function workload(name: Workload): Namespace {
  return lab.host(HOST_OF[name]).workload(name)
}

describe('the example two-hosts', () => {
  test('loses not even the first packet between any two workloads, IPv4 and IPv6', async () => {
    const unanswered: string[] = []
    for (const [from, to] of PAIRS) {
      for (const address of ADDRESSES[to]) if (!(await ping(workload(from), address))) unanswered.push(`${from} to ${address}`)
    }
    expect(unanswered).toEqual([])
  })

  test('is followed by an empty plan', async () => {
    expect(await terraform.plan()).toMatchObject({ empty: true })
  })

  test.each(['db1', 'db2'] as const)('lets web servers reach %s on its port, and nothing else reach it at all', async to => {
    const servers = await Promise.all([DB_PORT, DB_PORT + 1].map(port => serveHttp(workload(to), port, 'rows')))
    for (const address of ADDRESSES[to]) {
      expect(await fetchHttp(workload('web1'), address, DB_PORT)).toBe('rows')
      expect(await fetchHttp(workload('web1'), address, DB_PORT + 1)).toBe('refused')
      const other = to === 'db1' ? 'db2' : 'db1'
      expect(await fetchHttp(workload(other), address, DB_PORT)).toBe('refused')
    }
    for (const server of servers) await server.stop()
  })

  test.each([
    ['web2', 'one host'],
    ['web3', 'two hosts']
  ] as const)('carries TCP bulk to %s (%s)', async (to, _way) => {
    for (const address of ADDRESSES[to]) expect(await throughput(workload('web1'), workload(to), address, 1)).toBeGreaterThan(FLOWING)
  })

  test('answers packets that are too large with the size that fits, across hosts and between the networks', async () => {
    const web1 = workload('web1')
    await web1.run(['ip', 'link', 'set', 'eth0', 'mtu', '1500'])
    const answers = await Promise.all(
      [...ADDRESSES.web3, ...ADDRESSES.db1, ...ADDRESSES.db2].map(address =>
        web1.attempt(['ping', '-n', '-c1', '-W2', '-M', 'do', '-s', '1450', address])
      )
    )
    for (const { stdout } of answers) expect(stdout).toMatch(/Frag needed and DF set \(mtu = 1450\)|Packet too big: mtu=1450/)
    await web1.run(['ip', 'link', 'set', 'eth0', 'mtu', '1450'])
  })

  test('shows the gateway as a hop to traceroute, and the last hop after it', async () => {
    const { stdout } = await workload('web1').attempt(['ping', '-n', '-c1', '-W2', '-t', '1', ADDRESSES.db2[0]])
    expect(stdout).toMatch(/From 10\.0\.1\.1 .*Time to live exceeded/)
  })

  test('changes one rule in place while pings run, and none is lost', async () => {
    const steady = await Promise.all(ADDRESSES.db2.map(address => SteadyPing.start(workload('web1'), address)))
    const server = await serveHttp(workload('db2'), 6000, 'rows')
    const change = ['-var', 'db_port=6000']
    expect((await terraform.plan(change)).text).toContain('0 to add, 1 to change, 0 to destroy')
    await terraform.apply(change)
    expect(await fetchHttp(workload('web1'), ADDRESSES.db2[0], 6000)).toBe('rows')
    for (const ping of steady) expect((await ping.stop()).lost).toBe(0)
    await server.stop()
    await terraform.apply()
  })

  test('is restored when a host has lost its peer, an endpoint and a stitch', async () => {
    const edge = lab.host('edge-2')
    for (const path of ['/v1/peers/web.edge-1', '/v1/endpoints/db.db1']) expect((await edge.request('DELETE', path)).status).toBe(204)
    const stitches = (await edge.request('GET', '/v1/stitches')).body.items
    expect((await edge.request('DELETE', `/v1/stitches/${stitches[0].name}`)).status).toBe(204)
    expect((await terraform.plan()).empty).toBe(false)
    await terraform.apply()
    expect(await terraform.plan()).toMatchObject({ empty: true })
    expect(await ping(workload('web1'), ADDRESSES.db2[0], 3)).toBe(true)
  })

  test('tells what runs where: topology, metrics, health', async () => {
    const edge = lab.host('edge-1')
    expect((await edge.request('GET', '/v1/topology?format=dot')).body).toContain('gateway')
    expect((await edge.request('GET', '/v1/topology?format=mermaid')).body).toContain('gateway')
    expect((await edge.request('GET', '/metrics')).body).toMatch(/^inkev_router_/m)
    expect((await edge.request('GET', '/healthz')).status).toBe(200)
    expect((await edge.request('GET', '/openapi.json')).body.openapi).toMatch(/^3\.1/)
  })

  test('leaves nothing in the kernel once destroyed', async () => {
    await terraform.destroy()
    expect(await whatIsLeft(lab, before)).toEqual([])
  })
})
