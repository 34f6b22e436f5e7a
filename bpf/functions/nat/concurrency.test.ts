// SPDX-License-Identifier: Apache-2.0
// The NAT on several CPUs at once: whatever two of them do at the same moment, no outside end belongs to two sessions.

import { afterEach, describe, expect, test } from '@jest/globals'
import { loadFunction, type Passed, type TestedFunction } from '../../testing/harness'
import { nat } from './nat'
import { endsOf, ip, type Packet } from './testing'

const ROUNDS = 150
const FAMILIES = [4, 6] as const
const INSIDE = { 4: '10.0.0.0/16', 6: 'fd00::/32' }
const HOSTS = { 4: ['10.0.0.1', '10.0.0.2'], 6: ['fd00::1', 'fd00::2'] } as const
const POOL = { 4: '203.0.113.1/32', 6: '2001:db8::1/128' }
const REMOTES = { 4: ['198.51.100.7', '198.51.100.8'], 6: ['2001:db8:ffff::7', '2001:db8:ffff::8'] } as const

let loaded: TestedFunction | undefined
afterEach(() => loaded?.close())

async function load(family: 4 | 6, ports: string, endpoint_independent = false): Promise<TestedFunction> {
  const sources = { all: { source: INSIDE[family], pool: POOL[family], ports, endpoint_independent } }
  loaded = await loadFunction(nat, { sources, max_sessions: 16_384 })
  return loaded
}

const numbered = <T>(make: (n: number) => T): T[] => Array.from({ length: ROUNDS }, (_, n) => make(n))
const datagram = (src: string, dst: string, sport: number, dport: number) => ({ frame: ip(src, dst).udp({ sport, dport }) })
const end = ({ src, sport }: Packet) => `${src} ${sport}`

/** What the outside sees of each packet: all were translated. */
function seen(lanes: Passed[][]): Packet[][] {
  expect([...new Set(lanes.flat().map(({ port }) => port))]).toEqual(['outside'])
  return lanes.map(lane => lane.map(passed => endsOf(passed)))
}

/** Whom the answer to a packet reaches, as the outside has seen that. */
function answered({ src, sport, dst, dport }: Packet): Packet {
  return endsOf(loaded!.send(ip(dst, src).udp({ sport: dport, dport: sport }), { port: 'outside' }))
}

describe.each(FAMILIES)('IPv%i', family => {
  const hosts = HOSTS[family]
  const [remote, other] = REMOTES[family]

  test('two hosts that open flows at the same moment from the same port to the same server have a port each, and their own answers', async () => {
    const tested = await load(family, '20000-20001')
    const passed = await tested.sendTogether(...hosts.map(host => numbered(n => datagram(host, remote, 20_000, 1 + n))))
    const lanes = seen(passed)
    expect(new Set(lanes.flat().map(packet => `${end(packet)} ${packet.dport}`)).size).toBe(2 * ROUNDS)
    expect(tested.table(`sessions${family}`).entries()).toHaveLength(2 * ROUNDS)
    expect(tested.counters().sessions_opened).toBe(2 * ROUNDS)
    for (const [n, host] of hosts.entries())
      for (const packet of lanes[n]!) expect(answered(packet)).toMatchObject({ dst: host, dport: 20_000 })
  })

  test('two hosts never have one port that is to be the same to everybody', async () => {
    const tested = await load(family, '20000-23999', true)
    const lanes = seen(await tested.sendTogether(...hosts.map(host => numbered(n => datagram(host, remote, 20_000 + n, 53)))))
    expect(new Set(lanes.flat().map(end)).size).toBe(2 * ROUNDS)
    for (const [n, host] of hosts.entries())
      for (const [m, packet] of lanes[n]!.entries()) expect(answered(packet)).toMatchObject({ dst: host, dport: 20_000 + m })
  })

  test('a port that is to be the same to everybody is so to those who are spoken to first at the same moment', async () => {
    const tested = await load(family, '20000-29999', true)
    const lanes = seen(await tested.sendTogether(...[remote, other].map(dst => numbered(n => datagram(hosts[0], dst, 1 + n, 53)))))
    expect(lanes[0]!.map(end)).toEqual(lanes[1]!.map(end))
    for (const [m, packet] of lanes.flat().entries()) expect(answered(packet)).toMatchObject({ dst: hosts[0], dport: 1 + (m % ROUNDS) })
  })

  test('two packets of a new flow at the same moment make one session', async () => {
    const tested = await load(family, '20000-29999')
    const lanes = seen(await tested.sendTogether(...[0, 1].map(() => numbered(n => datagram(hosts[0], remote, 1 + n, 53)))))
    expect(lanes[0]).toEqual(lanes[1])
    expect(tested.table(`sessions${family}`).entries()).toHaveLength(ROUNDS)
    expect(tested.counters().sessions_opened).toBe(ROUNDS)
    for (const [n, packet] of lanes[0]!.entries()) expect(answered(packet)).toMatchObject({ dst: hosts[0], dport: 1 + n })
  })
})
