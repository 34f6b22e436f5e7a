// SPDX-License-Identifier: Apache-2.0
// The far side is plain Linux: a vxlan device in a bridge, as any other vendor's tunnel end would be.

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { Lab } from '../lab/lab'
import type { Namespace } from '../lab/namespace'
import { FLOWING, ping, throughput } from '../lab/traffic'

const VNI = 300
const NEAR = { v4: '10.3.0.1', v6: 'fd00:3::1' }
const FAR = { v4: '10.3.0.2', v6: 'fd00:3::2' }
const OVERLAY_MTU = 1450
const BROADCAST_PORT = 9999

let lab: Lab
let near: Namespace
let far: Namespace

beforeAll(async () => {
  lab = await Lab.up({ hosts: 2, agents: false })
  const [edge, plain] = [lab.host('edge-1'), lab.host('edge-2')]
  await edge.startAgent()
  near = await edge.addWorkload('near')
  far = await plain.addWorkload('far')
  await plain.run(['ip', '-batch', '-'], {
    input: `
      link add name br0 type bridge
      link set br0 up
      link add name vxlan0 type vxlan id ${VNI} dstport 4789 local ${plain.vtep} remote ${edge.vtep}
      link set vxlan0 up master br0
      link add name access type veth peer name eth0 mtu ${OVERLAY_MTU} netns far
      link set access up master br0`
  })
  await far.run(['ip', '-batch', '-'], {
    input: `
      addr add ${FAR.v4}/24 dev eth0
      addr add ${FAR.v6}/64 dev eth0 nodad
      link set eth0 up`
  })
  const put = async (path: string, body: unknown) => {
    const answer = await edge.request('PUT', path, body)
    expect([path, answer.status, answer.body]).toEqual([path, 201, expect.anything()])
  }
  await put('/v1/networks/mixed', { vni: VNI, subnets: { v4: { cidr: '10.3.0.0/24' }, v6: { cidr: 'fd00:3::/64' } } })
  await put('/v1/peers/mixed.plain', { network: 'mixed', host: 'plain', vtep: plain.vtep })
  await put('/v1/ports/near', { network: 'mixed', netns: 'near', ip_addresses: [NEAR.v4, NEAR.v6] })
})

afterAll(() => lab?.down())

describe('a plain Linux vxlan device on the far side', () => {
  test('is reached by IPv4 and IPv6, and reaches back', async () => {
    expect(await ping(near, FAR.v4, 3)).toBe(true)
    expect(await ping(near, FAR.v6, 3)).toBe(true)
    expect(await ping(far, NEAR.v4)).toBe(true)
    expect(await ping(far, NEAR.v6)).toBe(true)
  })

  test('exchanges TCP bulk both ways', async () => {
    expect(await throughput(near, far, FAR.v4, 1)).toBeGreaterThan(FLOWING)
    expect(await throughput(far, near, NEAR.v6, 1)).toBeGreaterThan(FLOWING)
  })

  test('exchanges fragments both ways', async () => {
    expect(await pingLarge(near, FAR.v4)).toBe(true)
    expect(await pingLarge(near, FAR.v6)).toBe(true)
    expect(await pingLarge(far, NEAR.v4)).toBe(true)
  })

  test('hears broadcasts, and is heard', async () => {
    expect(await broadcast(near, far, '10.3.0.255')).toBe('hello')
    expect(await broadcast(far, near, '10.3.0.255')).toBe('hello')
  })
})

async function pingLarge(from: Namespace, address: string): Promise<boolean> {
  return (await from.attempt(['ping', '-c1', '-W2', '-s4000', address])).code === 0
}

/** What `to` hears of a UDP broadcast from `from`. */
async function broadcast(from: Namespace, to: Namespace, address: string): Promise<string> {
  const listen = `const s = require('dgram').createSocket('udp4'); s.on('message', m => { console.log('heard ' + m); s.close() }).bind(${BROADCAST_PORT}, () => console.log('listening'))`
  const send = `const s = require('dgram').createSocket('udp4'); s.bind(() => { s.setBroadcast(true); s.send('hello', ${BROADCAST_PORT}, '${address}', () => s.close()) })`
  const listener = to.start(['node', '-e', listen], { limit: 5000 })
  await listener.says('listening')
  await from.run(['node', '-e', send])
  return /heard (.*)/.exec((await listener.done).stdout)?.[1] ?? 'nothing'
}
