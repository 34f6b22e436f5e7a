// SPDX-License-Identifier: Apache-2.0
// VLANs: trunk ports of workloads and segments behind devices of the host. Who gets a frame, with which tag, and what is left to the host.

import { native } from '@inkev/native'
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals'
import { eth, type Frame } from '../packets/frame'
import { Host } from '../testing/host'
import { configure, makeNamespace, removeNamespaces } from '../testing/namespaces'
import type { Network } from '../testing/network'
import { type Captured, Wire } from '../testing/wire'
import type { Workload } from '../testing/workload'

const STATION = '02:00:00:00:07:99'
const UNKNOWN = '02:00:00:00:07:98'
const ALL = 'ff:ff:ff:ff:ff:ff'
const mac = (n: number) => `02:00:00:00:07:0${n}`

let host: Host
let red: Network
let blue: Network
/** In red. */
let a: Workload
/** In red without tag, in blue by tag 100. */
let trunk: Workload
/** In blue. */
let b: Workload
/** As `trunk`, and in each network by an address of its own only. */
let pinned: Workload
/** The device with red behind tag 42: what is left to the host there; and what leaves by it. */
let device: Wire
let segment: Wire
const injectors = new Map<Workload, Wire>()

beforeAll(async () => {
  const [near, far] = [makeNamespace(), makeNamespace()]
  configure(near, `link add eth1 type veth peer name eth1 netns ${far}`, 'link set eth1 up')
  configure(far, 'link set eth1 up')
  host = await Host.create(near, '127.0.0.1', 'lo')
  host.net.sysctl('ipv6/conf/eth1/disable_ipv6', '1')
  red = await host.addNetwork(1, { suppression: false })
  blue = await host.addNetwork(2, { suppression: false })
  a = await red.addWorkload('a', { mac: mac(1), addresses: ['10.7.0.1/24'] })
  trunk = await red.addWorkload('t', { mac: mac(2), addresses: ['10.7.0.2/24'], trunk: true })
  b = await blue.addWorkload('b', { mac: mac(3), addresses: ['10.7.0.3/24'] })
  blue.addTag(trunk, 100)
  pinned = await red.addWorkload('p', { mac: mac(4), addresses: ['10.7.0.4/24'], trunk: true, pinned: true })
  blue.addTag(pinned, 100, ['10.8.0.4'])
  const ifindex = host.net.link('eth1')!.ifindex
  red.addSegment(ifindex, 42)
  host.attach(host.program('vlan', 'segment'), ifindex)
  device = await Wire.at(host.netns, ifindex)
  const netns = native.net.openNetns(`/run/netns/${far}`)
  const net = native.net.open(netns)
  segment = await Wire.at(netns, net.link('eth1')!.ifindex)
  net.close()
  for (const workload of [a, trunk, b, pinned]) injectors.set(workload, await Wire.at(host.netns, workload.hostIfindex))
}, 60_000)
afterAll(() => {
  for (const wire of [device, segment, ...injectors.values()]) wire?.close()
  host?.close()
  removeNamespaces()
})

const places = () => ({ a: a.wire, trunk: trunk.wire, b: b.wire, host: device, segment })
beforeEach(async () => {
  await Promise.all(Object.values(places()).map(wire => wire.captured()))
})

const text = (marker: string, captured: Captured[]) => captured.filter(({ bytes }) => bytes.includes(marker))
const tagOf = ({ bytes }: Captured) => (bytes.readUInt16BE(12) === 0x8100 ? bytes.readUInt16BE(14) & 0xfff : 0)

let markers = 0
/** Who gets what comes in at a wire, and the tags by which it comes. */
async function receivers(at: Wire, make: (marker: string) => Frame): Promise<Record<string, number[]>> {
  const marker = `marker ${++markers}.`
  at.inject(make(marker))
  const got = await Promise.all(
    Object.entries(places()).map(async ([name, wire]) => [name, text(marker, await wire.captured()).map(tagOf)] as const)
  )
  return Object.fromEntries(got.filter(([, tags]) => tags.length > 0))
}

const frame = (src: string, dst: string, tag?: number) => (marker: string) => {
  const start = eth({ src, dst })
  return (tag === undefined ? start : start.vlan(tag)).ipv4().udp().payload(marker)
}
const from = (workload: Workload) => injectors.get(workload)!
const refused = () => host.counters('vlan').no_port!

test('a frame of the segment to a declared address comes to its workload without tag, and not to the host', async () => {
  expect(await receivers(device, frame(STATION, a.mac, 42))).toEqual({ a: [0] })
})

test('a broadcast of the segment comes to the network once, and stays with the host as it is', async () => {
  expect(await receivers(device, frame(STATION, ALL, 42))).toEqual({ a: [0], trunk: [0], host: [42] })
})

test.each([
  ['without tag', () => frame(STATION, a.mac)],
  ['with another tag', () => frame(STATION, a.mac, 43)],
  ['to the device itself', () => frame(STATION, host.net.link('eth1')!.mac, 42)],
  ['to the next bridge', () => frame(STATION, '01:80:c2:00:00:0e', 42)],
  ['with a second tag', () => (marker: string) => eth({ src: STATION, dst: a.mac }).vlan(42).vlan(7).ipv4().udp().payload(marker)]
])('a frame of the device %s is the host’s alone', async (_, make) => {
  expect(Object.keys(await receivers(device, make()))).toEqual(['host'])
})

test('what a workload sends to all, or to a station of the segment, leaves there with its tag', async () => {
  expect(await receivers(from(a), frame(a.mac, ALL))).toEqual({ trunk: [0], segment: [42] })
  await receivers(device, frame(STATION, ALL, 42))
  expect(await receivers(from(a), frame(a.mac, STATION))).toEqual({ segment: [42] })
})

test('a tagged frame in a network leaves neither by a segment nor by a trunk port, and is counted', async () => {
  const before = refused()
  expect(await receivers(from(a), frame(a.mac, ALL, 43))).toEqual({})
  expect(refused() - before).toBe(3)
})

test('a trunk port joins each network by its tag', async () => {
  expect(await receivers(from(trunk), frame(trunk.mac, b.mac, 100))).toEqual({ b: [0] })
  expect(await receivers(from(b), frame(b.mac, trunk.mac))).toEqual({ trunk: [100] })
  expect(await receivers(from(b), frame(b.mac, ALL))).toEqual({ trunk: [100] })
  expect(await receivers(from(trunk), frame(trunk.mac, a.mac))).toEqual({ a: [0] })
  expect(await receivers(from(a), frame(a.mac, trunk.mac))).toEqual({ trunk: [0] })
})

test.each([
  ['its address there', 'a', undefined, '10.7.0.4', ['a']],
  ['its address in the other network', 'a', undefined, '10.8.0.4', []],
  ['its address there', 'b', 100, '10.8.0.4', ['b']],
  ['its address in the other network', 'b', 100, '10.7.0.4', []]
] as const)('what a pinned trunk port says by %s goes to %s with tag %s', async (_, to, tag, src, expected) => {
  const before = host.counters('vlan').spoofed!
  const start = eth({ src: pinned.mac, dst: { a, b }[to].mac })
  const got = await receivers(from(pinned), marker => (tag ? start.vlan(tag) : start).ipv4({ src }).udp().payload(marker))
  expect(Object.keys(got)).toEqual(expected)
  expect(host.counters('vlan').spoofed! - before).toBe(1 - expected.length)
})

test('a frame of the segment with the address of somebody who lives here is the host’s alone, and counted', async () => {
  const before = host.counters('vlan').spoofed!
  for (const dst of [ALL, a.mac]) expect(Object.keys(await receivers(device, frame(trunk.mac, dst, 42)))).toEqual(['host'])
  expect(host.counters('vlan').spoofed! - before).toBe(2)
})

test('a frame that says a priority only belongs to the network without tag', async () => {
  expect(await receivers(from(trunk), frame(trunk.mac, a.mac, 0))).toEqual({ a: [0] })
})

test.each([
  ['an unknown tag', () => frame(trunk.mac, UNKNOWN, 101)],
  ['two tags', () => (marker: string) => eth({ src: trunk.mac, dst: b.mac }).vlan(100).vlan(7).ipv4().udp().payload(marker)]
])('a frame from a trunk port with %s goes nowhere, and is counted', async (_, make) => {
  const before = refused()
  expect(await receivers(from(trunk), make())).toEqual({})
  expect(refused() - before).toBe(1)
})
