// SPDX-License-Identifier: Apache-2.0
// A mirror on real devices: copies reach a collector in another network, on another host, and the traffic that is copied does not suffer.

import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals'
import { parse } from '../../packets/parse'
import type { Host } from '../../testing/host'
import type { Instance } from '../../testing/instance'
import { runIn } from '../../testing/namespaces'
import { bulk } from '../../testing/traffic'
import { twoHosts, UPLINK } from '../../testing/underlay'
import type { Workload } from '../../testing/workload'
import { mirror } from './mirror'

const COPY = 2

let hosts: [Host, Host]
let tap: Instance
let watched: Workload
let other: Workload
let collector: Workload
const place = (n: number) => ({ mac: `02:00:00:00:04:0${n}`, addresses: [`10.4.0.${n}/24`, `fd04::${n}/64`] })

beforeAll(async () => {
  hosts = await twoHosts()
  tap = await hosts[0].addChained(mirror, {})
  const network = await hosts[0].addNetwork(400)
  const monitoring = [await hosts[0].addNetwork(401, { learning: false }), await hosts[1].addNetwork(401, { learning: false })] as const
  watched = await network.addWorkload('ma', { ...place(1), chain: [tap.number] })
  other = await network.addWorkload('mb', { ...place(2) })
  collector = await monitoring[1].addWorkload('mc', { mac: '02:00:00:00:04:0c', addresses: [] })
  monitoring[0].span(hosts[1].vtep)
  monitoring[1].span(hosts[0].vtep)
  monitoring[0].stitch(tap, COPY)
}, 60_000)
afterAll(() => {
  for (const host of hosts ?? []) host.close()
})
beforeEach(async () => {
  await collector.wire.captured()
})

/** What the collector has got of pings: their types, in order. */
async function echoes(): Promise<number[]> {
  const frames = (await collector.wire.captured()).map(({ bytes }) => parse(bytes))
  return frames.flatMap(({ icmp, icmpv6 }) => icmp?.type ?? icmpv6?.type ?? []).filter(type => [0, 8, 128, 129].includes(type))
}

test('a collector on another host gets both directions, in both IP versions, once', async () => {
  tap.apply({})
  expect(watched.ping(other.ips[0]!, { count: 2 })).toBe(2)
  expect(await echoes()).toEqual([8, 0, 8, 0])
  expect(watched.ping(other.ips[1]!, { count: 1 })).toBe(1)
  expect(await echoes()).toEqual([128, 129])
})

test('it gets what is chosen only', async () => {
  tap.apply({ direction: 'ingress', protocol: 'icmp' })
  expect(watched.ping(other.ips[0]!, { count: 2 })).toBe(2)
  expect(watched.ping(other.ips[1]!, { count: 2 })).toBe(2)
  expect(await echoes()).toEqual([0, 0])
})

test('it gets nothing where the mirror is off', async () => {
  tap.apply({ enabled: false })
  expect(watched.ping(other.ips[0]!, { count: 2 })).toBe(2)
  expect(await collector.wire.captured()).toEqual([])
})

/** A copy is sent once and never again: where a queue on its way is full it is lost, while TCP sends the packet itself anew. */
test('bulk TCP that is copied arrives whole, and most of it reaches the collector', async () => {
  tap.apply({ protocol: 'tcp', direction: 'egress' })
  expect(await bulk(watched.name, other.name, other.ips[0]!, { megabytes: 4 })).toBeGreaterThan(0)
  const bytes = (await collector.wire.captured()).reduce((sum, { length }) => sum + length, 0)
  expect(bytes).toBeGreaterThan(2 << 20)
})

test('where no device sums packets up or cuts trains, every copy arrives as packets with right checksums', async () => {
  tap.apply({})
  runIn(hosts[0].name, 'ethtool', '-K', UPLINK, 'tx', 'off', 'gso', 'off')
  await collector.wire.captured()
  for (const address of other.ips) {
    expect(watched.ping(address, { count: 1 })).toBe(1)
    for (const options of [{}, { datagrams: 999 }]) await bulk(watched.name, other.name, address, { megabytes: 1, ...options })
  }
  const copies = await collector.wire.captured()
  expect(copies.filter(({ gso_size, length }) => gso_size > 0 || length > 1464)).toEqual([])
  const read = copies.map(({ bytes }) => parse(bytes))
  for (const { mac } of [watched, other])
    for (const header of ['icmp', 'icmpv6', 'tcp', 'udp'] as const)
      expect(read.some(copy => copy[header] && copy.eth.src === mac)).toBe(true)
})
