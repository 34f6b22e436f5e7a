// SPDX-License-Identifier: Apache-2.0
// Two real hosts with an underlay between them: one network, two networks and a router, chains, pinned addresses.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Host } from '@inkev/acceptance/lab/host'
import { Lab } from '@inkev/acceptance/lab/lab'
import { FLOWING, SteadyConnection, throughput } from '@inkev/acceptance/lab/traffic'
import { compileProgram, uploadOf } from '@inkev/bpf/testing/program'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { packetsLost, place, port, put, remove, routeAcross, statusOf } from './client'

let lab: Lab
let edge1: Host
let edge2: Host

beforeAll(async () => {
  lab = await Lab.up({ hosts: 2 })
  ;[edge1, edge2] = await routeAcross(lab)
  await place(edge1, edge2, 'web1', port('web', 'web1', 11))
  await place(edge2, edge1, 'web2', port('web', 'web2', 12))
  await place(edge2, edge1, 'db1', port('db', 'db1', 11))
}, 60_000)

afterAll(async () => {
  await lab?.down()
})

describe('across two hosts', () => {
  test('workloads of one network reach each other, IPv4 and IPv6', async () => {
    expect(await packetsLost(edge1, 'web1', '10.0.1.12')).toBe(0)
    expect(await packetsLost(edge1, 'web1', 'fd00:1::12')).toBe(0)
  })

  test('workloads of two networks reach each other through the router on their own host', async () => {
    expect(await packetsLost(edge1, 'web1', '10.0.2.11')).toBe(0)
    expect(await packetsLost(edge1, 'web1', 'fd00:2::11')).toBe(0)
  })

  test('a network that no port declares is active where the router leads to it', async () => {
    expect(await statusOf(edge1, 'networks/db')).toMatchObject({ state: 'active' })
  })

  test('a packet as large as the network carries crosses, and a larger one is told so', async () => {
    const workload = edge1.workload('web1')
    await workload.run(['ping', '-c1', '-W1', '-M', 'do', '-s', '1422', '10.0.1.12'])
    const { stdout, stderr } = await workload.attempt(['ping', '-c1', '-W1', '-M', 'do', '-s', '1423', '10.0.1.12'])
    expect(stdout + stderr).toContain('mtu')
  })

  test('beside a port that is no veth, and behind a router that leads to it, veths are reached without the kernel’s vxlan device', async () => {
    await edge2.run(['ip', 'link', 'add', 'tap9', 'up', 'type', 'veth', 'peer', 'name', 'machine'])
    await put(edge2, 'ports/guest', { network: 'web', interface: 'tap9' })
    const received = async () =>
      JSON.parse(await edge2.run(['ip', '-s', '-j', 'link', 'show', 'inkev-vxlan']))[0].stats64.rx.packets as number
    const before = await received()
    for (const address of ['10.0.1.12', 'fd00:1::12', '10.0.2.11', 'fd00:2::11'])
      expect(await packetsLost(edge1, 'web1', address, 20)).toBe(0)
    expect((await received()) - before).toBeLessThan(20)
    await remove(edge2, 'ports/guest')
  })

  test('a function in the chain of a port stands before it for packets from other hosts too', async () => {
    await put(edge2, 'functions/rules', { firewall: { default_ingress: 'deny' } })
    await put(edge2, 'ports/db1', { ...port('db', 'db1', 11), chain: ['rules'] })
    expect(await packetsLost(edge1, 'web1', '10.0.2.11')).toBe(3)
    await put(edge2, 'functions/rules', { firewall: { default_ingress: 'allow' } })
    expect(await packetsLost(edge1, 'web1', '10.0.2.11')).toBe(0)
  })

  test('a workload whose addresses are pinned cannot speak for another', async () => {
    await put(edge1, 'ports/web1', { ...port('web', 'web1', 11), pin_addresses: true })
    expect(await packetsLost(edge1, 'web1', '10.0.1.12')).toBe(0)
    await edge1.workload('web1').run(['ip', 'addr', 'add', '10.0.1.99/24', 'dev', 'eth0'])
    const { stdout } = await edge1.workload('web1').attempt(['ping', '-c1', '-W1', '-I', '10.0.1.99', '10.0.1.12'])
    expect(stdout).toContain('100% packet loss')
  })

  test('frames with a tag of the user’s own cross a wire that segments nothing, and reach whom they are for', async () => {
    const tagger = uploadOf(compileProgram(readFileSync(join(__dirname, '../../examples/terraform/own-function/tagger.bpf.c'), 'utf8')))
    for (const host of [edge1, edge2]) {
      await host.run(['ethtool', '-K', 'uplink', 'tso', 'off', 'gso', 'off', 'tx', 'off'])
      await put(host, 'programs/tagger', tagger)
      for (const [name, colour] of Object.entries({ red: '7', blue: '8' }))
        await put(host, `functions/${name}`, { program: { name: 'tagger', config: { colour } } })
    }
    await place(edge1, edge2, 'red1', { ...port('web', 'red1', 21), chain: ['red'] })
    await place(edge2, edge1, 'red2', { ...port('web', 'red2', 22), chain: ['red'] })
    await place(edge2, edge1, 'blue2', { ...port('web', 'blue2', 23), chain: ['blue'] })
    for (const address of ['10.0.1.22', 'fd00:1::22']) expect(await packetsLost(edge1, 'red1', address)).toBe(0)
    expect(await packetsLost(edge1, 'red1', '10.0.1.23')).toBe(3)
    expect((await edge2.request('GET', '/v1/functions/blue/counters')).body.wrong_colour).toBeGreaterThan(0)
    const [from, to] = [edge1.workload('red1'), edge2.workload('red2')]
    await from.run(['ethtool', '-K', 'eth0', 'tso', 'off', 'gso', 'off'])
    expect(await throughput(from, to, '10.0.1.22', 1)).toBeGreaterThan(FLOWING)
  })
})

describe('TCP through a firewall and the router goes on', () => {
  const mac = '02:00:00:00:77:01'
  const client = { ...port('web', 'web1', 11), chain: ['clients'] }
  let connections: SteadyConnection[]
  const goOn = () => Promise.all(connections.map(connection => connection.goesOn()))

  beforeAll(async () => {
    const rules = { out: { direction: 'egress', protocol: 'tcp', ports: '5432-5433', action: 'allow' } }
    await put(edge1, 'functions/clients', { firewall: { default_ingress: 'deny', default_egress: 'deny', rules } })
    await put(edge1, 'ports/web1', client)
    await place(edge2, edge1, 'db1', port('db', 'db1', 11))
    const [from, to] = [edge1.workload('web1'), edge2.workload('db1')]
    connections = await Promise.all(['10.0.2.11', 'fd00:2::11'].map((address, n) => SteadyConnection.start(from, to, address, 5432 + n)))
    await goOn()
  })

  afterAll(async () => {
    for (const connection of connections ?? []) await connection.stop()
  })

  test('when the MAC of its server changes', async () => {
    await place(edge2, edge1, 'db1', { ...port('db', 'db1', 11), mac })
    expect(await edge2.workload('db1').run(['ip', 'link', 'show', 'eth0'])).toContain(mac)
    await goOn()
  })

  test('when the MAC of its client changes', async () => {
    await place(edge1, edge2, 'web1', { ...client, mac: '02:00:00:00:77:02' })
    await goOn()
  })

  test('when its server moves to another host with all that it remembers, and gets another MAC', async () => {
    await edge1.run(['ip', 'netns', 'attach', 'db1', String(connections[0]!.serverPid)])
    await remove(edge2, 'ports/db1')
    await remove(edge1, 'endpoints/db.db1')
    await place(edge1, edge2, 'db1', { ...port('db', 'db1', 11), create_netns: false })
    expect(await edge1.workload('db1').run(['ip', 'link', 'show', 'eth0'])).not.toContain(mac)
    await goOn()
  })
})
