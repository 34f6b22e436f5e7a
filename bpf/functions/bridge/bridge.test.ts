// SPDX-License-Identifier: Apache-2.0
// The bridge, packet by packet. What it sends to all is seen in bpf/testing/network.test.ts, where there are devices for the copies.

import { afterEach, beforeEach, expect, test } from '@jest/globals'
import type { Endpoint } from '../../catalogue/define'
import { eth } from '../../packets/frame'
import { loadFunction, now, type TestedFunction } from '../../testing/harness'
import { bridge } from './bridge'

const A = '02:00:00:00:00:0a'
const B = '02:00:00:00:00:0b'
const REMOTE = '02:00:00:00:00:0c'
const GATEWAY = '02:00:00:00:00:fe'
const STRANGER = '02:00:00:00:00:99'
const BROADCAST = 'ff:ff:ff:ff:ff:ff'

const endpoints: Endpoint[] = [
  { mac: A, addresses: ['10.0.0.1', 'fd00::1'], port_id: 1 },
  { mac: B, addresses: ['10.0.0.2', 'fd00::2'], port_id: 2 },
  { mac: REMOTE, addresses: ['10.0.0.3', 'fd00::3'], peer: 7 },
  { mac: GATEWAY, addresses: ['10.0.0.254', 'fd00::fe'], bridge_port: 2 }
]
const config = { vni: 100 }
const surroundings = { bridge: { vni: 100, mtu: 1450, endpoints, port_ids: [1, 2], peers: [7], stitched: [2] } }
const fromA = { port: 'workloads', workload: 1 }
const fromB = { port: 'workloads', workload: 2 }
const fromPeer = { port: 'overlay', peer: 7 }

let tested: TestedFunction
beforeEach(async () => {
  tested = await loadFunction(bridge, config, { surroundings })
  tested.addWorkload(1, A)
  tested.addWorkload(2, B)
})
afterEach(() => tested.close())

const frame = (src: string, dst: string) => eth({ src, dst }).ipv4().udp().payload('data')

/** Where a frame to `dst` from a neighbour of nobody's goes. */
const wayTo = (dst: string) => tested.send(frame(A, dst), fromA)

test('a frame to a workload of this host is delivered to it', () => {
  expect(wayTo(B)).toMatchObject({ went: 'workload', workload: 2, counted: {} })
})

test('a frame to a workload of another host goes into the tunnel to that host', () => {
  expect(wayTo(REMOTE)).toMatchObject({ went: 'port', port: 'overlay', cb: expect.arrayContaining([7, 100]) })
})

test('a frame to a function that is stitched to the network goes to it', () => {
  expect(wayTo(GATEWAY)).toMatchObject({ went: 'port', port: 2 })
})

test('a frame from another host is delivered to a workload and to a function', () => {
  expect(tested.send(frame(REMOTE, B), fromPeer)).toMatchObject({ went: 'workload', workload: 2 })
  expect(tested.send(frame(REMOTE, GATEWAY), fromPeer)).toMatchObject({ port: 2 })
})

test('a frame from a function is delivered to a workload and to another host', () => {
  expect(tested.send(frame(GATEWAY, B), { port: 2 })).toMatchObject({ went: 'workload', workload: 2 })
  expect(tested.send(frame(GATEWAY, REMOTE), { port: 2 })).toMatchObject({ port: 'overlay' })
})

test('a frame that is not changed on its way is not changed', () => {
  for (const dst of [B, REMOTE, GATEWAY]) expect(wayTo(dst).bytes).toEqual(frame(A, dst).bytes())
})

test('a frame whose destination is where it came from is filtered', () => {
  expect(wayTo(A)).toMatchObject({ went: 'nowhere', counted: { filtered: 1 } })
})

test('a frame from another host never goes back to the overlay', () => {
  expect(tested.send(frame(STRANGER, REMOTE), { port: 'overlay', peer: 8 })).toMatchObject({ went: 'nowhere', counted: { filtered: 1 } })
})

test('a frame to an unknown address is sent to all', () => {
  expect(wayTo(STRANGER)).toMatchObject({ went: 'nowhere', counted: { flooded: 1 } })
})

test('a frame to an address that has sent one goes where that came from', () => {
  tested.send(frame(STRANGER, B), fromPeer)
  expect(wayTo(STRANGER)).toMatchObject({ port: 'overlay', cb: expect.arrayContaining([7, 100]) })
})

test('an address that moves is followed at once, and counted', () => {
  tested.send(frame(STRANGER, B), fromPeer)
  expect(tested.send(frame(STRANGER, B), fromB).counted).toEqual({ moved: 1, filtered: 1 })
  expect(wayTo(STRANGER)).toMatchObject({ went: 'workload', workload: 2 })
})

test('nobody moves a declared address by claiming it', () => {
  tested.send(frame(GATEWAY, B), fromA)
  tested.send(frame(REMOTE, B), fromA)
  expect(wayTo(GATEWAY)).toMatchObject({ port: 2 })
  expect(wayTo(REMOTE)).toMatchObject({ port: 'overlay' })
})

test("a port's own address costs no place in the table of learned ones", () => {
  tested.send(frame(A, B), fromA)
  expect(tested.table('learned').entries()).toEqual([])
})

test('an address that has been silent for longer than the aging time is forgotten', () => {
  tested.send(frame(STRANGER, B), fromPeer)
  const learned = tested.table('learned').get(STRANGER) as { seen: bigint }
  tested.table('learned').put(STRANGER, { ...learned, seen: now() - 299_000_000_000n })
  expect(wayTo(STRANGER)).toMatchObject({ port: 'overlay' })
  tested.table('learned').put(STRANGER, { ...learned, seen: now() - 301_000_000_000n })
  expect(wayTo(STRANGER)).toMatchObject({ counted: { flooded: 1 } })
  expect(tested.table('learned').entries()).toEqual([])
})

test('an address that keeps sending is not forgotten', () => {
  tested.send(frame(STRANGER, B), fromPeer)
  const learned = tested.table('learned').get(STRANGER) as { seen: bigint }
  tested.table('learned').put(STRANGER, { ...learned, seen: now() - 200_000_000_000n })
  tested.send(frame(STRANGER, B), fromPeer)
  expect(now() - (tested.table('learned').get(STRANGER) as { seen: bigint }).seen).toBeLessThan(10_000_000_000n)
})

test('without learning only declared addresses are known', () => {
  tested.apply({ ...config, learning: false }, surroundings)
  tested.send(frame(STRANGER, B), fromPeer)
  expect(tested.table('learned').entries()).toEqual([])
  expect(wayTo(STRANGER)).toMatchObject({ counted: { flooded: 1 } })
})

test('a frame from a multicast address is dropped', () => {
  expect(tested.send(frame('03:00:00:00:00:01', B), fromA)).toMatchObject({ went: 'nowhere', counted: { bad_source: 1 } })
})

test('a frame to a link-local protocol is dropped, one to the address behind these is not', () => {
  expect(wayTo('01:80:c2:00:00:00')).toMatchObject({ went: 'nowhere', counted: { reserved: 1 } })
  expect(wayTo('01:80:c2:00:00:0f').counted).toEqual({ reserved: 1 })
  expect(wayTo('01:80:c2:00:00:10').counted).toMatchObject({ flooded: 1 })
})

test('a tagged frame goes as it is', () => {
  const tagged = eth({ src: A, dst: B }).vlan(5, 3).ipv4().udp()
  const outcome = tested.send(tagged, fromA)
  expect(outcome).toMatchObject({ went: 'workload', workload: 2, bytes: tagged.bytes() })
})

test('an ARP request for a known address is answered where it came from', () => {
  const request = eth({ src: A, dst: BROADCAST }).arp({ sender_mac: A, sender_ip: '10.0.0.1', target_ip: '10.0.0.3' })
  const outcome = tested.send(request, fromA)
  expect(outcome).toMatchObject({ went: 'workload', workload: 1, counted: { suppressed: 1 } })
  expect(outcome.parsed()).toMatchObject({ eth: { dst: A, src: REMOTE }, arp: { operation: 2, sender_mac: REMOTE, sender_ip: '10.0.0.3' } })
})

test('a neighbour solicitation for a known address is answered where it came from', () => {
  const request = eth({ src: REMOTE, dst: '33:33:ff:00:00:02' }).ipv6({ src: 'fd00::3', dst: 'ff02::1:ff00:2', hop_limit: 255 })
  const outcome = tested.send(request.solicitation({ target: 'fd00::2', mac: REMOTE }), fromPeer)
  expect(outcome).toMatchObject({ port: 'overlay', cb: expect.arrayContaining([7, 100]), counted: { suppressed: 1 } })
  expect(outcome.parsed()).toMatchObject({ eth: { dst: REMOTE, src: B }, advertisement: { target: 'fd00::2', mac: B, flags: 'SO' } })
})

test('the advertisement for a function says that it is a router', () => {
  const request = eth({ src: A, dst: '33:33:ff:00:00:fe' }).ipv6({ src: 'fd00::1', dst: 'ff02::1:ff00:fe', hop_limit: 255 })
  const outcome = tested.send(request.solicitation({ target: 'fd00::fe', mac: A }), fromA)
  expect(outcome.parsed()).toMatchObject({ advertisement: { target: 'fd00::fe', mac: GATEWAY, flags: 'RSO' } })
})

const questions: [string, ReturnType<typeof eth>][] = [
  ['an ARP request for an unknown address', eth({ src: A, dst: BROADCAST }).arp({ sender_mac: A, target_ip: '10.0.0.77' })],
  ['an ARP announcement', eth({ src: A, dst: BROADCAST }).arp({ sender_mac: A, sender_ip: '10.0.0.1', target_ip: '10.0.0.1' })],
  [
    "an ARP probe for the asker's own address",
    eth({ src: A, dst: BROADCAST }).arp({ sender_mac: A, sender_ip: '0.0.0.0', target_ip: '10.0.0.1' })
  ],
  ['an ARP reply', eth({ src: A, dst: BROADCAST }).arp({ operation: 2, sender_mac: A, target_ip: '10.0.0.2' })],
  [
    'a solicitation for an unknown address',
    eth({ src: A, dst: '33:33:ff:00:00:77' }).ipv6({ hop_limit: 255, dst: 'ff02::1:ff00:77' }).solicitation({ target: 'fd00::77', mac: A })
  ],
  [
    "a solicitation that looks for others with the asker's own address",
    eth({ src: A, dst: '33:33:ff:00:00:01' }).ipv6({ src: '::', hop_limit: 255, dst: 'ff02::1:ff00:1' }).solicitation({ target: 'fd00::1' })
  ],
  ['an IPv6 multicast', eth({ src: A, dst: '33:33:00:00:00:fb' }).ipv6({ dst: 'ff02::fb' }).udp({ dport: 5353 })]
]

test.each(questions)('%s is sent to all', (_, question) => {
  expect(tested.send(question, fromA)).toMatchObject({ went: 'nowhere', counted: { flooded: 1 } })
})

test('a copy that cannot be made is counted', () => {
  const gone = tested.table('workloads').get(2) as Record<string, number>
  tested.table('workloads').put(2, { ...gone, ifindex: 0x7fffffff, chain_length: 0 })
  expect(wayTo(BROADCAST)).toMatchObject({ went: 'nowhere', counted: { flooded: 1, no_room: expect.any(Number) } })
})

test('a flood has copies for thousands of ports', async () => {
  const port_ids = Array.from({ length: 4000 }, (_, n) => n + 1)
  const crowded = await loadFunction(bridge, config, {
    surroundings: { bridge: { ...surroundings.bridge, port_ids } },
    sizes: { workloads: 5000 }
  })
  crowded.addWorkload(1, A)
  const device = crowded.table('workloads').get(1) as Record<string, number>
  for (const id of port_ids) crowded.table('workloads').put(id, { ...device, ifindex: 0x7fffffff, chain_length: 0 })
  const { counted } = crowded.send(frame(A, BROADCAST), fromA)
  crowded.close()
  expect(counted.no_room).toBeGreaterThanOrEqual(3999)
})

test('without suppression every question is sent to all', () => {
  tested.apply({ ...config, suppression: false }, surroundings)
  const request = eth({ src: A, dst: BROADCAST }).arp({ sender_mac: A, sender_ip: '10.0.0.1', target_ip: '10.0.0.2' })
  expect(tested.send(request, fromA)).toMatchObject({ went: 'nowhere', counted: { flooded: 1 } })
})

test('an endpoint that is gone is no longer known', () => {
  tested.apply(config, { bridge: { ...surroundings.bridge, endpoints: endpoints.slice(1) } })
  expect(tested.table('stations').get(A)).toBeUndefined()
  expect(tested.table('neighbours').get('fd00::1')).toBeUndefined()
})

test('an endpoint that has just been found is found where it went', () => {
  tested.apply(config, surroundings)
  expect(wayTo(B)).toMatchObject({ went: 'workload', workload: 2 })
  const moved = endpoints.map(endpoint => (endpoint.mac === B ? { mac: B, addresses: endpoint.addresses, peer: 7 } : endpoint))
  tested.apply(config, { bridge: { ...surroundings.bridge, endpoints: moved } })
  expect(wayTo(B)).toMatchObject({ went: 'port', port: 'overlay' })
})

test('a new flood list is written beside the old one and then made to count', () => {
  const before = tested.table('edition').get(0) as { start: number; count: number }
  tested.apply(config, { bridge: { ...surroundings.bridge, port_ids: [1, 2, 3] } })
  const after = tested.table('edition').get(0) as { start: number; count: number }
  expect([before.count, after.count]).toEqual([4, 5])
  expect(after.start).not.toBe(before.start)
  expect(tested.table('copies').get(after.start + 2)).toEqual({ place: 'workload', target: 3 })
})
