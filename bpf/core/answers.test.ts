// SPDX-License-Identifier: Apache-2.0
// What packet.h reads and what icmp.h, arp.h and nd.h make of packets, through a program that only does that.

import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { eth, Frame, fragments } from '../packets/frame'
import { loadFunction, type TestedFunction } from '../testing/harness'
import { answers } from '../testing/kinds'

const [TOO_BIG, NO_ROUTE, NO_HOST, NO_PORT, PROHIBITED, TIME_EXCEEDED, RESET, QUESTION, ONE_HOP, ASKED] = Array.from(
  { length: 10 },
  (_, n) => 7000 + n
)
const OWN_MAC = '02:aa:00:00:00:01'

let tested: TestedFunction
beforeAll(async () => {
  tested = await loadFunction(answers)
})
afterAll(() => tested.close())

const families = [
  { family: 4, ip: () => eth().ipv4(), proto: 'icmp' as const },
  { family: 6, ip: () => eth().ipv6(), proto: 'icmpv6' as const }
]

test.each([
  [TOO_BIG, { type: 3, code: 4, mtu: 1400 }, { type: 2, code: 0, mtu: 1400 }],
  [NO_ROUTE, { type: 3, code: 0 }, { type: 1, code: 0 }],
  [NO_HOST, { type: 3, code: 1 }, { type: 1, code: 3 }],
  [NO_PORT, { type: 3, code: 3 }, { type: 1, code: 4 }],
  [PROHIBITED, { type: 3, code: 13 }, { type: 1, code: 1 }],
  [TIME_EXCEEDED, { type: 11, code: 0 }, { type: 3, code: 0 }]
])('an error about a datagram to port %i goes back to its sender and quotes it', (dport, icmp, icmpv6) => {
  const v4 = eth().ipv4({ ttl: 7 }).udp({ dport }).payload('hello')
  const back = tested.send(v4).parsed()
  expect(back).toMatchObject({
    ipv4: { src: '10.0.0.2', dst: '10.0.0.1' },
    icmp,
    eth: { src: '02:00:00:00:00:02', dst: '02:00:00:00:00:01' }
  })
  expect(back.quoted).toEqual(v4.bytes().subarray(14))

  const v6 = eth().ipv6().udp({ dport }).payload('hello')
  expect(tested.send(v6).parsed()).toMatchObject({ ipv6: { src: 'fd00::2', dst: 'fd00::1' }, icmpv6, quoted: v6.bytes().subarray(14) })
})

test.each(families)('an error quotes as much as the smallest packets of IPv$family hold', ({ family, ip }) => {
  const outcome = tested.send(ip().udp({ dport: NO_PORT }).payload(1401))
  expect(outcome.bytes.length - 14).toBe(family === 4 ? 576 : 1280)
  expect(outcome.parsed().quoted!.length).toBe(family === 4 ? 548 : 1232)
})

test.each(families)(
  'IPv$family: no error answers an error, a multicast, a packet without a source or a later fragment',
  ({ family, ip, proto }) => {
    const quoted = ip().udp({ dport: NO_PORT })
    const error = ip()
      [proto]({ type: family === 4 ? 3 : 1 })
      .quote(quoted)
    const group = family === 4 ? eth().ipv4({ dst: '224.0.0.9' }) : eth().ipv6({ dst: 'ff02::9' })
    const nobody = family === 4 ? eth().ipv4({ src: '0.0.0.0' }) : eth().ipv6({ src: '::' })
    const later = fragments(ip().udp({ dport: NO_PORT }).payload(64), 32)[1]!
    for (const frame of [error, group.udp({ dport: NO_PORT }), nobody.udp({ dport: NO_PORT }), later])
      expect(tested.send(frame)).toMatchObject({ went: 'nowhere' })
  }
)

test.each(families)('IPv$family: a reset answers a SYN with its number plus one', ({ ip }) => {
  const outcome = tested.send(ip().tcp({ dport: RESET, flags: 'S', seq: 0xffffffff, options: Buffer.from([2, 4, 5, 180]) }))
  expect(outcome.parsed().tcp).toMatchObject({ sport: RESET, dport: 40_000, flags: 'RA', seq: 0, ack: 0, options: Buffer.alloc(0) })
})

test.each(families)('IPv$family: a reset answers a segment with the number that it acknowledges', ({ ip }) => {
  const outcome = tested.send(ip().tcp({ dport: RESET, flags: 'PA', seq: 5, ack: 99 }).payload('GET /'))
  expect(outcome.parsed()).toMatchObject({ tcp: { flags: 'R', seq: 99 }, trailer: Buffer.alloc(0) })
})

test('a reset never answers a reset', () => {
  expect(tested.send(eth().ipv4().tcp({ dport: RESET, flags: 'R' })).went).toBe('nowhere')
})

test.each(families)('IPv$family: a reset has none of the options and extension headers of what it answers', ({ family }) => {
  const long =
    family === 4
      ? eth().ipv4({ options: Buffer.alloc(8, 1) })
      : eth()
          .ipv6()
          .extension({ kind: 60, data: Buffer.from([1, 4, 0, 0, 0, 0]) })
  const back = tested.send(long.tcp({ dport: RESET })).parsed()
  expect(back.tcp!.flags).toBe('RA')
  expect(back.extensions ?? []).toHaveLength(0)
  expect(back.ipv4?.options ?? '').toHaveLength(0)
})

test.each(families)('IPv$family: an echo request becomes its reply', ({ family, ip, proto }) => {
  const back = tested.send(ip()[proto]({ id: 77, seq: 3 }).payload('ping!')).parsed()
  expect(back[proto]).toMatchObject({ type: family === 4 ? 0 : 129, id: 77, seq: 3 })
  expect(back).toMatchObject({ payload: Buffer.from('ping!'), eth: { dst: '02:00:00:00:00:01' } })
})

test('an ARP request is answered in place', () => {
  const request = eth({ dst: 'ff:ff:ff:ff:ff:ff' }).arp({ sender_ip: '10.0.0.1', target_ip: '10.0.0.254' })
  expect(tested.send(request).parsed()).toMatchObject({
    eth: { src: OWN_MAC, dst: '02:00:00:00:00:01' },
    arp: { operation: 2, sender_mac: OWN_MAC, sender_ip: '10.0.0.254', target_mac: '02:00:00:00:00:01', target_ip: '10.0.0.1' }
  })
})

test('a neighbour solicitation is answered in place', () => {
  const request = eth({ dst: '33:33:ff:00:00:fe' }).ipv6({ src: 'fd00::1', dst: 'ff02::1:ff00:fe', hop_limit: 255 })
  expect(tested.send(request.solicitation({ target: 'fd00::fe', mac: '02:00:00:00:00:01' })).parsed()).toMatchObject({
    eth: { src: OWN_MAC, dst: '02:00:00:00:00:01' },
    ipv6: { src: 'fd00::fe', dst: 'fd00::1', hop_limit: 255 },
    advertisement: { target: 'fd00::fe', mac: OWN_MAC, flags: 'RSO' }
  })
})

test('a neighbour solicitation without a source is answered to all nodes', () => {
  const probe = eth({ dst: '33:33:ff:00:00:fe' })
    .ipv6({ src: '::', dst: 'ff02::1:ff00:fe', hop_limit: 255 })
    .solicitation({ target: 'fd00::fe' })
  expect(tested.send(probe).parsed()).toMatchObject({
    eth: { dst: '33:33:00:00:00:01' },
    ipv6: { dst: 'ff02::1' },
    advertisement: { flags: 'RO' }
  })
})

test('a neighbour solicitation that came through a router is not believed', () => {
  const request = eth().ipv6({ hop_limit: 254 }).solicitation({ target: 'fd00::fe', mac: '02:00:00:00:00:01' })
  expect(tested.send(request).went).toBe('nowhere')
})

test('any IPv4 packet becomes an ARP request of the least length that Ethernet carries', () => {
  const outcome = tested.send(eth().ipv4().udp({ dport: QUESTION }).payload(500))
  expect(outcome.bytes).toHaveLength(60)
  expect(outcome.parsed()).toMatchObject({
    eth: { src: OWN_MAC, dst: 'ff:ff:ff:ff:ff:ff' },
    arp: { operation: 1, sender_mac: OWN_MAC, sender_ip: '10.0.0.1', target_ip: '10.0.0.2' },
    trailer: Buffer.alloc(18)
  })
})

test('any IPv6 packet becomes a neighbour solicitation', () => {
  const back = tested.send(eth().ipv6({ dst: 'fd00::12:3456' }).udp({ dport: QUESTION }).payload(500)).parsed()
  expect(back).toMatchObject({
    eth: { src: OWN_MAC, dst: '33:33:ff:12:34:56' },
    ipv6: { src: 'fd00::1', dst: 'ff02::1:ff12:3456', hop_limit: 255 },
    solicitation: { target: 'fd00::12:3456', mac: OWN_MAC }
  })
})

test.each([false, true])('a question is answered that was made of a packet, out of a tunnel: %s', decapsulated => {
  const v4 = eth().ipv4().udp({ dport: ASKED }).payload(500)
  expect(tested.send(v4, { decapsulated }).parsed({ unchecked: true }).arp).toMatchObject({ operation: 2, sender_ip: '10.0.0.2' })
  const v6 = eth().ipv6().udp({ dport: ASKED }).payload(500)
  expect(tested.send(v6, { decapsulated }).parsed()).toMatchObject({ advertisement: { target: 'fd00::2', mac: OWN_MAC } })
})

test('a hop is taken, and the checksum follows', () => {
  expect(tested.send(eth().ipv4({ ttl: 9 }).udp({ dport: ONE_HOP })).parsed().ipv4!.ttl).toBe(8)
  expect(tested.send(eth().ipv6({ hop_limit: 9 }).udp({ dport: ONE_HOP })).parsed().ipv6!.hop_limit).toBe(8)
})

const malformed: [string, Frame | Uint8Array][] = [
  ['an IPv4 header shorter than one is', eth().ipv4({ ihl: 4 }).udp()],
  ['an IPv4 packet of another version', eth().ipv4({ version: 5 }).udp()],
  ['an IPv4 packet longer than its frame', eth().ipv4({ length: 900 }).udp().payload('x')],
  ['an IPv4 packet shorter than its header', eth().ipv4({ length: 12 }).udp()],
  ['an IPv6 packet of another version', eth().ipv6({ version: 4 }).udp()],
  ['an IPv6 packet longer than its frame', eth().ipv6({ length: 900 }).udp()],
  ['an IPv6 extension header cut short', eth().ipv6({ next: 60 }).payload('ab')],
  [
    'more IPv6 extension headers than any has',
    Array.from({ length: 7 })
      .reduce<Frame>(frame => frame.extension({ kind: 60 }), eth().ipv6())
      .udp()
  ],
  ['a TCP header cut short', eth().ipv4().tcp().cut(44)],
  [
    'a TCP header longer than its packet',
    eth()
      .ipv4({ length: 40 })
      .tcp({ options: Buffer.alloc(20) })
  ],
  ['a UDP header cut short', eth().ipv4({ length: 26 }).udp().cut(40)],
  ['a TCP fragment that hides the flags of the first', eth().ipv4({ offset: 8 }).payload(32)]
]

test.each(malformed)('%s is dropped and counted', (name, frame) => {
  const bytes = frame instanceof Frame ? frame.bytes() : Buffer.from(frame)
  if (name.includes('hides')) bytes[23] = 6
  expect(tested.send(bytes)).toMatchObject({ went: 'nowhere', counted: { malformed: 1 } })
})

test('ports are found behind IPv4 options and IPv6 extension headers', () => {
  const v4 = eth().ipv4({ options: Buffer.alloc(40, 1) })
  const v6 = eth()
    .ipv6()
    .extension({ kind: 0 })
    .extension({ kind: 60, data: Buffer.alloc(22) })
  expect(tested.send(v4.udp({ dport: NO_PORT })).parsed().icmp!.code).toBe(3)
  expect(tested.send(v6.udp({ dport: NO_PORT })).parsed().icmpv6!.code).toBe(4)
})

test('a first fragment has ports', () => {
  for (const { ip } of families)
    expect(tested.send(fragments(ip().udp({ dport: NO_PORT }).payload(100), 64)[0]!)).toMatchObject({ went: 'port' })
})
