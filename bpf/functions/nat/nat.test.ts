// SPDX-License-Identifier: Apache-2.0
// The NAT, packet by packet.

import { afterEach, describe, expect, test } from '@jest/globals'
import { eth, type Frame, fragments } from '../../packets/frame'
import { loadFunction, type Outcome, type TestedFunction } from '../../testing/harness'
import { nat } from './nat'
import { age, endsOf, icmp, ip, type Packet } from './testing'

const CONFIG = {
  sources: {
    v4: { source: '10.0.0.0/16', pool: '203.0.113.1/32', ports: '20000-20099' },
    v6: { source: 'fd00::/32', pool: '2001:db8::1/128', ports: '20000-20099' },
    same: { source: '10.1.0.0/16', pool: '203.0.113.32/30', ports: '30000-30009', endpoint_independent: true }
  },
  forwards: {
    web: { address: '203.0.113.1', protocol: 'tcp', ports: '8080', to_address: '10.0.0.2', to_port: 80 },
    game: { address: '203.0.113.1', protocol: 'udp', ports: '20010-20019', to_address: '10.0.0.2', to_port: 5000 },
    web6: { address: '2001:db8::1', protocol: 'tcp', ports: '8080', to_address: 'fd00::2', to_port: 80 },
    all: { address: '203.0.113.3', to_address: '10.0.0.3' },
    also: { address: '203.0.113.4', protocol: 'tcp', ports: '80', to_address: '10.0.0.2' }
  },
  floating: {
    four: { inside: '10.0.9.1', outside: '203.0.113.9' },
    other: { inside: '10.0.9.2', outside: '203.0.113.10' },
    six: { inside: 'fd00::9', outside: '2001:db8::9' }
  },
  prefixes: {
    short: { inside: 'fd01:203:405::/48', outside: '2001:db8:1::/48' },
    long: { inside: 'fd02:0:0:7::/64', outside: '2001:db8:2:9::/64' }
  }
}

const LOCAL = { 4: '10.0.0.1', 6: 'fd00::1' } as const
const WEB = { 4: '10.0.0.2', 6: 'fd00::2' } as const
const OUTSIDE = { 4: '203.0.113.1', 6: '2001:db8::1' } as const
const REMOTE = { 4: '198.51.100.7', 6: '2001:db8:ffff::7' } as const
const FAMILIES = [4, 6] as const

const loaded: TestedFunction[] = []
afterEach(() => {
  for (const tested of loaded.splice(0)) tested.close()
})

async function load(more: Record<string, unknown> = {}): Promise<TestedFunction> {
  const tested = await loadFunction(nat, { ...CONFIG, max_sessions: 1024, ...more })
  loaded.push(tested)
  return tested
}

const out = (tested: TestedFunction, frame: Frame | Uint8Array): Outcome => tested.send(frame, { port: 'inside' })
const back = (tested: TestedFunction, frame: Frame | Uint8Array): Outcome => tested.send(frame, { port: 'outside' })
/** The ends of a packet that left by this port; else why it did not. */
function left(outcome: Outcome, port: string): Packet | Record<string, number> {
  return outcome.went === 'port' && outcome.port === port ? endsOf(outcome) : outcome.counted
}

describe.each(FAMILIES)('IPv%i', family => {
  const [local, outside, remote] = [LOCAL[family], OUTSIDE[family], REMOTE[family]]
  const udp = (src: string, dst: string, sport: number, dport: number) => ip(src, dst).udp({ sport, dport }).payload('hello')
  const tcp = (src: string, dst: string, sport: number, dport: number, flags = 'S', seq = 1, ack = 0) =>
    ip(src, dst).tcp({ sport, dport, flags, seq, ack })

  test('what the inside sends appears to come from the outside address, and the reply finds back', async () => {
    const tested = await load()
    const sent = out(tested, udp(local, remote, 20_005, 53))
    expect(left(sent, 'outside')).toEqual({ src: outside, sport: 20_005, dst: remote, dport: 53 })
    expect(sent.counted).toEqual({ sessions_opened: 1 })
    expect(left(back(tested, udp(remote, outside, 53, 20_005)), 'inside')).toEqual({ src: remote, sport: 53, dst: local, dport: 20_005 })
    expect(left(back(tested, udp(remote, outside, 54, 20_005)), 'inside')).toEqual({ no_mapping: 1 })
  })

  test('a full table hardly gives up flows whose answers are still to come', async () => {
    const tested = await load({
      sources: { all: { source: `${local}/${family === 4 ? 32 : 128}`, pool: `${outside}/${family === 4 ? 32 : 128}` } }
    })
    const unanswered: number[] = []
    const many = (first: number, last: number) => {
      for (let next = first; next < last; next += 64) {
        const ports = Array.from({ length: 64 }, (_, n) => endsOf(out(tested, udp(local, remote, next + n, 53))).sport)
        unanswered.push(...ports.filter(port => back(tested, udp(remote, outside, 53, port)).went !== 'port'))
      }
    }
    many(1024, 7168)
    for (const { key } of tested.table(`sessions${family}`).entries())
      out(tested, udp(local, remote, (key as { local_port: number }).local_port, 53))
    many(30_000, 32_048)
    /* Of 8,192: the kernel keeps its lists roughly, and without care twice to six times as many are lost. */
    expect(unanswered.length).toBeLessThan(80)
  })

  test('a port that another has, or that is not among those allowed, is replaced by a free one', async () => {
    const tested = await load()
    out(tested, udp(local, remote, 20_005, 53))
    for (const port of [20_005, 53]) {
      const { sport } = left(out(tested, udp(WEB[family], remote, port, 53)), 'outside') as Packet
      expect(sport).toBeGreaterThanOrEqual(20_000)
      expect(sport).toBeLessThan(20_100)
      expect(sport).not.toBe(20_005)
      expect(left(back(tested, udp(remote, outside, 53, sport)), 'inside')).toMatchObject({ dst: WEB[family], dport: port })
    }
    expect(left(out(tested, udp(WEB[family], `${remote}1`, 20_005, 53)), 'outside')).toMatchObject({ sport: 20_005 })
  })

  test('a TCP connection is followed from its SYN to its last acknowledgement', async () => {
    const tested = await load()
    const to = (flags: string, seq: number, ack = 0) => left(out(tested, tcp(local, remote, 20_001, 80, flags, seq, ack)), 'outside')
    const from = (flags: string, seq: number, ack = 0) => left(back(tested, tcp(remote, outside, 80, 20_001, flags, seq, ack)), 'inside')
    const sent = { src: outside, sport: 20_001, dst: remote, dport: 80 }
    const heard = { src: remote, sport: 80, dst: local, dport: 20_001 }
    expect(to('A', 1)).toEqual({ no_session: 1 })
    expect(from('A', 1)).toEqual({ no_mapping: 1 })
    expect(to('S', 1000)).toEqual(sent)
    expect(from('SA', 5000, 1001)).toEqual(heard)
    expect(to('A', 1001, 5001)).toEqual(sent)
    expect(from('A', 90_000_000, 1001)).toEqual({ invalid: 1 })
    expect(to('FA', 1001, 5001)).toEqual(sent)
    expect(from('FA', 5001, 1002)).toEqual(heard)
    expect(to('A', 1002, 5002)).toEqual(sent)
    expect(from('FA', 5001, 1002)).toEqual(heard)
    expect(from('S', 7000)).toEqual({ no_mapping: 1 })
    expect(to('S', 9000)).toEqual(sent)
    expect(from('SA', 6000, 9001)).toEqual(heard)
  })

  test('a packet of a session that says to be shorter than its headers is dropped', async () => {
    const tested = await load()
    const datagram = udp(local, remote, 20_001, 53).bytes()
    const [field, least] = family === 4 ? [16, 28] : [18, 8]
    for (let length = 0; length < least; length++) {
      expect(left(out(tested, datagram), 'outside')).toMatchObject({ sport: 20_001 })
      const short = Buffer.from(datagram)
      short.writeUInt16BE(length, field)
      expect(left(out(tested, short), 'outside')).toEqual({ malformed: 1 })
    }
  })

  test('what comes late of a closed connection passes for four minutes, and is of none afterwards', async () => {
    const tested = await load()
    const to = (flags: string, seq: number, ack = 0) => left(out(tested, tcp(local, remote, 20_001, 80, flags, seq, ack)), 'outside')
    const from = (flags: string, seq: number, ack = 0) => left(back(tested, tcp(remote, outside, 80, 20_001, flags, seq, ack)), 'inside')
    to('S', 1000)
    from('SA', 5000, 1001)
    to('FA', 1001, 5001)
    from('FA', 5001, 1002)
    to('A', 1002, 5002)
    age(tested, family, 200)
    expect(from('FA', 5001, 1002)).toMatchObject({ dst: local, dport: 20_001 })
    expect(to('A', 1002, 5002)).toMatchObject({ src: outside, sport: 20_001 })
    age(tested, family, 41)
    for (const flags of ['FA', 'A']) {
      expect(from(flags, 5001, 1002)).toEqual({ no_mapping: 1 })
      expect(to(flags, 1002, 5002)).toEqual({ no_session: 1 })
    }
  })

  test('silence ends a connection after 124 minutes, one that opens after four, and a ping after one', async () => {
    const tested = await load()
    const from = (sport: number, flags: string) => back(tested, tcp(remote, outside, 80, sport, flags, flags === 'A' ? 5001 : 5000, 1001))
    const kept = (seconds: number, answer: () => Outcome) => {
      age(tested, family, seconds - 1)
      expect(left(answer(), 'inside')).toMatchObject({ dst: local })
      age(tested, family, seconds + 1)
      expect(left(answer(), 'inside')).toEqual({ no_mapping: 1 })
    }
    for (const port of [20_001, 20_002]) out(tested, tcp(local, remote, port, 80, 'S', 1000))
    kept(240, () => from(20_002, 'SA'))
    out(tested, tcp(local, remote, 20_001, 80, 'S', 1000))
    from(20_001, 'SA')
    out(tested, tcp(local, remote, 20_001, 80, 'A', 1001, 5001))
    kept(124 * 60, () => from(20_001, 'A'))
    out(tested, icmp(ip(local, remote), 'request', 20_003))
    kept(60, () => back(tested, icmp(ip(remote, outside), 'reply', 20_003)))
  })

  test('a ping has a free identifier outside, and its reply the old one inside', async () => {
    const tested = await load()
    for (const id of [7, 20_003]) {
      const sent = left(out(tested, icmp(ip(local, remote), 'request', id)), 'outside') as Packet
      expect(sent).toMatchObject({ src: outside, dst: remote })
      expect(sent.sport).toBeGreaterThanOrEqual(20_000)
      expect(left(back(tested, icmp(ip(remote, outside), 'reply', sent.sport)), 'inside')).toMatchObject({ dst: local, dport: id })
      expect(left(back(tested, icmp(ip(remote, outside), 'request', sent.sport)), 'inside')).toEqual({ no_mapping: 1 })
    }
    expect(left(out(tested, icmp(ip(local, remote), 'reply', 7)), 'outside')).toEqual({ no_session: 1 })
  })

  test('a forwarded port leads inside, and the answers come from the outside port', async () => {
    const tested = await load()
    expect(left(back(tested, tcp(remote, outside, 4000, 8080)), 'inside')).toEqual({
      src: remote,
      sport: 4000,
      dst: WEB[family],
      dport: 80
    })
    expect(left(out(tested, tcp(WEB[family], remote, 80, 4000, 'SA', 1, 2)), 'outside')).toEqual({
      src: outside,
      sport: 8080,
      dst: remote,
      dport: 4000
    })
    expect(left(back(tested, tcp(remote, outside, 4001, 8080, 'A')), 'inside')).toEqual({ no_mapping: 1 })
  })

  test('a host inside reaches another by its outside address, and gets answers from there', async () => {
    const tested = await load()
    const request = out(tested, ip(local, outside).tcp({ sport: 20_007, dport: 8080 }))
    expect(left(request, 'inside')).toEqual({ src: outside, sport: 20_007, dst: WEB[family], dport: 80 })
    expect(request.parsed().eth).toMatchObject({ src: '02:00:00:00:00:02', dst: '02:00:00:00:00:01' })
    expect(request.counted).toEqual({ sessions_opened: 2, hairpinned: 1 })
    const answer = out(tested, tcp(WEB[family], outside, 80, 20_007, 'SA', 1, 2))
    expect(left(answer, 'inside')).toEqual({ src: outside, sport: 8080, dst: local, dport: 20_007 })
    const error = out(tested, icmp(ip(WEB[family], outside), 'unreachable').quote(request.bytes))
    expect(left(error, 'inside')).toMatchObject({ src: outside, dst: local })
    expect(quotedEnds(error)).toEqual({ src: local, sport: 20_007, dst: outside, dport: 8080 })
  })

  test('an ICMP error from outside, and the packet in it, are translated back', async () => {
    const tested = await load()
    for (const frame of [udp(local, remote, 7, 53), tcp(local, remote, 7, 80), icmp(ip(local, remote), 'request', 7)]) {
      const sent = out(tested, frame)
      for (const length of [undefined, family === 4 ? 28 : 48]) {
        const error = back(tested, icmp(ip(`${remote}9`, outside), 'unreachable').quote(sent.bytes, length))
        expect(left(error, 'inside')).toMatchObject({ src: `${remote}9`, dst: local })
        expect(error.parsed().quoted).toEqual(frame.bytes().subarray(14, length && 14 + length))
      }
    }
    expect(left(back(tested, icmp(ip(remote, outside), 'unreachable').quote(udp(outside, remote, 9, 9))), 'inside')).toEqual({
      no_mapping: 1
    })
  })

  test('a tunnel behind that is too narrow is told of to the inside sender, with the length that it takes', async () => {
    const tested = await load()
    for (const frame of [udp(local, remote, 7, 53).payload(1400), tcp(local, remote, 7, 80, 'S').payload(1400)]) {
      const sent = out(tested, frame)
      const header = ip(`${remote}9`, outside)
      const told = family === 4 ? header.icmp({ type: 3, code: 4, mtu: 1280 }) : header.icmpv6({ type: 2, mtu: 1280 })
      const error = back(tested, told.quote(sent.bytes, 548))
      expect(left(error, 'inside')).toMatchObject({ src: `${remote}9`, dst: local })
      expect(error.parsed()).toMatchObject(family === 4 ? { icmp: { type: 3, code: 4, mtu: 1280 } } : { icmpv6: { type: 2, mtu: 1280 } })
      expect(error.parsed().quoted).toEqual(frame.bytes().subarray(14, 14 + 548))
    }
  })

  test('an ICMP error from inside, and the packet in it, are translated outwards', async () => {
    const tested = await load()
    const [request, there] = [tcp(remote, outside, 4000, 8080), WEB[family]]
    const inside = back(tested, request)
    const error = out(tested, icmp(ip(local, remote), 'unreachable').quote(inside.bytes))
    expect(left(error, 'outside')).toMatchObject({ src: outside, dst: remote })
    expect(error.parsed().quoted).toEqual(request.bytes().subarray(14))
    expect(left(out(tested, icmp(ip(local, remote), 'unreachable').quote(udp(remote, there, 9, 9))), 'outside')).toEqual({ no_session: 1 })
  })

  test('where no port is free the packet is counted and its sender told, until a session is forgotten', async () => {
    const tested = await load({
      sources: {
        few: { source: family === 4 ? '10.0.0.0/16' : 'fd00::/32', pool: `${outside}/${family === 4 ? 32 : 128}`, ports: '40000-40003' }
      }
    })
    const ports = [1, 2, 3, 4].map(n => (left(out(tested, udp(local, remote, n, 53)), 'outside') as Packet).sport)
    expect(ports.toSorted()).toEqual([40_000, 40_001, 40_002, 40_003])
    const refused = out(tested, udp(local, remote, 5, 53))
    expect(refused).toMatchObject({ went: 'port', port: 'inside', counted: { exhausted: 1 } })
    expect(refused.parsed()).toMatchObject(family === 4 ? { icmp: { type: 3, code: 1 } } : { icmpv6: { type: 1, code: 3 } })
    expect(left(out(tested, udp(local, `${remote}1`, 5, 53)), 'outside')).toMatchObject({ src: outside })
    age(tested, family, 121)
    expect(left(out(tested, udp(local, remote, 5, 53)), 'outside')).toMatchObject({ src: outside })
  })

  test('later fragments become what the first became, both ways, and others are dropped', async () => {
    const tested = await load()
    const big = (src: string, dst: string, sport: number, dport: number) => ip(src, dst).udp({ sport, dport }).payload(3000)
    const [first, ...later] = fragments(big(local, remote, 20_009, 53), 1480)
    const address = (outcome: Outcome) => outcome.parsed()[family === 4 ? 'ipv4' : 'ipv6']
    expect(left(out(tested, later[0]!), 'outside')).toEqual({ fragment: 1 })
    for (const piece of [first!, ...later]) expect(address(out(tested, piece))).toMatchObject({ src: outside, dst: remote })
    const replies = fragments(big(remote, outside, 53, 20_009), 1480)
    expect(left(back(tested, replies[1]!), 'inside')).toEqual({ fragment: 1 })
    for (const piece of replies) expect(address(back(tested, piece))).toMatchObject({ src: remote, dst: local })
  })

  test('a floating address is its host’s, both ways, for every protocol', async () => {
    const tested = await load()
    const [host, floats] = family === 4 ? ['10.0.9.1', '203.0.113.9'] : ['fd00::9', '2001:db8::9']
    const frames = (src: string, dst: string) => [
      tcp(src, dst, 1, 2, 'A'),
      udp(src, dst, 3, 4),
      icmp(ip(src, dst), 'request', 5),
      ip(src, dst).sctp().payload('data'),
      fragments(ip(src, dst).udp().payload(3000), 1480)[1]!
    ]
    const ends = (outcome: Outcome) => [outcome.port, outcome.parsed()[family === 4 ? 'ipv4' : 'ipv6']] as const
    for (const frame of frames(host, remote)) expect(ends(out(tested, frame))).toMatchObject(['outside', { src: floats, dst: remote }])
    for (const frame of frames(remote, floats)) expect(ends(back(tested, frame))).toMatchObject(['inside', { src: remote, dst: host }])
    const request = back(tested, udp(remote, floats, 3, 4))
    const error = out(tested, icmp(ip(host, remote), 'unreachable').quote(request.bytes))
    expect(left(error, 'outside')).toMatchObject({ src: floats, dst: remote })
    expect(error.parsed().quoted).toEqual(udp(remote, floats, 3, 4).bytes().subarray(14))
    const sent = out(tested, udp(host, remote, 3, 4))
    const answer = back(tested, icmp(ip(remote, floats), 'unreachable').quote(sent.bytes))
    expect(left(answer, 'inside')).toMatchObject({ dst: host })
    expect(answer.parsed().quoted).toEqual(udp(host, remote, 3, 4).bytes().subarray(14))
    expect(tested.table(`sessions${family}`).entries()).toEqual([])
  })

  test('what has no ports to be translated is dropped, and what no rule means passes as it is', async () => {
    const tested = await load()
    expect(left(out(tested, ip(local, remote).sctp()), 'outside')).toEqual({ unsupported: 1 })
    expect(left(out(tested, udp(local, remote, 0, 53)), 'outside')).toEqual({ invalid: 1 })
    expect(left(back(tested, ip(remote, outside).sctp()), 'inside')).toEqual({ no_mapping: 1 })
    const stranger = udp(`${remote}1`, remote, 1, 2)
    expect(out(tested, stranger).bytes).toEqual(stranger.bytes())
    expect(back(tested, stranger).bytes).toEqual(stranger.bytes())
    tested.apply({ ...CONFIG, max_sessions: 1024, pass_unmapped: true })
    expect(left(back(tested, udp(remote, outside, 1, 22)), 'inside')).toMatchObject({ dst: outside, dport: 22 })
  })

  test('a session that was silent for too long is none', async () => {
    const tested = await load()
    out(tested, udp(local, remote, 20_005, 53))
    age(tested, family, 119)
    expect(left(back(tested, udp(remote, outside, 53, 20_005)), 'inside')).toMatchObject({ dst: local })
    age(tested, family, 121)
    expect(left(back(tested, udp(remote, outside, 53, 20_005)), 'inside')).toEqual({ no_mapping: 1 })
    expect(left(out(tested, udp(WEB[family], remote, 20_005, 53)), 'outside')).toMatchObject({ sport: 20_005 })
  })
})

test('where a rule asks for it an inside port is the same outside port to everybody', async () => {
  const tested = await load()
  const udp = (dst: string, dport: number, sport = 1234) =>
    left(out(tested, ip('10.1.0.5', dst).udp({ sport, dport })), 'outside') as Packet
  const first = udp('198.51.100.7', 53)
  expect(first.src).toMatch(/^203\.0\.113\.3[2-5]$/)
  expect(first.sport).toBeGreaterThanOrEqual(30_000)
  for (const [dst, dport] of [
    ['198.51.100.7', 54],
    ['198.51.100.8', 53]
  ] as const)
    expect(udp(dst, dport)).toMatchObject({ src: first.src, sport: first.sport })
  const others = Array.from({ length: 9 }, (_, n) => udp('198.51.100.7', 53, 2000 + n))
  expect(new Set([first, ...others].map(({ src, sport }) => `${src} ${sport}`)).size).toBe(10)
  expect(new Set([first, ...others].map(({ src }) => src)).size).toBe(1)
  expect(udp('198.51.100.7', 53, 3000).src).not.toBe(first.src)
})

test('ports that were kept, and so lie close together, do not hide the free ones', async () => {
  const sources = { all: { source: '10.0.0.0/16', pool: '203.0.113.1/32', ports: '20000-20599' } }
  const tested = await load({ sources, forwards: {}, floating: {} })
  const flow = (src: string, sport: number) => left(out(tested, ip(src, REMOTE[4]).udp({ sport, dport: 53 })), 'outside')
  for (let port = 20_000; port < 20_400; port++) expect(flow('10.0.0.1', port)).toMatchObject({ sport: port })
  for (let port = 1; port <= 60; port++) expect(flow('10.0.0.2', port)).toMatchObject({ src: '203.0.113.1' })
})

test('a whole address is forwarded with all ports and pings, and a port that is forwarded is nobody else’s', async () => {
  const tested = await load()
  expect(left(back(tested, ip(REMOTE[4], '203.0.113.3').udp({ sport: 1, dport: 99 })), 'inside')).toEqual({
    src: REMOTE[4],
    sport: 1,
    dst: '10.0.0.3',
    dport: 99
  })
  expect(left(back(tested, ip(REMOTE[4], '203.0.113.3').icmp({ id: 9 })), 'inside')).toMatchObject({ dst: '10.0.0.3', dport: 9 })
  expect(left(out(tested, ip('10.0.0.3', REMOTE[4]).icmp({ type: 0, id: 9 })), 'outside')).toMatchObject({ src: '203.0.113.3', sport: 9 })
  expect(left(back(tested, ip(REMOTE[4], '203.0.113.3').sctp()), 'inside')).toEqual({ unsupported: 1 })
  const { sport } = left(out(tested, ip('10.0.0.1', REMOTE[4]).udp({ sport: 20_012, dport: 53 })), 'outside') as Packet
  expect(sport < 20_010 || sport > 20_019).toBe(true)
  expect(left(back(tested, ip(REMOTE[4], OUTSIDE[4]).udp({ sport: 1, dport: 20_012 })), 'inside')).toMatchObject({
    dst: '10.0.0.2',
    dport: 5002
  })
})

test('one connection inside cannot be two outside', async () => {
  const tested = await load()
  const syn = (dst: string, dport: number) => left(back(tested, ip(REMOTE[4], dst).tcp({ sport: 4000, dport })), 'inside')
  expect(syn('203.0.113.1', 8080)).toMatchObject({ dst: '10.0.0.2', dport: 80 })
  expect(syn('203.0.113.4', 80)).toEqual({ collision: 1 })
})

test('a floating host reaches another floating host by its outside address', async () => {
  const tested = await load()
  const sent = out(tested, ip('10.0.9.1', '203.0.113.10').udp({ sport: 1, dport: 2 }))
  expect(left(sent, 'inside')).toEqual({ src: '203.0.113.9', sport: 1, dst: '10.0.9.2', dport: 2 })
})

test('a prefix becomes the other without sessions, and no checksum changes (RFC 6296)', async () => {
  const tested = await load()
  const pairs = [
    ['fd01:203:405:1::1234', '2001:db8:1:d550::1234'],
    ['fd01:203:405:ffff::1', undefined]
  ] as const
  expect(left(out(tested, ip(pairs[0][0], REMOTE[6]).udp({ sport: 1, dport: 2 })), 'outside')).toMatchObject({ src: pairs[0][1] })
  expect(left(back(tested, ip(REMOTE[6], pairs[0][1]).udp({ sport: 1, dport: 2 })), 'inside')).toMatchObject({ dst: pairs[0][0] })
  for (const inside of ['fd02:0:0:7::1', 'fd02::7:ffff:0:0:5', 'fd02::7:1234:5678:9abc:def0']) {
    const frame = ip(inside, REMOTE[6]).tcp({ sport: 1, dport: 2, flags: 'A' })
    const sent = out(tested, frame)
    const { src } = left(sent, 'outside') as Packet
    expect(src).toMatch(/^2001:db8:2:9:/)
    expect(sent.bytes.subarray(54)).toEqual(frame.bytes().subarray(54))
    expect(left(back(tested, ip(REMOTE[6], src).tcp({ sport: 2, dport: 1, flags: 'A' })), 'inside')).toMatchObject({ dst: inside })
  }
})

test('discovery passes, and the inside is told where outside addresses are', async () => {
  const tested = await load()
  const ask = (target_ip: string, sender_ip = '203.0.113.254') => eth({ dst: 'ff:ff:ff:ff:ff:ff' }).arp({ sender_ip, target_ip })
  const told = out(tested, ask('203.0.113.9'))
  expect(told).toMatchObject({ port: 'inside', counted: { answered: 1 } })
  expect(told.parsed().arp).toMatchObject({ operation: 2, sender_ip: '203.0.113.9' })
  for (const frame of [ask('203.0.113.9', '203.0.113.9'), ask('203.0.113.99')]) expect(out(tested, frame).port).toBe('outside')
  expect(back(tested, ask('203.0.113.9')).port).toBe('inside')
  const solicit = (target: string) =>
    eth().ipv6({ src: 'fd00::1', dst: 'ff02::1:ff00:9', hop_limit: 255 }).solicitation({ target, mac: '02:00:00:00:00:01' })
  expect(out(tested, solicit('2001:db8::9')).parsed().advertisement).toMatchObject({ target: '2001:db8::9' })
  expect(out(tested, solicit('2001:db8::99')).bytes).toEqual(solicit('2001:db8::99').bytes())
  expect(out(tested, eth().payload('else')).port).toBe('outside')
})

function quotedEnds(outcome: Outcome): Packet {
  return endsOf({ parsed: () => outcome.parsed() }, outcome.parsed().quoted!)
}

describe('on two gateways and a host that is none', () => {
  const HOSTS = ['edge-1', 'edge-2', 'edge-3'] as const
  const gateways = { 'edge-1': { ports: '1024-20049' }, 'edge-2': { ports: '20050-65535' } }
  const { v4, v6 } = CONFIG.sources
  const ROUTER = '02:00:00:00:00:aa'

  /** The same function on each host. */
  async function everywhere() {
    const translators = await Promise.all(
      HOSTS.map(async host => {
        const tested = await loadFunction(nat, { ...CONFIG, sources: { v4, v6 }, gateways, max_sessions: 1024 }, { surroundings: { host } })
        loaded.push(tested)
        return [host, tested] as const
      })
    )
    const on = Object.fromEntries(translators) as Record<(typeof HOSTS)[number], TestedFunction>
    const macs = nat.places!({ gateways } as never, 'tested').outside!
    const hostOf = (mac: string) => Object.keys(macs).find(host => macs[host]!.includes(mac)) as keyof typeof on | undefined
    /** Brings what was led to another host there, as the network would. */
    const arrive = (outcome: Outcome): [host: string | undefined, Outcome] => {
      expect([outcome.port, outcome.counted.led_on]).toEqual(['outside', 1])
      expect(outcome.parsed().eth.src).toBe(ROUTER)
      const host = hostOf(outcome.parsed().eth.dst)
      return [host, back(on[host!], outcome.bytes)]
    }
    return { on, arrive }
  }
  const sent = (src: string, dst: string) =>
    src.includes(':') ? eth({ src: ROUTER }).ipv6({ src, dst }) : eth({ src: ROUTER }).ipv4({ src, dst })
  const received = (src: string, dst: string) =>
    src.includes(':') ? eth({ dst: ROUTER }).ipv6({ src, dst }) : eth({ dst: ROUTER }).ipv4({ src, dst })

  test.each(FAMILIES)('IPv%i: each gateway gives its own ports, and a reply finds the one that has its session', async family => {
    const { on, arrive } = await everywhere()
    const [local, outside, remote] = [LOCAL[family], OUTSIDE[family], REMOTE[family]]
    for (const [host, other, first] of [
      ['edge-1', 'edge-2', 20_000],
      ['edge-2', 'edge-3', 20_050]
    ] as const) {
      const { sport } = left(out(on[host], sent(local, remote).udp({ sport: 7, dport: 53 })), 'outside') as Packet
      expect(sport).toBeGreaterThanOrEqual(first)
      expect(sport).toBeLessThan(first + 50)
      const reply = received(remote, outside).udp({ sport: 53, dport: sport })
      const [there, outcome] = arrive(back(on[other], reply))
      expect([there, left(outcome, 'inside')]).toEqual([host, { src: remote, sport: 53, dst: local, dport: 7 }])
      expect(outcome.parsed().eth.dst).toBe(ROUTER)
      const error = icmp(received(`${remote}9`, outside), 'unreachable').quote(ip(outside, remote).udp({ sport, dport: 53 }))
      expect(left(arrive(back(on[other], error))[1], 'inside')).toMatchObject({ dst: local })
    }
    const stray = received(remote, outside).udp({ sport: 1, dport: 20_049 })
    expect(left(arrive(back(on['edge-2'], stray))[1], 'inside')).toEqual({ no_mapping: 1 })
  })

  test.each(FAMILIES)(
    'IPv%i: a host that is no gateway leads packets to that of their sender, whose router sends them out',
    async family => {
      const { on, arrive } = await everywhere()
      const hosts = new Set<string>()
      for (let n = 1; n < 30; n++) {
        const local = family === 4 ? `10.0.7.${n}` : `fd00::7:${n}`
        const packet = sent(local, REMOTE[family]).udp({ sport: 20_001, dport: 53 })
        const [host, outcome] = arrive(out(on['edge-3'], packet))
        hosts.add(host!)
        expect(left(outcome, 'inside')).toEqual({ src: local, sport: 20_001, dst: REMOTE[family], dport: 53 })
        expect(outcome.parsed().eth.dst).toBe(ROUTER)
        expect(arrive(out(on['edge-3'], packet))[0]).toBe(host)
      }
      expect([...hosts].toSorted()).toEqual(['edge-1', 'edge-2'])
    }
  )

  test.each(FAMILIES)('IPv%i: a forward has one gateway, wherever its client and its server are', async family => {
    const { on, arrive } = await everywhere()
    const [outside, remote, server] = [OUTSIDE[family], REMOTE[family], WEB[family]]
    const request = received(remote, outside).tcp({ sport: 4000, dport: 8080 })
    const [gateway, opened] = arrive(back(on['edge-3'], request))
    expect(left(opened, 'inside')).toEqual({ src: remote, sport: 4000, dst: server, dport: 80 })
    const answer = sent(server, remote).tcp({ sport: 80, dport: 4000, flags: 'SA', seq: 1, ack: 2 })
    const [there, routed] = arrive(out(on['edge-3'], answer))
    expect(there).toBe(gateway)
    expect(left(out(on[there as 'edge-1'], routed.bytes), 'outside')).toEqual({ src: outside, sport: 8080, dst: remote, dport: 4000 })
  })

  test('an inside host on any host reaches another by its outside address', async () => {
    const { on, arrive } = await everywhere()
    const request = sent(LOCAL[4], OUTSIDE[4]).tcp({ sport: 20_007, dport: 8080 })
    const follow = (first: Outcome) => {
      let outcome = first
      while (outcome.port === 'outside') [, outcome] = arrive(outcome)
      return outcome
    }
    const asked = left(follow(out(on['edge-3'], request)), 'inside') as Packet
    expect(asked).toMatchObject({ src: OUTSIDE[4], dst: WEB[4], dport: 80 })
    const answer = sent(WEB[4], OUTSIDE[4]).tcp({ sport: 80, dport: asked.sport, flags: 'SA', seq: 1, ack: 2 })
    expect(left(follow(out(on['edge-3'], answer)), 'inside')).toEqual({ src: OUTSIDE[4], sport: 8080, dst: LOCAL[4], dport: 20_007 })
  })

  test('later fragments follow the first to its gateway', async () => {
    const { on, arrive } = await everywhere()
    const { sport } = left(out(on['edge-1'], sent(LOCAL[4], REMOTE[4]).udp({ sport: 7, dport: 53 })), 'outside') as Packet
    const reply = received(REMOTE[4], OUTSIDE[4]).udp({ sport: 53, dport: sport }).payload(3000)
    for (const piece of fragments(reply, 1480)) {
      const [host, outcome] = arrive(back(on['edge-2'], piece))
      expect([host, outcome.port, outcome.parsed().ipv4]).toMatchObject(['edge-1', 'inside', { dst: LOCAL[4] }])
    }
  })

  test('the last gateway keeps its sessions, and takes what other hosts lead to it', async () => {
    const { on, arrive } = await everywhere()
    const { sport } = left(out(on['edge-1'], sent(LOCAL[4], REMOTE[4]).udp({ sport: 7, dport: 53 })), 'outside') as Packet
    for (const host of HOSTS)
      on[host].apply({ ...CONFIG, sources: { v4, v6 }, gateways: { 'edge-1': gateways['edge-1'] }, max_sessions: 1024 }, { host })
    const [host, outcome] = arrive(back(on['edge-3'], received(REMOTE[4], OUTSIDE[4]).udp({ sport: 53, dport: sport })))
    expect([host, left(outcome, 'inside')]).toMatchObject(['edge-1', { dst: LOCAL[4], dport: 7 }])
  })

  test('a gateway that leaves takes none but its own flows along', () => {
    const three = { ...gateways, 'edge-3': { ports: '30000-30049' } }
    const exits = (all: object): number[] => {
      const { maps } = nat.image!({ ...CONFIG, gateways: all } as never, { name: 'n', host: 'other', generation: 1, ports: {} })
      return (maps.gateways![0]!.value as { exits: number[] }).exits
    }
    const [before, after] = [exits(three), exits(gateways)]
    expect(new Set(before)).toEqual(new Set([1, 2, 3]))
    for (const [slot, gateway] of before.entries()) if (gateway !== 3) expect(after[slot]).toBe(gateway)
  })
})
