// SPDX-License-Identifier: Apache-2.0
// How packets get from function to function, and what becomes of those that cannot go on.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { eth } from '../packets/frame'
import { loadFunction, type TestedFunction } from '../testing/harness'
import { Host } from '../testing/host'
import { forwarder } from '../testing/kinds'
import { makeNamespace, removeNamespaces } from '../testing/namespaces'
import * as graph from './graph'

const frame = eth().ipv4().udp().payload('data')

test('the numbers that loaders know are those of graph.h', () => {
  const header = readFileSync(join(__dirname, 'graph.h'), 'utf8')
  const defined = (name: string) => new RegExp(`^#define ${name}\\s+(\\d+)`, 'm').exec(header)?.[1]
  const { INSTANCES_MAX, INSTANCE_PORT, INSTANCE_UPLINK, INSTANCE_OVERLAY, INSTANCE_REPLICA, INSTANCE_FIRST, INSIDE, OUTSIDE, LIKELY } =
    graph
  const numbers = {
    INSTANCES_MAX,
    INSTANCE_PORT,
    INSTANCE_UPLINK,
    INSTANCE_OVERLAY,
    INSTANCE_REPLICA,
    INSTANCE_FIRST,
    INSIDE,
    OUTSIDE,
    LIKELY
  }
  expect(Object.fromEntries(Object.keys(numbers).map(name => [name, Number(defined(name))]))).toEqual(numbers)
  expect(header).toContain(`#define INSTANCE_MARK 0x${graph.INSTANCE_MARK.toString(16)}`)
  expect(readFileSync(join(__dirname, 'tick.h'), 'utf8')).toContain(`#define SECOND_MARK 0x${graph.SECOND_MARK.toString(16)}`)
  expect(1 << Number(defined('PORT_BITS'))).toBe(graph.PORTS_PER_INSTANCE)
})

describe('a function alone', () => {
  let tested: TestedFunction
  beforeAll(async () => {
    tested = await loadFunction(forwarder)
  })
  afterAll(() => tested.close())

  const instance = graph.INSTANCE_FIRST
  const stitch = (attachment: Record<string, string | number>) =>
    tested.table('stitches').put(graph.slotOf(instance, graph.OUTSIDE), { target: 0, port: 0, ...attachment } as never)
  /** What becomes of a packet that leaves by OUTSIDE. */
  const leave = (arrival = {}) => tested.send(frame, { port: 'inside', ...arrival })

  test('a packet that leaves by a port comes to the function that is stitched to it', () => {
    expect(leave()).toMatchObject({ went: 'port', port: 'outside', counted: {} })
    expect(tested.send(frame, { port: 'outside' })).toMatchObject({ went: 'port', port: 'inside', counted: {} })
  })

  test('a packet that leaves by a port with nothing stitched to it is dropped and counted', () => {
    stitch({ kind: 'ATTACHED_NOTHING' })
    expect(leave()).toMatchObject({ went: 'nowhere', counted: { unstitched: 1 } })
  })

  test('a packet to a function that is not loaded is dropped and counted', () => {
    tested.addWorkload(6)
    const workload = tested.table('workloads').get(6) as { chain: number[] }
    tested.table('workloads').put(6, { ...workload, chain: [4000] })
    stitch({ kind: 'ATTACHED_WORKLOAD', target: 6 })
    expect(leave()).toMatchObject({ went: 'nowhere', counted: { missing: 1 } })
  })

  test('a packet to a workload port that does not exist is dropped and counted', () => {
    stitch({ kind: 'ATTACHED_WORKLOAD', target: 99 })
    expect(leave()).toMatchObject({ went: 'nowhere', counted: { no_port: 1 } })
  })

  test('a packet to a workload port goes there, and to a device into the device', () => {
    tested.addWorkload(5)
    stitch({ kind: 'ATTACHED_WORKLOAD', target: 5 })
    expect(leave()).toMatchObject({ went: 'workload', workload: 5 })
    stitch({ kind: 'ATTACHED_DEVICE', target: 1 })
    expect(leave({ mark: 7 })).toMatchObject({ went: 'device', mark: 0 })
  })

  test('a packet that has passed as many functions as one may is dropped and counted', () => {
    stitch({ kind: 'ATTACHED_FUNCTION', target: instance + 1, port: graph.OUTSIDE })
    expect(leave({ hops: 31 })).toMatchObject({ went: 'port' })
    expect(leave({ hops: 32 })).toMatchObject({ went: 'nowhere', counted: { loop: 1 } })
  })
})

describe('functions of one host', () => {
  let host: Host
  beforeAll(async () => {
    host = await Host.create(makeNamespace(), '127.0.0.1', 'lo')
  })
  afterAll(() => {
    host?.close()
    removeNamespaces()
  })

  test('a packet passes twenty-six functions in a row', async () => {
    const [left, right] = [await host.addNetwork(1), await host.addNetwork(2)]
    const a = await left.addWorkload('a', { mac: '02:00:00:00:03:01', addresses: ['10.3.0.1/24', 'fd03::1/64'] })
    const b = await right.addWorkload('b', { mac: '02:00:00:00:03:02', addresses: ['10.3.0.2/24', 'fd03::2/64'] })
    const functions = await Promise.all(Array.from({ length: 24 }, () => host.addInstance(forwarder, {})))
    left.stitch(functions[0]!, graph.INSIDE)
    right.stitch(functions.at(-1)!, graph.OUTSIDE)
    for (const [n, next] of functions.slice(1).entries()) host.connect([functions[n]!, graph.OUTSIDE], [next, graph.INSIDE])
    for (const ip of b.ips) expect(a.ping(ip)).toBe(2)
  })

  test('a loop ends in a counted drop', async () => {
    const [one, two] = [await host.addInstance(forwarder, {}), await host.addInstance(forwarder, {})]
    const network = await host.addNetwork(3)
    network.stitch(one, graph.INSIDE)
    host.connect([one, graph.OUTSIDE], [two, graph.INSIDE])
    host.stitch(two.number, graph.OUTSIDE, { target: one.number, port: graph.INSIDE, kind: 'ATTACHED_FUNCTION' })
    const a = await network.addWorkload('c', { mac: '02:00:00:00:03:03', addresses: ['10.3.0.3/24'] })
    a.ping('10.3.0.99', { count: 1 })
    expect(one.counters().loop! + two.counters().loop!).toBeGreaterThan(0)
  })

  test('a stitch that changes a thousand times under load loses nothing', async () => {
    const [left, right] = [await host.addNetwork(4), await host.addNetwork(5)]
    const a = await left.addWorkload('e', { mac: '02:00:00:00:03:05', addresses: ['10.3.0.5/24'] })
    const b = await right.addWorkload('f', { mac: '02:00:00:00:03:06', addresses: ['10.3.0.6/24'] })
    const [one, two] = [await host.addInstance(forwarder, {}), await host.addInstance(forwarder, {})]
    const [near, far] = [left.stitch(one, graph.INSIDE), right.stitch(one, graph.OUTSIDE)]
    host.connect([two, graph.INSIDE], [left.bridge, near])
    host.connect([two, graph.OUTSIDE], [right.bridge, far])
    expect(a.ping(b.ips[0]!)).toBe(2)
    const pinging = a.start('ping', '-q', '-c', '2000', '-i', '0.001', b.ips[0]!)
    for (let n = 0; n < 1000; n++) {
      const way = n % 2 ? one : two
      host.stitch(left.bridge.number, near, { target: way.number, port: graph.INSIDE, kind: 'ATTACHED_FUNCTION' })
      host.stitch(right.bridge.number, far, { target: way.number, port: graph.OUTSIDE, kind: 'ATTACHED_FUNCTION' })
      if (n % 10 === 0) await sleep(1)
    }
    expect(await pinging).toContain('2000 received')
  })
})
