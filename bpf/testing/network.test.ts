// SPDX-License-Identifier: Apache-2.0
// One network on two hosts, on real devices: delivery, copies for all, tunnels. Nobody has said where the addresses are.

import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals'
import { eth, type Frame } from '../packets/frame'
import { parse } from '../packets/parse'
import type { Host } from './host'
import { forwarder } from './kinds'
import { removeNamespaces } from './namespaces'
import type { Network } from './network'
import { twoHosts, UPLINK } from './underlay'
import { type Captured, Wire } from './wire'
import type { Workload } from './workload'

let hosts: [Host, Host]
let near: Network
let far: Network
let a: Workload
let b: Workload
/** Behind a chain of two functions. */
let chained: Workload
let c: Workload
/** What the kernel's vxlan device of the near host sends to the far one. */
let uplink: Wire
const injectors = new Map<Workload, Wire>()

const STRANGER = '02:00:00:00:00:99'
const BROADCAST = 'ff:ff:ff:ff:ff:ff'
const mac = (n: number) => `02:00:00:00:01:0${n}`
const place = (n: number) => ({ mac: mac(n), addresses: [`10.1.0.${n}/24`, `fd01::${n}/64`] })

beforeAll(async () => {
  hosts = await twoHosts()
  near = await hosts[0].addNetwork(100)
  far = await hosts[1].addNetwork(100)
  a = await near.addWorkload('a', place(1))
  b = await near.addWorkload('b', place(2))
  const chain = [await hosts[0].addChained(forwarder, {}), await hosts[0].addChained(forwarder, {})]
  chained = await near.addWorkload('d', { ...place(4), chain: chain.map(({ number }) => number) })
  c = await far.addWorkload('c', place(3))
  near.span(hosts[1].vtep)
  far.span(hosts[0].vtep)
  uplink = await Wire.at(hosts[1].netns, hosts[1].net.link(UPLINK)!.ifindex)
  for (const [host, workload] of [
    [hosts[0], a],
    [hosts[0], chained],
    [hosts[1], c]
  ] as const)
    injectors.set(workload, await Wire.at(host.netns, workload.hostIfindex))
}, 60_000)
afterAll(() => {
  for (const wire of [uplink, ...injectors.values()]) wire?.close()
  for (const host of hosts ?? []) host.close()
  removeNamespaces()
})

const all = () => ({ a, b, chained, c })

/** Forgets what has come in so far. */
beforeEach(async () => {
  for (const { wire } of Object.values(all())) await wire.captured()
})

/** Sends the frame as `from` would, and tells who gets it, and how often. */
async function receivers(from: Workload, frame: Frame): Promise<Record<string, number>> {
  const bytes = frame.bytes()
  injectors.get(from)!.inject(bytes)
  const copies = await Promise.all(Object.values(all()).map(async ({ wire }) => count(await wire.captured(), bytes)))
  return Object.fromEntries(
    Object.keys(all())
      .map((name, n) => [name, copies[n]!] as const)
      .filter(([, got]) => got > 0)
  )
}

const count = (frames: Captured[], bytes: Buffer) => frames.filter(captured => captured.bytes.equals(bytes)).length

const unknown = (src: string) => eth({ src, dst: STRANGER }).ipv4().udp().payload('for all')

test('a frame to an unknown address goes to every port but its own', async () => {
  expect(await receivers(a, unknown(a.mac))).toEqual({ b: 1, chained: 1, c: 1 })
  expect(await receivers(chained, unknown(chained.mac))).toEqual({ a: 1, b: 1, c: 1 })
})

test('a broadcast from another host goes to every workload, and not back into the overlay', async () => {
  await uplink.captured()
  expect(await receivers(c, eth({ src: c.mac, dst: BROADCAST }).ipv4().udp().payload('for all'))).toEqual({ a: 1, b: 1, chained: 1 })
  expect((await uplink.captured()).filter(({ bytes }) => parse(bytes).vxlan)).toEqual([])
})

test('a frame that is not IP crosses hosts, known or unknown', async () => {
  for (const dst of [STRANGER, c.mac])
    expect(await receivers(a, eth({ src: a.mac, dst, type: 0x88b5 }).payload('some other protocol'))).toMatchObject({ c: 1 })
})

test('a tagged frame crosses hosts as it is', async () => {
  expect(await receivers(a, eth({ src: a.mac, dst: BROADCAST }).vlan(7, 5).ipv4().udp().payload('tagged'))).toEqual({
    b: 1,
    chained: 1,
    c: 1
  })
})

test('workloads of one host reach each other by IPv4 and IPv6', () => {
  for (const to of [b, chained]) for (const ip of to.ips) expect(a.ping(ip)).toBe(2)
})

test('workloads of two hosts reach each other by IPv4 and IPv6', () => {
  for (const [from, to] of [
    [a, c],
    [c, b],
    [c, chained],
    [chained, c]
  ] as const)
    for (const ip of to.ips) expect(from.ping(ip)).toBe(2)
})

test('a fragmented packet crosses hosts', () => {
  for (const ip of c.ips) expect(a.ping(ip, { options: ['-s', '5000'] })).toBe(2)
})

test('an address that moves to another host is followed', async () => {
  const roaming = eth({ src: STRANGER, dst: c.mac }).ipv4().udp().payload('here I am')
  injectors.get(a)!.inject(roaming)
  await receivers(c, unknown(c.mac))
  expect(await receivers(c, unknown(c.mac))).toEqual({ a: 1 })
  injectors.get(c)!.inject(eth({ src: STRANGER, dst: a.mac }).ipv4().udp().payload('now here'))
  expect(await receivers(a, unknown(a.mac))).toEqual({ c: 1 })
})
