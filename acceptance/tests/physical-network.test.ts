// SPDX-License-Identifier: Apache-2.0
// The example physical-network: workloads reach a VLAN of the physical network from their own hosts, and the device stays the host's.

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { Host } from '../lab/host'
import { type KernelState, kernelState, whatIsLeft } from '../lab/kernel'
import { Lab } from '../lab/lab'
import type { Namespace } from '../lab/namespace'
import { until } from '../lab/process'
import { addVlan, laySegment, plugIn, tagDevice } from '../lab/segment'
import { Terraform } from '../lab/terraform'
import { FLOWING, fetchHttp, ping, throughput } from '../lab/traffic'

const ROUTER = ['203.0.113.254', '2001:db8:1::fe'] as const
/** As whom the workloads of each host are known outside. */
const KNOWN = { 'edge-1': ['203.0.113.21', '2001:db8:1::21'], 'edge-2': ['203.0.113.22', '2001:db8:1::22'] } as const

const MIRROR = `
  require('node:http').createServer(({ socket }, response) => response.end(socket.remoteAddress.replace('::ffff:', '')))
    .listen(80, '::', () => console.log('listening'))`

let lab: Lab
let edge: Host
let outside: Namespace
let terraform: Terraform
let before: KernelState
const app = (n: 1 | 2) => lab.host(`edge-${n}`).workload(`app${n}`)

beforeAll(async () => {
  lab = await Lab.up({ hosts: 2 })
  edge = lab.host('edge-1')
  outside = await laySegment(lab)
  await addVlan(outside, 'trunk', 42, ['203.0.113.254/24', '2001:db8:1::fe/64'], lab)
  before = await kernelState(lab)
  terraform = Terraform.ofExample('physical-network', lab)
  await terraform.init()
  await terraform.apply()
})

afterAll(() => lab?.down())

describe('the example physical-network', () => {
  test('lets workloads out by the device of their own host, each host as an address of its own', async () => {
    const server = outside.start(['node', '-e', MIRROR])
    await server.says('listening')
    for (const n of [1, 2] as const)
      for (const [family, router] of ROUTER.entries()) {
        expect(await ping(app(n), router, 3)).toBe(true)
        expect(await fetchHttp(app(n), router, 80)).toBe(KNOWN[`edge-${n}`][family])
      }
    await server.stop()
  })

  test('carries a stream through the VLAN', async () => {
    expect(await throughput(app(1), outside, ROUTER[0], 1)).toBeGreaterThan(FLOWING)
  })

  test('brings a workload that speaks with tags into each of its networks', async () => {
    const appliance = edge.workload('appliance')
    await tagDevice(appliance, 'eth0', 'tc', lab)
    await addVlan(appliance, 'eth0', 100, ['10.0.1.100/24', 'fd00:1::100/64'], lab)
    await addVlan(appliance, 'eth0', 200, ['203.0.113.100/24', '2001:db8:1::100/64'], lab)
    for (const address of ['10.0.1.11', 'fd00:1::12', '10.0.1.12', ...ROUTER]) expect(await ping(appliance, address, 3)).toBe(true)
    for (const address of ['203.0.113.100', '2001:db8:1::100']) expect(await ping(outside, address, 3)).toBe(true)
    expect(await throughput(app(2), appliance, '10.0.1.100', 1)).toBeGreaterThan(FLOWING)
    expect(await throughput(appliance, outside, ROUTER[0], 1)).toBeGreaterThan(FLOWING)
  })

  test('traces a packet to the tagged workload', async () => {
    const packet = { ip: { destination: '10.0.1.100' }, icmp: {} }
    const { body } = await edge.request('POST', '/v1/trace', { from: { port: 'app1' }, packet })
    expect(body).toMatchObject({ verdict: 'delivered', to: 'ports/appliance/100' })
    expect(body.steps.map(({ at }: { at: string }) => at)).toEqual(['ports/app1', 'networks/app', 'core/vlan'])
  })

  test('traces what the tagged workload sends, in the network of each tag', async () => {
    const traced = async (vlan: number, destination: string) => {
      const packet = { ip: { destination }, icmp: {} }
      return (await edge.request('POST', '/v1/trace', { from: { port: 'appliance', vlan }, packet })).body
    }
    expect(await traced(100, '10.0.1.11')).toMatchObject({
      verdict: 'delivered',
      to: 'ports/app1',
      steps: [{ at: 'ports/appliance/100' }, {}, {}]
    })
    expect(
      await edge.request('POST', '/v1/trace', { from: { port: 'appliance', vlan: 300 }, packet: { ip: { destination: '10.0.1.11' } } })
    ).toMatchObject({
      status: 404,
      body: { error: { path: 'from.vlan' } }
    })
  })

  test('traces what comes from the segment: to a workload, or for all, which the device keeps as well', async () => {
    const traced = async (destination: string, mac?: string) => {
      const ethernet = { source: '02:00:00:00:99:99', ...(mac && { destination: mac }) }
      const packet = { ethernet, ip: { source: ROUTER[0], destination }, icmp: {} }
      return (await edge.request('POST', '/v1/trace', { from: { segment: 'wan' }, packet })).body
    }
    expect(await traced('203.0.113.100')).toMatchObject({
      verdict: 'delivered',
      to: 'ports/appliance/200',
      steps: [{ at: 'segments/wan' }, {}, {}]
    })
    const forAll = await traced('203.0.113.255', 'ff:ff:ff:ff:ff:ff')
    expect(forAll.steps).toContainEqual(expect.objectContaining({ at: 'core/vlan', verdict: 'delivered', to: 'ports/appliance/200' }))
    expect(forAll.verdict).toBe('kernel')
    const ethernet = { source: '02:00:00:00:99:99', destination: 'ff:ff:ff:ff:ff:ff' }
    const train = { ethernet, ip: { source: ROUTER[0], destination: '203.0.113.255' }, udp: { destination_port: 9 }, payload_length: 1000 }
    expect(await edge.request('POST', '/v1/trace', { from: { segment: 'wan' }, packet: { ...train, segment_size: 500 } })).toMatchObject({
      status: 422,
      body: { error: { message: expect.stringContaining('the segment of network wan copies the train') } }
    })
  })

  test('leaves the device to its host: its own addresses work on', async () => {
    await outside.run(['ip', 'addr', 'add', '198.51.100.2/24', 'dev', 'trunk'])
    await edge.run(['ip', 'addr', 'add', '198.51.100.1/24', 'dev', 'eth1'])
    expect(await ping(edge, '198.51.100.2')).toBe(true)
    expect(await ping(outside, '198.51.100.1')).toBe(true)
    await edge.run(['ip', 'addr', 'del', '198.51.100.1/24', 'dev', 'eth1'])
  })

  test('is followed by an empty plan', async () => {
    expect(await terraform.plan()).toMatchObject({ empty: true })
  })

  test('goes on while the agent is away, and is taken over by the next', async () => {
    await edge.stopAgent('SIGKILL')
    expect(await ping(app(1), ROUTER[0])).toBe(true)
    await edge.startAgent()
    expect(await ping(app(1), ROUTER[0])).toBe(true)
  })

  test('is degraded while the device is gone, and mends when it comes back', async () => {
    const state = async () => (await edge.request('GET', '/v1/networks/wan')).body.status
    await edge.run(['ip', 'link', 'del', 'eth1'])
    await until(
      async () => (await state()).state === 'degraded',
      5000,
      () => 'not degraded'
    )
    expect(await state()).toMatchObject({ reason: 'the host has no device eth1' })
    await plugIn(lab, edge)
    await until(
      async () => (await state()).state === 'active',
      5000,
      () => 'not active'
    )
    expect(await ping(app(1), ROUTER[1], 3)).toBe(true)
  })

  test('refuses at plan what would have its addresses twice on the segment', async () => {
    const original = 'hosts = [each.key]\n  a     = { function = inkev_function.translator[each.key].name, port = "outside" }'
    terraform.edit(original, original.replace('[each.key]', 'keys(local.outside)'))
    const { code, stderr } = await terraform.attempt(['plan'])
    expect(code).toBe(1)
    expect(stderr.replaceAll(/[\s│]+/g, ' ')).toContain('what is stitched to it must be on one of edge-1, edge-2')
    terraform.edit(original.replace('[each.key]', 'keys(local.outside)'), original)
  })

  test('leaves nothing in the kernel once destroyed', async () => {
    await terraform.destroy()
    expect(await whatIsLeft(lab, before)).toEqual([])
  })
})
