// SPDX-License-Identifier: Apache-2.0
// The policer packet by packet: what it lets through, what it takes for it, and what it writes.

import { afterEach, describe, expect, test } from '@jest/globals'
import { validateConfig } from '../../catalogue/validate'
import { eth, type Frame } from '../../packets/frame'
import { type Arrival, loadFunction, type Outcome, type TestedFunction } from '../../testing/harness'
import { policer } from './policer'
import { buckets, pass } from './testing'

let tested: TestedFunction
afterEach(() => tested?.close())

type Row = Record<string, unknown>

async function load(limits: Record<string, Row>): Promise<TestedFunction> {
  tested = await loadFunction(policer, { limits, max_flows: 1024 })
  return tested
}

const INSIDE = { port: 'inside' }
const OUTSIDE = { port: 'outside' }
const passed = (from: Arrival) => ({ went: 'port', port: from.port === 'inside' ? 'outside' : 'inside', counted: {} })
const dropped = { went: 'nowhere', counted: { dropped: 1 } }
const marked = { went: 'port', counted: { marked: 1 } }

/** An IP packet of 1250 bytes: 10,000 bits. */
const tenKilobits = (fields: { tos?: number; sport?: number } = {}) =>
  eth()
    .ipv4({ tos: fields.tos })
    .udp({ sport: fields.sport ?? 1 })
    .payload(1222)

/** How many of `count` packets pass. */
function sent(count: number, frame: Frame, arrival: Arrival = INSIDE): number {
  let through = 0
  for (let n = 0; n < count; n++) through += Number(tested.send(frame, arrival).went === 'port')
  return through
}

/** Has the function stand in chains, so that each workload port has buckets of its own. */
function chain(): void {
  for (const port of [0, 1]) tested.table('stitches').put((16 << 8) | port, { target: 0, port: 0, kind: 'ATTACHED_CHAIN' })
}

describe('a rate', () => {
  test('lets a burst through, then nothing, then what time has brought', async () => {
    await load({ all: { rate: '2kbit', burst: '48s' } })
    expect(sent(12, tenKilobits())).toBe(10)
    pass(tested, 25)
    expect(sent(12, tenKilobits())).toBe(5)
    pass(tested, 300)
    expect(sent(12, tenKilobits())).toBe(10)
  })

  test('counts what it drops, in all and by limit', async () => {
    await load({ all: { rate: '10kbit', burst: '100ms' } })
    expect(tested.send(tenKilobits(), INSIDE)).toMatchObject(passed(INSIDE))
    expect(tested.send(tenKilobits(), INSIDE)).toMatchObject(dropped)
    const { config } = validateConfig(policer, { limits: { all: { rate: '1mbit' } } })
    const [id] = Object.keys(policer.image!(config as never, { generation: 1 } as never).labels!.exceeded!)
    const [{ key, value }] = tested.table('exceeded').entries() as [{ key: bigint; value: { packets: bigint; bytes: bigint }[] }]
    expect(String(key)).toBe(id)
    expect(value.reduce((sum, { bytes }) => sum + bytes, 0n)).toBe(1250n)
  })

  test('of packets counts packets of any size alike', async () => {
    await load({ all: { packet_rate: 1, burst: '4600ms' } })
    expect(sent(10, tenKilobits())).toBe(5)
    pass(tested, 2)
    expect(sent(10, eth().ipv6().udp())).toBe(2)
  })

  test('counts a train of segments by what it becomes on the wire', async () => {
    await load({ all: { rate: '10kbit', burst: '1s' } })
    for (const ip of [eth().ipv4(), eth().ipv6()]) {
      const headers = ip.tcp().bytes().length - 14
      const [least, most] = takenBy(() => tested.send(ip.tcp({ flags: 'A' }).payload(2001), { ...INSIDE, gso_size: 200 }))
      const expected = ((2001 + 11 * headers) * 8) / 1e4
      expect([least <= expected, expected <= most]).toEqual([true, true])
      pass(tested, 60)
    }
  })

  test('of packets counts the segments of a train', async () => {
    await load({ all: { packet_rate: 1, burst: '9600ms' } })
    tested.send(eth().ipv4().tcp({ flags: 'A' }).payload(1600), { ...INSIDE, gso_size: 200 })
    expect(sent(10, tenKilobits())).toBe(2)
  })

  test('is paid back before more passes, where a packet is larger than what is left', async () => {
    await load({ all: { rate: '10kbit', burst: '100ms' } })
    expect(sent(2, tenKilobits())).toBe(1)
    pass(tested, 0.5)
    expect(sent(2, tenKilobits())).toBe(0)
    pass(tested, 0.45)
    expect(sent(2, tenKilobits())).toBe(1)
  })

  test('changes at once, and a debt of the old one is forgotten', async () => {
    await load({ all: { rate: '1kbit', burst: '1ms' } })
    expect(sent(2, tenKilobits())).toBe(1)
    tested.apply({ limits: { all: { rate: '10kbit', burst: '9600ms' } } })
    expect(sent(30, tenKilobits())).toBe(10)
    tested.apply({ limits: { none: { dscp: 1, rate: '1mbit' } } })
    expect(sent(30, tenKilobits())).toBe(30)
  })
})

/** Seconds that a packet takes from the only bucket, which was full: no less than the first, no more than the second. */
function takenBy(send: () => void): [number, number] {
  const clock = () => process.hrtime.bigint() * 64n
  const before = clock()
  send()
  const after = clock()
  const [bucket, ...others] = buckets(tested)
  expect(others).toEqual([])
  return [Number(bucket!.bucket.full_at - after) / 64e9, Number(bucket!.bucket.full_at - before) / 64e9]
}

describe('a bucket', () => {
  test('is a direction of a workload port, where nothing else is said', async () => {
    await load({ all: { rate: '10kbit', burst: '9600ms' } })
    chain()
    for (const workload of [7, 8]) {
      tested.addWorkload(workload)
      const count = (port: string) => {
        let refused = 0
        for (let n = 0; n < 12; n++) refused += tested.send(tenKilobits(), { port, workload }).counted.dropped ?? 0
        return 12 - refused
      }
      expect([count('inside'), count('outside')]).toEqual([10, 10])
    }
  })

  test('per port serves both directions', async () => {
    await load({ all: { rate: '10kbit', burst: '9600ms', per: 'port' } })
    expect([sent(6, tenKilobits(), INSIDE), sent(12, tenKilobits(), OUTSIDE)]).toEqual([6, 4])
  })

  test('per flow serves the packets of one direction with equal ports and addresses', async () => {
    await load({ all: { rate: '10kbit', burst: '9600ms', per: 'flow' } })
    for (const sport of [1, 2]) for (const from of [INSIDE, OUTSIDE]) expect(sent(12, tenKilobits({ sport }), from)).toBe(10)
    expect(sent(12, eth().ipv6().udp().payload(1202))).toBe(10)
  })

  test('stands apart where another has its place, and is given the place of one that has long been full', async () => {
    await load({ all: { rate: '2kbit', burst: '48s' } })
    chain()
    const places = (tested.table('port_buckets').get(0) as { place: unknown[] }).place.length
    const count = (workload: number) => {
      const sent = Array.from({ length: 12 }, () => tested.send(tenKilobits(), { ...INSIDE, workload }))
      return sent.filter(({ counted }) => !counted.dropped).length
    }
    const [first, second, third] = [7, 7 + places / 2, 7 + places] as const
    const apart = () => tested.table('further_buckets').entries().length
    expect([count(first), count(second), apart()]).toEqual([10, 10, 1])
    expect([count(first), count(second)]).toEqual([0, 0])
    pass(tested, 300)
    expect([count(third), count(second), apart()]).toEqual([10, 10, 1])
    expect([count(first), apart()]).toEqual([10, 2])
    expect([count(first), count(second), count(third)]).toEqual([0, 0, 0])
  })

  test('of a limit of one direction leaves the other direction alone', async () => {
    await load({ up: { direction: 'egress', rate: '10kbit', burst: '9600ms' } })
    expect([sent(20, tenKilobits(), INSIDE), sent(20, tenKilobits(), OUTSIDE)]).toEqual([10, 20])
  })

  test('serves frames that are not IP, where a limit names no DSCP', async () => {
    await load({ all: { packet_rate: 1, burst: '9600ms' }, voice: { dscp: 46, rate: '10kbit' } })
    expect(sent(12, eth().arp())).toBe(10)
    expect(sent(2, eth().vlan(5).ipv4().udp())).toBe(0)
  })
})

describe('a DSCP', () => {
  test('has the limit that names it, in both IP versions', async () => {
    await load({ all: { packet_rate: 1, burst: '1600ms' }, voice: { dscp: 46, packet_rate: 1, burst: '4600ms' } })
    expect(
      sent(
        9,
        eth()
          .ipv4({ tos: 46 << 2 })
          .udp()
      )
    ).toBe(5)
    expect(
      sent(
        9,
        eth()
          .ipv6({ traffic_class: (46 << 2) | 1 })
          .udp()
      )
    ).toBe(0)
    expect(
      sent(
        9,
        eth()
          .ipv6({ traffic_class: 45 << 2 })
          .udp()
      )
    ).toBe(2)
  })

  test('is written and the ECN bits left, with the checksum put right', async () => {
    await load({ mark: { set_dscp: 10 } })
    const v4 = tested.send(
      eth()
        .ipv4({ tos: (46 << 2) | 2 })
        .tcp()
        .payload('hello'),
      INSIDE
    )
    expect(v4).toMatchObject(passed(INSIDE))
    expect(v4.parsed().ipv4!.tos).toBe((10 << 2) | 2)
    const v6 = tested.send(eth().ipv6({ traffic_class: 1, flow: 0xabcde }).udp().payload('hello'), OUTSIDE)
    expect(v6.parsed().ipv6!.traffic_class).toBe((10 << 2) | 1)
    expect(v6.bytes.subarray(14, 18).toString('hex')).toBe('629abcde')
  })

  test('is left alone where no limit says another, and so are frames that are not IP', async () => {
    await load({ mark: { set_dscp: 10, dscp: 0 } })
    const frames = [
      eth()
        .ipv4({ tos: 46 << 2 })
        .udp(),
      eth().arp(),
      eth().vlan(3).ipv4().udp()
    ]
    for (const frame of frames) expect(tested.send(frame, INSIDE).bytes).toEqual(frame.bytes())
  })
})

describe('marks', () => {
  const limits = { all: { rate: '10kbit', burst: '9600ms', exceed: 'mark' } }
  const classOf = (outcome: Outcome) => outcome.parsed().ipv4!.tos

  test('a packet whose ends understand it is marked where half a burst is left, and dropped where nothing is', async () => {
    await load(limits)
    for (let n = 0; n < 5; n++) expect(classOf(tested.send(tenKilobits({ tos: 2 }), INSIDE))).toBe(2)
    for (let n = 0; n < 5; n++) {
      const outcome = tested.send(tenKilobits({ tos: 1 }), INSIDE)
      expect(outcome).toMatchObject(marked)
      expect(classOf(outcome)).toBe(3)
    }
    expect(tested.send(tenKilobits({ tos: 1 }), INSIDE)).toMatchObject(dropped)
  })

  test('a packet whose ends do not understand marks has the whole burst', async () => {
    await load(limits)
    expect(sent(12, tenKilobits())).toBe(10)
    expect(tested.send(tenKilobits({ tos: 46 << 2 }), INSIDE)).toMatchObject(dropped)
  })
})

test('a packet with a broken header is dropped where its flow must be known', async () => {
  await load({ all: { rate: '1mbit', per: 'flow' } })
  expect(tested.send(eth().ipv4({ ihl: 4 }).udp(), INSIDE)).toMatchObject({ went: 'nowhere', counted: { malformed: 1 } })
})

describe('at plan', () => {
  const problems = (limits: Record<string, Row>) => validateConfig(policer, { limits }).problems.map(({ path }) => path)

  test.each([
    ['a rate of zero', { rate: '0mbit' }, 'limits.a.rate'],
    ['a packet rate of zero', { packet_rate: 0 }, 'limits.a.packet_rate'],
    ['a burst of zero', { rate: '1mbit', burst: '0ms' }, 'limits.a.burst'],
    ['a burst of an hour', { rate: '1mbit', burst: '1h' }, 'limits.a.burst'],
    ['a rate too small to count', { rate: '10bit' }, 'limits.a.rate'],
    ['a rate too large to count', { rate: '2000gbit' }, 'limits.a.rate'],
    ['two rates', { rate: '1mbit', packet_rate: 1 }, 'limits.a.packet_rate'],
    ['a limit that does nothing', {}, 'limits.a.rate'],
    ['marks without a rate', { exceed: 'mark', set_dscp: 1 }, 'limits.a.exceed'],
    ['a DSCP of 64', { rate: '1mbit', dscp: 64 }, 'limits.a.dscp']
  ])('%s is refused, on its attribute', (_, limit, path) => {
    expect(problems({ a: limit })).toEqual([path])
  })

  test('two limits of the same packets are refused', () => {
    expect(problems({ a: { rate: '1mbit' }, b: { rate: '2mbit', direction: 'egress' } })).toEqual(['limits.b.direction'])
    expect(problems({ a: { rate: '1mbit', dscp: 7 }, b: { set_dscp: 1, dscp: 7, direction: 'ingress' } })).toEqual(['limits.b.dscp'])
    expect(
      problems({ a: { rate: '1mbit', direction: 'egress' }, b: { rate: '2mbit', direction: 'ingress' }, c: { rate: '1mbit', dscp: 0 } })
    ).toEqual([])
  })
})
