// SPDX-License-Identifier: Apache-2.0
// Workload ports on a real host: what is inside the namespace, existing devices, ports without a network, changes in place.

import type { Host } from '@inkev/acceptance/lab/host'
import { type KernelState, kernelState, whatIsLeft } from '@inkev/acceptance/lab/kernel'
import { Lab } from '@inkev/acceptance/lab/lab'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { becomes, packetsLost, port, put, remove, removeAll, statusOf, web } from './client'

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

function inside(netns: string, ...args: string[]): Promise<string> {
  return host.workload(netns).run(['ip', '-br', ...args])
}

describe('a port', () => {
  test('brings MAC, MTU, addresses and routes into its namespace', async () => {
    await put(host, 'networks/web', web)
    const routes = { office: { destination: '192.168.0.0/16', via: '10.0.1.254' } }
    const { body } = await put(host, 'ports/web1', { ...port('web', 'web1', 11), routes, mtu: 1400 })
    expect(await inside('web1', 'link', 'show', 'eth0')).toMatch(new RegExp(`UP +${body.mac}`))
    expect(await host.workload('web1').run(['ip', 'link', 'show', 'eth0'])).toContain('mtu 1400')
    expect(await inside('web1', 'addr', 'show', 'eth0')).toMatch(/10\.0\.1\.11\/24 fd00:1::11\/64/)
    expect(await host.workload('web1').run(['ip', 'route'])).toMatch(/default via 10\.0\.1\.1 .*192\.168\.0\.0\/16 via 10\.0\.1\.254/s)
    expect(await host.workload('web1').run(['ip', '-6', 'route'])).toContain('default via fd00:1::1')
  })

  test('changes in place: what is no longer wished goes, its device and its namespace stay', async () => {
    await put(host, 'networks/web', web)
    await put(host, 'ports/web1', port('web', 'web1', 11))
    const [index] = (await host.workload('web1').run(['ip', '-o', 'link', 'show', 'eth0'])).split(':')
    await put(host, 'ports/web1', { ...port('web', 'web1', 21), default_route: false, mac: '02:00:00:00:00:21' })
    expect(await inside('web1', 'addr', 'show', 'eth0')).not.toContain('10.0.1.11')
    expect(await inside('web1', 'link', 'show', 'eth0')).toContain('02:00:00:00:00:21')
    expect(await host.workload('web1').run(['ip', 'route'])).not.toContain('default')
    expect(await host.workload('web1').run(['ip', '-o', 'link', 'show', 'eth0'])).toMatch(new RegExp(`^${index}:`))
  })

  test('gives no addresses and routes to a workload that asks for them itself, and leaves alone what it got', async () => {
    await put(host, 'networks/web', web)
    const asking = { ...port('web', 'web1', 11), configure_addresses: false }
    await put(host, 'ports/web1', asking)
    expect(await inside('web1', 'addr', 'show', 'eth0')).not.toContain('10.0.1.11')
    await host.workload('web1').run(['ip', 'addr', 'add', '10.0.1.11/24', 'dev', 'eth0'])
    await put(host, 'ports/web1', { ...asking, mtu: 1400 })
    expect(await inside('web1', 'addr', 'show', 'eth0')).toContain('10.0.1.11/24')
    expect(await host.workload('web1').run(['ip', 'route'])).not.toContain('default')
    await put(host, 'ports/web1', { ...asking, configure_addresses: true })
    expect(await inside('web1', 'addr', 'show', 'eth0')).toMatch(/10\.0\.1\.11\/24 fd00:1::11\/64/)
  })

  test('moves to another namespace, network and device name', async () => {
    await put(host, 'networks/web', web)
    await put(host, 'networks/db', { vni: 200, subnets: { v4: { cidr: '10.0.2.0/24' } } })
    await put(host, 'ports/web1', port('web', 'web1', 11))
    await put(host, 'ports/web1', { network: 'db', netns: 'db1', create_netns: true, ifname: 'net0', ip_addresses: ['10.0.2.11'] })
    expect(await inside('db1', 'addr', 'show', 'net0')).toContain('10.0.2.11/24')
    expect(await host.workloads()).toEqual(['db1'])
    expect(await statusOf(host, 'networks/web')).toMatchObject({ state: 'idle' })
  })

  test('shares a namespace that inkev made with another; it goes with the last', async () => {
    await put(host, 'networks/web', web)
    await put(host, 'ports/web1', port('web', 'web1', 11))
    await put(host, 'ports/web2', { ...port('web', 'web1', 12), ifname: 'eth1', default_route: false })
    await remove(host, 'ports/web1')
    expect(await host.workloads()).toEqual(['web1'])
    await remove(host, 'ports/web2')
    expect(await host.workloads()).toEqual([])
  })

  test('leaves a namespace that is not its own', async () => {
    await host.addWorkload('mine')
    await put(host, 'networks/web', web)
    await put(host, 'ports/web1', port('web', 'mine', 11))
    await remove(host, 'ports/web1')
    expect(await host.workloads()).toEqual(['mine'])
    await host.run(['ip', 'netns', 'del', 'mine'])
  })

  test('whose device name is taken in the namespace is refused, and changes nothing', async () => {
    const workload = await host.addWorkload('busy')
    await workload.run(['ip', 'link', 'add', 'eth0', 'type', 'bridge'])
    await put(host, 'networks/web', web)
    const answer = await host.request('PUT', '/v1/ports/web1', port('web', 'busy', 11))
    expect(answer).toMatchObject({ status: 409, body: { error: { code: 'INKEV_ERR_DEVICE_TAKEN', path: 'ifname' } } })
    expect((await host.request('GET', '/v1/ports/web1')).status).toBe(404)
    await host.run(['ip', 'netns', 'del', 'busy'])
    await remove(host, 'networks/web')
    expect(await whatIsLeft(lab, before)).toEqual([])
  })

  test('on an existing device leads its packets into the network, and leaves the device', async () => {
    const guest = await host.addWorkload('guest')
    await host.run(['ip', 'link', 'add', 'tap9', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', 'guest'])
    await host.run(['ip', 'link', 'set', 'tap9', 'up'])
    await guest.run(['ip', 'addr', 'add', '10.0.1.30/24', 'dev', 'eth0'])
    await guest.run(['ip', 'link', 'set', 'eth0', 'up'])
    await put(host, 'networks/web', web)
    await put(host, 'ports/web1', port('web', 'web1', 11))
    await put(host, 'ports/guest', { network: 'web', interface: 'tap9' })
    expect(await packetsLost(host, 'web1', '10.0.1.30')).toBe(0)
    await host.run(['ip', 'link', 'del', 'tap9'])
    await becomes(host, 'ports/guest', 'degraded')
    await host.run(['ip', 'netns', 'del', 'guest'])
  })
})

describe('a port without a network', () => {
  test('leads to the function it is stitched to, and a device of the host does too', async () => {
    await host.addWorkload('guest')
    await host.run(['ip', 'link', 'add', 'up9', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', 'guest'])
    await host.run(['ip', 'link', 'set', 'up9', 'up'])
    for (const command of [
      ['addr', 'add', '10.9.0.2/24', 'dev', 'eth0'],
      ['link', 'set', 'eth0', 'up'],
      ['route', 'add', 'default', 'via', '10.9.0.1']
    ])
      await host.workload('guest').run(['ip', ...command])
    await put(host, 'functions/gateway', { router: { interfaces: { lan: { address: '10.8.0.1/24' }, wan: { address: '10.9.0.1/24' } } } })
    await put(host, 'ports/lan1', { netns: 'lan1', create_netns: true })
    expect(await statusOf(host, 'ports/lan1')).toEqual({ state: 'idle', reason: 'nothing is stitched to it' })
    for (const command of [
      ['addr', 'add', '10.8.0.2/24', 'dev', 'eth0'],
      ['route', 'add', 'default', 'via', '10.8.0.1']
    ])
      await host.workload('lan1').run(['ip', ...command])
    await put(host, 'stitches/lan', { a: { port: 'lan1' }, b: { function: 'gateway', port: 'lan' } })
    await put(host, 'stitches/wan', { a: { interface: 'up9' }, b: { function: 'gateway', port: 'wan' } })
    expect(await statusOf(host, 'ports/lan1')).toEqual({ state: 'active' })
    expect(await packetsLost(host, 'lan1', '10.9.0.2', 4, 0.3)).toBeLessThan(2)
    await host.run(['ip', 'netns', 'del', 'guest'])
  })
})

describe('an agent', () => {
  test('started with --teardown takes everything out of the kernel, and a next start brings it back', async () => {
    await put(host, 'networks/web', web)
    await put(host, 'ports/web1', port('web', 'web1', 11))
    await put(host, 'ports/web2', port('web', 'web2', 12))
    await host.stopAgent()
    expect((await whatIsLeft(lab, before, 0)).length).toBeGreaterThan(0)
    await host.run([
      'node',
      `${__dirname}/../dist/inkev-agent.js`,
      '--name',
      'edge-1',
      '--uplink',
      'uplink',
      '--state',
      `${host.folder}/state`,
      '--teardown'
    ])
    expect(await whatIsLeft(lab, before)).toEqual([])
    await host.startAgent(['--uplink', 'lo'])
    expect((await host.request('GET', '/v1/host')).body).toMatchObject({ uplink: 'uplink', uplinks: ['uplink', 'lo'] })
    expect(await packetsLost(host, 'web1', '10.0.1.12')).toBe(0)
  })
})
