// SPDX-License-Identifier: Apache-2.0
// Trains from a virtual machine, which the kernel keeps in pages beside the packet: what is found in them, and what in the same bytes sent one by one.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { eth, type Frame } from '../../packets/frame'
import type { Card, Received } from '../../testing/card'
import { Host } from '../../testing/host'
import type { Instance } from '../../testing/instance'
import { makeNamespace, removeNamespaces } from '../../testing/namespaces'
import { inspect } from './inspect'
import { clientHello, dnsQuery } from './testing'

const LENGTH = 64_000
const SEGMENT = 1390
const EVIL = 'evil pattern'

const FLOWS = [
  { name: 'TCP over IPv4', family: 4, tcp: true },
  { name: 'TCP over IPv6', family: 6, tcp: true },
  { name: 'UDP over IPv4', family: 4, tcp: false },
  { name: 'UDP over IPv6', family: 6, tcp: false }
] as const
type Flow = (typeof FLOWS)[number]

const place = (n: number) => ({ mac: `02:00:00:00:09:0${n}`, addresses: [`10.9.0.${n}`, `fd09::${n}`] as const })
const [SENDER, TAKER] = [place(1), place(2)]

let host: Host
let inspector: Instance
let sender: Card
let taker: Card

beforeAll(async () => {
  host = await Host.create(makeNamespace(), '127.0.0.1', 'lo')
  inspector = await host.addChained(inspect, { rules: {}, patterns: {} })
  const network = await host.addNetwork(100)
  const placed = ({ mac, addresses: [ipv4, ipv6] }: typeof SENDER) => ({ mac, addresses: [`${ipv4}/24`, `${ipv6}/64`] })
  sender = await network.addMachine('s', { ...placed(SENDER), chain: [inspector.number] })
  taker = await network.addMachine('t', placed(TAKER))
})
afterAll(() => {
  host?.close()
  removeNamespaces()
})

let before: Buffer
beforeEach(() => {
  before = inspector.rawCounters()
})

/** What has been counted since it was asked last. */
function moved(): Record<string, number> {
  const counted = inspector.countedSince(before)
  before = inspector.rawCounters()
  return counted
}

/** One rule, which looks for one pattern in the first `depth` bytes. */
function lookFor(pattern: Record<string, unknown>, { action = 'count', depth = 65_535 } = {}): void {
  inspector.apply({ rules: { any: { action } }, patterns: { it: { rule: 'any', ...pattern } }, depth })
}

function packet({ family, tcp }: Flow, payload: Uint8Array, seq = 2): Frame {
  const [from, to] = [SENDER.addresses, TAKER.addresses]
  const frame = eth({ src: SENDER.mac, dst: TAKER.mac })
  const ip = family === 4 ? frame.ipv4({ src: from[0], dst: to[0], df: true }) : frame.ipv6({ src: from[1], dst: to[1] })
  return (tcp ? ip.tcp({ seq, ack: 101, flags: 'A' }) : ip.udp()).payload(payload)
}

const holding = (at: number, length = LENGTH) => Buffer.alloc(length, '-').fill(EVIL, at, at + EVIL.length)
const bytesOf = (packets: Received[]) => packets.reduce((sum, { payload }) => sum + payload.length, 0)

/** How many packets were found to hold the pattern, of those that arrive as `length` bytes. */
async function found(length: number): Promise<number> {
  await taker.received(packets => bytesOf(packets) >= length)
  return moved().matched ?? 0
}

describe.each(FLOWS.filter(({ tcp }) => tcp))('a train of $name', flow => {
  // At its beginning and its end, across the first and a later border of segments, and of the pages in which the kernel keeps it.
  test.each([0, SEGMENT - 5, 30 * SEGMENT - 5, 4090, 32_760, LENGTH - EVIL.length])('is searched at %i', async at => {
    lookFor({ text: EVIL })
    sender.send(packet(flow, holding(at)), SEGMENT)
    expect(await found(LENGTH)).toBe(1)
  })

  test('is not searched below the depth, which counts from its beginning', async () => {
    lookFor({ text: EVIL }, { depth: 1500 })
    sender.send(packet(flow, holding(SEGMENT + 200)), SEGMENT)
    expect(await found(LENGTH)).toBe(0)
    sender.send(packet(flow, holding(1500 - EVIL.length)), SEGMENT)
    expect(await found(LENGTH)).toBe(1)
  })
})

describe.each(FLOWS.filter(({ tcp }) => !tcp))('a train of $name', flow => {
  test.each([0, 4090, 30 * SEGMENT, 32_760, LENGTH - EVIL.length])('is searched at %i', async at => {
    lookFor({ text: EVIL })
    sender.send(packet(flow, holding(at)), SEGMENT)
    expect(await found(LENGTH)).toBe(1)
  })

  test('is as many payloads as datagrams, each with a depth and a beginning of its own', async () => {
    lookFor({ text: EVIL, offset: 10, within: 20 })
    for (const [from, times] of [
      [9, 0],
      [10, 1],
      [30 - EVIL.length, 1],
      [31 - EVIL.length, 0]
    ] as const) {
      sender.send(packet(flow, holding(30 * SEGMENT + from)), SEGMENT)
      expect([from, await found(LENGTH)]).toEqual([from, times])
    }
    lookFor({ text: EVIL })
    sender.send(packet(flow, holding(30 * SEGMENT - 5)), SEGMENT)
    expect(await found(LENGTH)).toBe(0)
  })

  test('gives away the names in all its DNS queries', async () => {
    lookFor({ dns_name: 'bank.example' })
    const queries = ['www.good.example', 'www.fine.example', 'www.bank.example'].map(name => dnsQuery(name))
    sender.send(packet(flow, Buffer.concat(queries)), queries[0]!.length)
    expect(await found(3 * queries[0]!.length)).toBe(1)
  })
})

describe.each(FLOWS)('a train of $name with a pattern', flow => {
  test('is dropped whole', async () => {
    lookFor({ text: EVIL }, { action: 'drop' })
    sender.send(packet(flow, holding(40_000)), SEGMENT)
    sender.send(packet(flow, Buffer.from('good')))
    const arrived = await taker.received(packets => packets.length > 0)
    expect(bytesOf(arrived)).toBe(4)
    expect(moved()).toEqual({ matched: 1, dropped: 1 })
  })
})

describe.each(FLOWS.filter(({ tcp }) => tcp))('segments of $name', flow => {
  const halves = (bytes: Buffer) => [bytes.subarray(0, SEGMENT), bytes.subarray(SEGMENT)]

  test('that come one by one are searched one by one: what lies across two of them is not found', async () => {
    lookFor({ text: EVIL })
    for (const at of [SEGMENT - 5, SEGMENT]) {
      const [first, second] = halves(holding(at, 2 * SEGMENT)) as [Buffer, Buffer]
      sender.send(packet(flow, first))
      sender.send(packet(flow, second, 2 + SEGMENT))
      expect(await found(2 * SEGMENT)).toBe(at === SEGMENT ? 1 : 0)
    }
  })

  test('give away the name in a ClientHello that needs two of them as one train only', async () => {
    lookFor({ tls_name: 'bank.example' })
    const hello = clientHello('www.bank.example', { before: 1500 })
    sender.send(packet(flow, hello), SEGMENT)
    expect(await found(hello.length)).toBe(1)
    const [first, second] = halves(hello) as [Buffer, Buffer]
    sender.send(packet(flow, first))
    sender.send(packet(flow, second, 2 + SEGMENT))
    expect(await found(hello.length)).toBe(0)
  })
})
