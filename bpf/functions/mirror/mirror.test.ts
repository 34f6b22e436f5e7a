// SPDX-License-Identifier: Apache-2.0
// The mirror packet by packet: all pass unchanged, and those are copied that are chosen. Here copies lead nowhere; live.test.ts sees them arrive.

import { afterEach, describe, expect, test } from '@jest/globals'
import { validateConfig } from '../../catalogue/validate'
import { SNAP_LENGTH_MAX } from '../../core/capture'
import { eth, type Frame } from '../../packets/frame'
import { readCaptures } from '../../testing/captures'
import { loadFunction, type TestedFunction } from '../../testing/harness'
import { mirror } from './mirror'

let tested: TestedFunction
afterEach(() => tested?.close())

async function load(config: Record<string, unknown>): Promise<TestedFunction> {
  tested = await loadFunction(mirror, config)
  return tested
}

/** Whether a copy was sent off of a packet, which must have passed as it was. */
function copies(frame: Frame, port: 'inside' | 'outside'): boolean {
  const outcome = tested.send(frame, { port })
  expect(outcome).toMatchObject({ went: 'port', port: port === 'inside' ? 'outside' : 'inside' })
  expect(outcome.bytes.equals(frame.bytes())).toBe(true)
  return outcome.counted.chosen === 1
}

test('all packets pass and are copied, where nothing else is said', async () => {
  await load({})
  for (const frame of [eth().arp(), eth().ipv4().tcp(), eth().ipv6().udp(), eth().vlan(3).ipv4().udp()])
    for (const port of ['inside', 'outside'] as const) expect(copies(frame, port)).toBe(true)
})

test('none is copied where it is off, or where the port copy leads nowhere', async () => {
  await load({ enabled: false })
  expect(copies(eth().ipv4().tcp(), 'inside')).toBe(false)
  tested.apply({})
  expect(copies(eth().ipv4().tcp(), 'inside')).toBe(true)
  tested.table('stitches').put((16 << 8) | 2, { target: 0, port: 0, kind: 'ATTACHED_NOTHING' })
  expect(copies(eth().ipv4().tcp(), 'inside')).toBe(false)
})

test('one direction alone is copied', async () => {
  await load({ direction: 'ingress' })
  expect([copies(eth().arp(), 'inside'), copies(eth().arp(), 'outside')]).toEqual([false, true])
  tested.apply({ direction: 'egress' })
  expect([copies(eth().arp(), 'inside'), copies(eth().arp(), 'outside')]).toEqual([true, false])
})

test('a sample has about as many as was asked for', async () => {
  await load({ one_in: 4 })
  let copied = 0
  for (let n = 0; n < 800; n++) copied += Number(copies(eth().ipv4().udp(), 'inside'))
  expect(copied).toBeGreaterThan(120)
  expect(copied).toBeLessThan(280)
})

test('a prefix of all IPv6 chooses no IPv4, and one of all IPv4 no IPv6', async () => {
  await load({ local: '::/0' })
  expect([copies(eth().ipv4().udp(), 'inside'), copies(eth().ipv6().udp(), 'inside')]).toEqual([false, true])
  tested.apply({ remote: '0.0.0.0/0' })
  expect([copies(eth().ipv4().udp(), 'inside'), copies(eth().ipv6().udp(), 'inside')]).toEqual([true, false])
})

test('a packet that cannot be read passes, and is copied only where nothing is asked of it', async () => {
  await load({ protocol: 'tcp' })
  const broken = eth().ipv4({ ihl: 4 }).tcp()
  expect(copies(broken, 'inside')).toBe(false)
  tested.apply({})
  expect(copies(broken, 'inside')).toBe(true)
})

test('what comes in by the port copy is dropped', async () => {
  await load({})
  expect(tested.send(eth().arp(), { port: 'copy' })).toMatchObject({ went: 'nowhere', counted: { came_back: 1 } })
})

describe('a capture', () => {
  const SNAP = 60

  test('costs nothing and counts nothing while nobody listens', async () => {
    await load({ to: 'capture' })
    expect(copies(eth().ipv4().tcp(), 'inside')).toBe(false)
  })

  test('has the packets that are chosen, with their length, port and time', async () => {
    await load({ to: 'capture', protocol: 'tcp', snap_length: SNAP })
    const capture = readCaptures(tested)
    const started = process.hrtime.bigint()
    const [short, long] = [eth().ipv4().tcp(), eth().ipv6().tcp().payload('x'.repeat(900))]
    expect([copies(short, 'inside'), copies(eth().ipv4().udp(), 'inside'), copies(long, 'outside')]).toEqual([true, false, true])
    const packets = await capture.packets(2)
    expect(packets.map(({ length, port }) => [length, port])).toEqual([
      [short.bytes().length, 0],
      [long.bytes().length, 1]
    ])
    expect(packets.map(({ bytes }) => bytes)).toEqual([short, long].map(frame => frame.bytes().subarray(0, SNAP)))
    expect(packets.every(({ time }) => time >= started && time <= process.hrtime.bigint())).toBe(true)
  })

  test('has packets of every length, whole', async () => {
    await load({ to: 'capture' })
    const capture = readCaptures(tested)
    const frames = [0, 50, 62, 63, 200, 464, 1000, 2000, 3000].map(length => eth().ipv4().udp().payload('x'.repeat(length)))
    for (const frame of frames) copies(frame, 'inside')
    expect((await capture.packets(frames.length)).map(({ bytes }) => bytes)).toEqual(frames.map(frame => frame.bytes()))
  })

  test('has a train of segments as one packet, of the length of them all', async () => {
    await load({ to: 'capture', snap_length: 1000 })
    const capture = readCaptures(tested)
    const train = eth().ipv4().tcp({ flags: 'A' }).payload(2001)
    expect(tested.send(train, { port: 'inside', gso_size: 200 }).counted).toEqual({ chosen: 1 })
    const [packet] = await capture.packets(1)
    expect(packet).toMatchObject({ length: train.bytes().length, bytes: train.bytes().subarray(0, 1000) })
  })

  test('that is full loses packets, and says of which port; what is watched passes', async () => {
    await load({ to: 'capture' })
    const capture = readCaptures(tested, { read: false })
    const frame = eth().ipv4().udp().payload('x'.repeat(2000))
    let outcome = tested.send(frame, { port: 'outside' })
    while (!outcome.counted.no_room) outcome = tested.send(frame, { port: 'outside' })
    expect(outcome).toMatchObject({ went: 'port', port: 'inside', counted: { chosen: 1, no_room: 1 } })
    expect(capture.lost().slice(0, 2)).toEqual([0n, 1n])
  })
})

describe('at plan', () => {
  test.each([
    ['ends of two IP versions', { local: '10.0.0.0/8', remote: '::/0' }, 'remote'],
    ['a port of no protocol', { port: 80 }, 'port'],
    ['a port of ICMP', { protocol: 'icmp', port: 80 }, 'port'],
    ['a length of copies to a port', { snap_length: SNAP_LENGTH_MAX - 1 }, 'snap_length'],
    ['a capture of no whole Ethernet header', { to: 'capture', snap_length: 13 }, 'snap_length'],
    ['a sampling rate of zero', { one_in: 0 }, 'one_in']
  ])('%s is refused, on its attribute', (_, config, path) => {
    expect(validateConfig(mirror, config).problems.map(problem => problem.path)).toEqual([path])
  })
})
