// SPDX-License-Identifier: Apache-2.0
// The router, packet by packet: through the loaded program, in both families alike.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { linkLocal } from '../../catalogue/addresses'
import { eth, type Frame, fragments } from '../../packets/frame'
import { loadFunction, now, type Outcome, type TestedFunction } from '../../testing/harness'
import { Random, SEED } from '../../testing/random'
import { router } from './router'

// alice ── web ── router ── db ── bob, and beyond bob's link two further routers: north, east
const INTERFACES = {
  web: { address: '10.0.1.1/24', ipv6_address: 'fd00:1::1/64' },
  db: { address: '10.0.2.1/24', ipv6_address: 'fd00:2::1/64' },
  old: { address: '10.0.3.1/24' }
}
const ROUTES = {
  default4: { destination: '0.0.0.0/0', via: '10.0.2.8' },
  default6: { destination: '2000::/3', via: 'fd00:2::8' },
  shared4a: { destination: '198.51.100.0/24', via: '10.0.2.8' },
  shared4b: { destination: '198.51.100.0/24', via: '10.0.2.9' },
  shared6a: { destination: '2001:db8:6::/48', via: 'fd00:2::8' },
  shared6b: { destination: '2001:db8:6::/48', via: 'fd00:2::9' },
  hole4: { destination: '192.0.2.0/24', type: 'blackhole' },
  hole6: { destination: '2001:db8:2::/48', type: 'blackhole' },
  wall4: { destination: '192.0.3.0/24', type: 'prohibit' },
  wall6: { destination: '2001:db8:3::/48', type: 'prohibit' },
  gone4: { destination: '192.0.4.0/24', type: 'unreachable' },
  gone6: { destination: '2001:db8:4::/48', type: 'unreachable' },
  linked4: { destination: '192.0.5.0/24', interface: 'db' },
  linked6: { destination: '2001:db8:5::/48', interface: 'db' },
  local6: { destination: '2001:db8:7::/48', via: 'fe80::9', interface: 'db' },
  special4: { destination: '10.0.2.23/32', via: '10.0.2.9' },
  special6: { destination: 'fd00:2::23/128', via: 'fd00:2::9' },
  never: { destination: 'fd00:9::/32', type: 'unreachable' }
}
const CONFIG = { interfaces: INTERFACES, routes: ROUTES, control_rate: 1_000_000 }
const OWN = router.presents!(CONFIG as never, 'tested')
const MACS = {
  alice: '02:00:00:00:01:11',
  bob: '02:00:00:00:02:22',
  eve: '02:00:00:00:02:66',
  north: '02:00:00:00:02:08',
  east: '02:00:00:00:02:09'
}
const network = (vni: number, mtu: number, endpoints: { mac: string; addresses: string[] }[]) => ({
  ...{ name: `n${vni}`, vni, mtu, cidrs: [], endpoints }
})
const PORTS = {
  web: { number: 0, network: network(1, 1450, [{ mac: MACS.alice, addresses: ['10.0.1.11', 'fd00:1::11'] }]) },
  db: {
    number: 1,
    network: network(2, 1400, [
      { mac: MACS.bob, addresses: ['10.0.2.22', 'fd00:2::22', '10.0.2.23', 'fd00:2::23'] },
      { mac: MACS.north, addresses: ['10.0.2.8', 'fd00:2::8'] },
      { mac: MACS.east, addresses: ['10.0.2.9', 'fd00:2::9', 'fe80::9'] }
    ])
  }
}
const surroundings = { name: 'tested', ports: PORTS }

/** Addresses of the same meaning in both families. */
const FAMILIES = [
  {
    family: 4 as const,
    ...{ alice: '10.0.1.11', bob: '10.0.2.22', bobToo: '10.0.2.23', stranger: '10.0.2.66', web: '10.0.1.1', db: '10.0.2.1' },
    ...{ far: '203.0.113.5', shared: '198.51.100.7', hole: '192.0.2.5', wall: '192.0.3.5', gone: '192.0.4.5', linked: '192.0.5.5' },
    icmp: 'icmp' as const
  },
  {
    family: 6 as const,
    ...{ alice: 'fd00:1::11', bob: 'fd00:2::22', bobToo: 'fd00:2::23', stranger: 'fd00:2::66', web: 'fd00:1::1', db: 'fd00:2::1' },
    ...{
      far: '2001:db8:1::5',
      shared: '2001:db8:6::7',
      hole: '2001:db8:2::5',
      wall: '2001:db8:3::5',
      gone: '2001:db8:4::5',
      linked: '2001:db8:5::5'
    },
    icmp: 'icmpv6' as const
  }
]

let tested: TestedFunction
beforeAll(async () => {
  tested = await loadFunction(router, CONFIG, { surroundings })
  tested.table('host').put(0, { ...(tested.table('host').get(0) as object), replica: 1 })
})
afterAll(() => tested?.close())
beforeEach(() => {
  for (const name of ['learned', 'pending']) for (const { key } of tested.table(name).entries()) tested.table(name).delete(key)
})

/** A packet from alice to the router's MAC on her link. */
function ip(
  dst: string,
  { src, ttl = 64, mac = OWN.web!.mac, from = MACS.alice }: { src?: string; ttl?: number; mac?: string; from?: string } = {}
): Frame {
  const frame = eth({ src: from, dst: mac })
  return dst.includes(':')
    ? frame.ipv6({ src: src ?? 'fd00:1::11', dst, hop_limit: ttl })
    : frame.ipv4({ src: src ?? '10.0.1.11', dst, ttl })
}

function expectDrop(outcome: Outcome, ...reasons: string[]): void {
  expect(outcome).toMatchObject({ went: 'nowhere', counted: Object.fromEntries(reasons.map(reason => [reason, 1])) })
}

/** An error about the packet came back to alice. */
function expectError(outcome: Outcome, family: 4 | 6, type: number, code: number, reason: string): void {
  expect(outcome).toMatchObject({ went: 'port', port: 'web', counted: { [reason]: 1, errors: 1 } })
  const { eth: link, ipv4, ipv6, icmp, icmpv6 } = outcome.parsed()
  expect(link).toMatchObject({ src: OWN.web!.mac, dst: MACS.alice })
  expect(ipv4 ?? ipv6).toMatchObject(family === 4 ? { src: '10.0.1.1', dst: '10.0.1.11' } : { src: 'fd00:1::1', dst: 'fd00:1::11' })
  expect(icmp ?? icmpv6).toMatchObject({ type, code })
}

describe.each(FAMILIES)('IPv$family forwarding', ({ family, bob, bobToo, far, shared, hole, wall, gone, linked, alice, web, icmp }) => {
  const ttlOf = (outcome: Outcome) => outcome.parsed().ipv4?.ttl ?? outcome.parsed().ipv6?.hop_limit

  test('a packet to a known neighbour of another link has one hop less and the MACs of that link', () => {
    const outcome = tested.send(ip(bob).udp().payload('hello'), { port: 'web', workload: 7, peer: 3 })
    expect(outcome).toMatchObject({ went: 'port', port: 'db', counted: {} })
    expect(outcome.parsed()).toMatchObject({ eth: { src: OWN.db!.mac, dst: MACS.bob }, payload: Buffer.from('hello') })
    expect(ttlOf(outcome)).toBe(63)
    expect(outcome.cb.slice(2, 4)).toEqual([0, 0])
  })

  test('a packet to elsewhere goes to the next router, addressed as before', () => {
    const outcome = tested.send(ip(far).tcp())
    expect(outcome).toMatchObject({ went: 'port', port: 'db' })
    expect(outcome.parsed().eth.dst).toBe(MACS.north)
    expect((outcome.parsed().ipv4 ?? outcome.parsed().ipv6)!.dst).toBe(far)
  })

  test('a packet goes back by the link it came from, where its way leads there', () => {
    expect(tested.send(ip(alice, { src: far, from: MACS.east }).udp())).toMatchObject({ went: 'port', port: 'web' })
  })

  test('a route of one address goes before the link that it lies on', () => {
    expect(tested.send(ip(bobToo).udp()).parsed().eth.dst).toBe(MACS.east)
  })

  test('a route by an interface takes its destinations for neighbours', () => {
    const outcome = tested.send(ip(linked).udp())
    expect(outcome.counted).toMatchObject({ requests: 1 })
    expect(outcome.parsed().arp?.target_ip ?? outcome.parsed().solicitation?.target).toBe(linked)
  })

  test('the flows of a shared destination are spread, and each keeps its next hop', () => {
    const hopOf = (sport: number, size = 10) => tested.send(ip(shared).udp({ sport }).payload(size)).parsed().eth.dst
    const hops = Array.from({ length: 200 }, (_, n) => hopOf(1000 + n))
    expect(Array.from({ length: 200 }, (_, n) => hopOf(1000 + n, 500))).toEqual(hops)
    const toNorth = hops.filter(mac => mac === MACS.north).length
    expect(new Set(hops)).toEqual(new Set([MACS.north, MACS.east]))
    expect(toNorth).toBeGreaterThan(60)
    expect(toNorth).toBeLessThan(140)
  })

  test('the fragments of a packet take one way', () => {
    for (let n = 0; n < 20; n++) {
      const hops = fragments(
        ip(`${shared.slice(0, -1)}${n % 10}`)
          .udp({ sport: 2000 + n })
          .payload(900),
        304
      ).map(piece => tested.send(piece).parsed({ unchecked: true }).eth.dst)
      expect(new Set(hops).size).toBe(1)
    }
  })

  test('a packet whose last hop this is draws time exceeded', () => {
    const [type, code] = family === 4 ? [11, 0] : [3, 0]
    for (const ttl of [0, 1])
      for (const dst of [bob, far]) expectError(tested.send(ip(dst, { ttl }).udp()), family, type, code, 'ttl_exceeded')
  })

  test('a packet for the router itself may have come to its last hop', () => {
    expect(tested.send(ip(web, { ttl: 1 })[icmp]())).toMatchObject({ went: 'port', counted: { answered: 1 } })
  })

  test('a packet without a route draws no route', () => {
    const frame = family === 4 ? ip('10.9.9.9').udp() : ip('fd00:3::5').udp()
    tested.apply({ ...CONFIG, routes: { never: ROUTES.never } }, surroundings)
    expectError(tested.send(frame), family, ...((family === 4 ? [3, 0] : [1, 0]) as [number, number]), 'no_route')
    tested.apply(CONFIG, surroundings)
  })

  test('a blackhole swallows, a prohibition and an unreachable route tell', () => {
    expectDrop(tested.send(ip(hole).udp()), 'blackholed')
    expectError(tested.send(ip(wall).udp()), family, ...((family === 4 ? [3, 13] : [1, 1]) as [number, number]), 'prohibited')
    expectError(tested.send(ip(gone).udp()), family, ...((family === 4 ? [3, 1] : [1, 3]) as [number, number]), 'unreachable')
  })

  test('a packet longer than the next link takes draws too big, with the length that it takes', () => {
    const header = family === 4 ? 28 : 48
    expect(
      tested.send(
        ip(bob)
          .udp()
          .payload(1400 - header)
      )
    ).toMatchObject({ went: 'port', port: 'db' })
    const outcome = tested.send(
      ip(bob)
        .udp()
        .payload(1401 - header)
    )
    expectError(outcome, family, ...((family === 4 ? [3, 4] : [2, 0]) as [number, number]), 'too_big')
    expect((outcome.parsed().icmp ?? outcome.parsed().icmpv6)!.mtu).toBe(1400)
  })

  test('a train of segments passes whole where each of them fits, and draws too big where not', () => {
    const train = ip(bob)
      .tcp({ options: Buffer.alloc(12, 1) })
      .payload(3000)
    const most = 1400 - (family === 4 ? 20 : 40) - 32
    expect(tested.send(train, { gso_size: most })).toMatchObject({ went: 'port', port: 'db', counted: {} })
    expectError(tested.send(train, { gso_size: most + 1 }), family, ...((family === 4 ? [3, 4] : [2, 0]) as [number, number]), 'too_big')
  })
})

/** IPv6 to bob's IPv4 address, as ::ffff:10.0.2.22. */
const mapped = Buffer.concat([ip('fd00:2::22').udp().cut(38), Buffer.from('00000000000000000000ffff0a000216', 'hex'), Buffer.alloc(8)])

describe('a packet that no router may forward is dropped, and counted', () => {
  test.each([
    ['for another station', ip('10.0.2.22', { mac: '02:00:00:00:00:99' }).udp(), 'not_ours'],
    ['of neither family', eth({ dst: OWN.web!.mac, type: 0x88cc }).payload(60), 'unsupported'],
    ['with a VLAN tag', eth({ dst: OWN.web!.mac }).vlan(5).ipv4({ dst: '10.0.2.22' }).udp(), 'unsupported'],
    ['broadcast', eth({ dst: 'ff:ff:ff:ff:ff:ff' }).ipv4({ src: '0.0.0.0', dst: '255.255.255.255' }).udp(), 'multicast'],
    ['of a group', eth({ dst: '01:00:5e:00:00:fb' }).ipv4({ dst: '224.0.0.251' }).udp(), 'multicast'],
    ['of an IPv6 group', eth({ dst: '33:33:00:00:00:fb' }).ipv6({ dst: 'ff02::fb' }).udp(), 'multicast'],
    ['to the broadcast address of a link', ip('10.0.2.255').udp(), 'martian'],
    ['to the address of a subnet', ip('10.0.2.0').udp(), 'martian'],
    ['to a group, by the router’s MAC', ip('224.0.0.251').udp(), 'martian'],
    ['to an IPv6 group, by the router’s MAC', ip('ff02::fb').udp(), 'martian'],
    ['to loopback', ip('127.0.0.1').udp(), 'martian'],
    ['to IPv6 loopback', ip('::1').udp(), 'martian'],
    ['to this network', ip('0.0.0.9').udp(), 'martian'],
    ['to a reserved address', ip('240.0.0.1').udp(), 'martian'],
    ['to a link-local address', ip('169.254.1.1').udp(), 'martian'],
    ['to another’s IPv6 link-local address', ip('fe80::1234').udp(), 'martian'],
    ['to an IPv4 address inside IPv6', mapped, 'martian'],
    ['from loopback', ip('10.0.2.22', { src: '127.0.0.1' }).udp(), 'martian'],
    ['from IPv6 loopback', ip('fd00:2::22', { src: '::1' }).udp(), 'martian'],
    ['from nobody', ip('10.0.2.22', { src: '0.0.0.0' }).udp(), 'martian'],
    ['from nobody in IPv6', ip('fd00:2::22', { src: '::' }).udp(), 'martian'],
    ['from a group', ip('10.0.2.22', { src: '224.0.0.1' }).udp(), 'martian'],
    ['from an IPv6 group', ip('fd00:2::22', { src: 'ff02::1' }).udp(), 'martian'],
    ['from a link-local address to another link', ip('fd00:2::22', { src: 'fe80::11' }).udp(), 'martian']
  ])('%s', (_, frame, reason) => {
    expectDrop(tested.send(frame), reason)
  })

  test('in IPv6, on a link that has none', () => {
    expectDrop(tested.send(ip('fd00:2::22', { mac: OWN.old!.mac }).udp(), { port: 'old' }), 'unsupported')
  })
})

describe('a malformed packet is dropped, counted and never sent on', () => {
  const options = Buffer.from([1, 1, 1, 0])
  test.each([
    ['cut short', ip('10.0.2.22').udp().payload(9).cut(50)],
    ['cut short, in IPv6', ip('fd00:2::22').udp().payload(9).cut(70)],
    ['cut short in its options', eth({ dst: OWN.web!.mac }).ipv4({ dst: '10.0.2.22', ihl: 15, length: 60 }).udp().bytes()],
    ['with a wrong version', eth({ dst: OWN.web!.mac }).ipv4({ dst: '10.0.2.22', version: 5 }).udp()],
    ['with a wrong IPv6 version', eth({ dst: OWN.web!.mac }).ipv6({ dst: 'fd00:2::22', version: 4 }).udp()],
    ['with a header shorter than it can be', eth({ dst: OWN.web!.mac }).ipv4({ dst: '10.0.2.22', ihl: 4 }).udp()],
    ['with a wrong checksum', eth({ dst: OWN.web!.mac }).ipv4({ dst: '10.0.2.22', checksum: 0x1234 }).udp()],
    ['with a wrong checksum over options', eth({ dst: OWN.web!.mac }).ipv4({ dst: '10.0.2.22', options, checksum: 0x1234 }).udp()],
    ['longer than it is', eth({ dst: OWN.web!.mac }).ipv4({ dst: '10.0.2.22', length: 1000 }).udp()],
    ['shorter than its header', eth({ dst: OWN.web!.mac }).ipv4({ dst: '10.0.2.22', length: 19 }).udp()],
    ['longer than it is, in IPv6', eth({ dst: OWN.web!.mac }).ipv6({ dst: 'fd00:2::22', length: 1000 }).udp()],
    ['of ARP, cut short', eth({ dst: OWN.web!.mac }).arp({ target_ip: '10.0.1.1' }).cut(40)]
  ])('%s', (_, frame) => {
    expectDrop(tested.send(frame), 'malformed')
  })

  test('while one with options, and one padded as Ethernet does it, pass', () => {
    const frame = eth({ src: MACS.alice, dst: OWN.web!.mac }).ipv4({ src: '10.0.1.11', dst: '10.0.2.22', options }).udp()
    expect(tested.send(frame)).toMatchObject({ went: 'port', port: 'db' })
    expect(tested.send(Buffer.concat([ip('10.0.2.22').udp().bytes(), Buffer.alloc(18)]))).toMatchObject({ went: 'port', port: 'db' })
  })
})

describe.each(FAMILIES)('IPv$family, to the router itself', ({ family, web, db, icmp, bob, far }) => {
  test('a ping of any of its addresses is answered, from any link', () => {
    for (const address of [web, db]) {
      const outcome = tested.send(ip(address)[icmp]({ id: 7, seq: 9 }).payload('ping'))
      expect(outcome).toMatchObject({ went: 'port', port: 'web', counted: { answered: 1 } })
      const { eth: link, ipv4, ipv6, payload } = outcome.parsed()
      expect(link).toMatchObject({ src: OWN.web!.mac, dst: MACS.alice })
      expect((ipv4 ?? ipv6)!.src).toBe(address)
      expect(outcome.parsed()[icmp]).toMatchObject({ type: family === 4 ? 0 : 129, id: 7, seq: 9 })
      expect(payload).toEqual(Buffer.from('ping'))
    }
  })

  test('a datagram and a connection are refused as for a closed port', () => {
    const [type, code] = family === 4 ? [3, 3] : [1, 4]
    expectError(tested.send(ip(web).udp()), family, type, code, 'not_served')
    expectError(tested.send(ip(web).tcp()), family, type, code, 'not_served')
  })

  test('anything else is dropped, and counted', () => {
    expectDrop(tested.send(ip(web).sctp()), 'not_served')
    expectDrop(tested.send(ip(web)[icmp]({ type: family === 4 ? 0 : 129 })), 'not_served')
  })

  test('no error answers an error, or a fragment that is not the first', () => {
    const error = ip(bob, { ttl: 1 })
      [icmp]({ type: family === 4 ? 3 : 1 })
      .quote(ip(far).udp())
    expectDrop(tested.send(error), 'ttl_exceeded')
    const [first, second] = fragments(ip(bob, { ttl: 1 }).udp().payload(600), 304)
    expectError(tested.send(first!), family, ...((family === 4 ? [11, 0] : [3, 0]) as [number, number]), 'ttl_exceeded')
    expectDrop(tested.send(second!), 'ttl_exceeded')
  })
})

describe('ARP', () => {
  const request = (target_ip: string, sender: { mac: string; ip: string }, dst = 'ff:ff:ff:ff:ff:ff') =>
    eth({ src: sender.mac, dst }).arp({ sender_mac: sender.mac, sender_ip: sender.ip, target_ip })
  const reply = (sender: { mac: string; ip: string }, dst: string, target_ip = '10.0.2.1') =>
    eth({ src: sender.mac, dst }).arp({ operation: 2, sender_mac: sender.mac, sender_ip: sender.ip, target_mac: OWN.db!.mac, target_ip })
  const eve = { mac: MACS.eve, ip: '10.0.2.66' }
  const known = () => tested.table('learned').get({ address: eve.ip, scope: 0 }) as { mac: string } | undefined

  test('a request for the router’s address on the link is answered, and teaches who asks', () => {
    const outcome = tested.send(request('10.0.2.1', eve), { port: 'db' })
    expect(outcome).toMatchObject({ went: 'port', port: 'db', counted: { answered: 1, learned: 1 } })
    expect(outcome.parsed()).toMatchObject({
      eth: { src: OWN.db!.mac, dst: MACS.eve },
      arp: { operation: 2, sender_mac: OWN.db!.mac, sender_ip: '10.0.2.1', target_mac: MACS.eve, target_ip: eve.ip }
    })
    expect(tested.send(ip(eve.ip).udp()).parsed().eth.dst).toBe(MACS.eve)
  })

  test('a probe whether the router’s address is free is answered, and teaches nothing', () => {
    expect(tested.send(request('10.0.2.1', { ...eve, ip: '0.0.0.0' }), { port: 'db' }).counted).toEqual({ answered: 1 })
  })

  test('a request for another’s address, or for that of another link, is only heard', () => {
    expectDrop(tested.send(request('10.0.2.7', eve), { port: 'db' }), 'heard')
    expectDrop(tested.send(request('10.0.1.1', eve), { port: 'db' }), 'heard')
    expect(known()).toBeUndefined()
  })

  test('an announcement changes what is known, and teaches nothing new', () => {
    const announcement = (mac: string) => request(eve.ip, { mac, ip: eve.ip })
    expectDrop(tested.send(announcement(MACS.eve), { port: 'db' }), 'heard')
    expect(known()).toBeUndefined()
    tested.send(request('10.0.2.1', eve), { port: 'db' })
    expect(tested.send(announcement('02:00:00:00:02:67'), { port: 'db' }).counted).toEqual({ heard: 1, learned: 1 })
    expect(known()?.mac).toBe('02:00:00:00:02:67')
  })

  test('nobody is believed who is of another link, the router itself, or a group', () => {
    for (const sender of [
      { ...eve, ip: '10.0.1.66' },
      { ...eve, ip: '10.0.2.1' },
      { ...eve, ip: '10.9.9.9' },
      { mac: '03:00:00:00:00:01', ip: '10.0.2.67' }
    ])
      tested.send(request('10.0.2.1', sender), { port: 'db' })
    expect(tested.table('learned').entries()).toEqual([])
  })

  test('what the directory knows goes before what is learned', () => {
    tested.send(request('10.0.2.1', { mac: MACS.eve, ip: '10.0.2.22' }), { port: 'db' })
    expect(tested.send(ip('10.0.2.22').udp()).parsed().eth.dst).toBe(MACS.bob)
  })

  test('a reply to a question of this host is learned', () => {
    tested.send(ip(eve.ip).udp())
    expect(tested.send(reply(eve, OWN.db!.mac), { port: 'db' }).counted).toEqual({ heard: 1, learned: 1 })
    expect(tested.table('pending').entries()).toEqual([])
  })

  test('a reply to another host’s question is learned, and passed on to all hosts; they only learn', () => {
    const outcome = tested.send(reply(eve, OWN.db!.mac), { port: 'db' })
    expect(outcome).toMatchObject({ went: 'port', port: 'db', counted: { relayed: 1, learned: 1 } })
    expect(outcome.parsed()).toMatchObject({
      eth: { src: OWN.db!.mac, dst: 'ff:ff:ff:ff:ff:ff' },
      arp: { operation: 2, sender_mac: MACS.eve, sender_ip: eve.ip, target_ip: '10.0.2.1' }
    })
    expect(tested.send(outcome.bytes, { port: 'db' }).counted).toEqual({ heard: 1 })
  })
})

describe('neighbour discovery', () => {
  const linkLocalOfDb = linkLocal(OWN.db!.mac)
  const eve = 'fd00:2::66'
  const solicit = (target: string, src: string, hop_limit = 255) =>
    eth({ src: MACS.eve, dst: '33:33:ff:00:00:01' }).ipv6({ src, dst: 'ff02::1:ff00:1', hop_limit }).solicitation({ target, mac: MACS.eve })
  const advertise = (target: string, dst: string, mac = MACS.eve) =>
    eth({ src: mac, dst }).ipv6({ src: target, dst: linkLocalOfDb, hop_limit: 255 }).advertisement({ target, mac, flags: 'SO' })
  const known = (address: string, scope = 0) => tested.table('learned').get({ address, scope }) as { mac: string } | undefined

  test('a solicitation for either of the router’s addresses on the link is answered, and teaches who asks', () => {
    for (const [target, src, scope] of [
      ['fd00:2::1', eve, 0],
      [linkLocalOfDb, 'fe80::66', 2]
    ] as const) {
      const outcome = tested.send(solicit(target, src), { port: 'db' })
      expect(outcome).toMatchObject({ went: 'port', port: 'db', counted: { answered: 1, learned: 1 } })
      expect(outcome.parsed()).toMatchObject({
        eth: { src: OWN.db!.mac, dst: MACS.eve },
        ipv6: { src: target, dst: src, hop_limit: 255 },
        advertisement: { target, mac: OWN.db!.mac, flags: 'RSO' }
      })
      expect(known(src, scope)?.mac).toBe(MACS.eve)
    }
  })

  test('one who has no address yet is told by multicast that the router’s is taken', () => {
    const outcome = tested.send(solicit('fd00:2::1', '::'), { port: 'db' })
    expect(outcome).toMatchObject({ went: 'port', counted: { answered: 1 } })
    expect(outcome.parsed()).toMatchObject({ eth: { dst: '33:33:00:00:00:01' }, ipv6: { dst: 'ff02::1' }, advertisement: { flags: 'RO' } })
  })

  test('a solicitation for another’s address is only heard; one that came through a router is malformed', () => {
    expectDrop(tested.send(solicit('fd00:2::7', eve), { port: 'db' }), 'heard')
    expectDrop(tested.send(solicit('fd00:2::1', eve, 254), { port: 'db' }), 'malformed')
    expectDrop(tested.send(advertise(eve, OWN.db!.mac).bytes().fill(0xff, 62, 78), { port: 'db' }), 'malformed')
    expect(tested.table('learned').entries()).toEqual([])
  })

  test('an advertisement that was asked for is learned', () => {
    tested.send(ip(eve).udp())
    expect(tested.send(advertise(eve, OWN.db!.mac), { port: 'db' }).counted).toEqual({ heard: 1, learned: 1 })
    expect(tested.send(ip(eve).udp()).parsed().eth.dst).toBe(MACS.eve)
  })

  test('an advertisement to all changes what is known, and teaches nothing new', () => {
    expect(tested.send(advertise(eve, '33:33:00:00:00:01'), { port: 'db' }).counted).toEqual({ heard: 1 })
    tested.send(solicit('fd00:2::1', eve), { port: 'db' })
    expect(tested.send(advertise(eve, '33:33:00:00:00:01', '02:00:00:00:02:67'), { port: 'db' }).counted).toEqual({ heard: 1, learned: 1 })
  })

  test('an advertisement that another host asked for is passed on to all hosts', () => {
    const outcome = tested.send(advertise(eve, OWN.db!.mac), { port: 'db' })
    expect(outcome).toMatchObject({ went: 'port', port: 'db', counted: { relayed: 1 } })
    expect(outcome.parsed()).toMatchObject({
      eth: { src: OWN.db!.mac, dst: '33:33:00:00:00:01' },
      advertisement: { target: eve, mac: MACS.eve }
    })
  })

  test('a router solicitation is answered with prefix, MTU and MAC', () => {
    const solicitation = eth({ src: MACS.eve, dst: '33:33:00:00:00:02' })
      .ipv6({ src: 'fe80::66', dst: 'ff02::2', hop_limit: 255 })
      .icmpv6({ type: 133 })
    const outcome = tested.send(solicitation, { port: 'db' })
    expect(outcome).toMatchObject({ went: 'port', port: 'db', counted: { answered: 1 } })
    const { eth: link, ipv6, icmpv6, payload } = outcome.parsed()
    expect(link).toMatchObject({ src: OWN.db!.mac, dst: MACS.eve })
    expect(ipv6).toMatchObject({ src: linkLocalOfDb, dst: 'fe80::66', hop_limit: 255 })
    expect(icmpv6).toMatchObject({ type: 134, code: 0 })
    const prefix = Buffer.from('fd000002000000000000000000000000', 'hex')
    expect(payload.subarray(8)).toEqual(
      Buffer.concat([
        Buffer.from([1, 1, ...Buffer.from(OWN.db!.mac.replaceAll(':', ''), 'hex')]),
        Buffer.from([5, 1, 0, 0, 0, 0, 1400 >> 8, 1400 & 255]),
        Buffer.from([3, 4, 64, 0x80, ...Array<number>(8).fill(255), 0, 0, 0, 0]),
        prefix
      ])
    )
  })

  test('a solicitation as long as its answer, with what a device has summed up, is answered', () => {
    const solicitation = eth({ src: MACS.eve, dst: '33:33:00:00:00:02' })
      .ipv6({ src: 'fe80::66', dst: 'ff02::2', hop_limit: 255 })
      .icmpv6({ type: 133 })
      .payload(56)
    const outcome = tested.send(solicitation, { port: 'db' })
    expect(outcome.bytes).toHaveLength(solicitation.bytes().length)
    expect(outcome.parsed().icmpv6).toMatchObject({ type: 134 })
  })

  test('an advertisement sends hosts to DHCPv6 where that is wanted', () => {
    const solicitation = eth({ src: MACS.eve, dst: '33:33:00:00:00:02' })
      .ipv6({ src: 'fe80::66', dst: 'ff02::2', hop_limit: 255 })
      .icmpv6({ type: 133 })
    const flags = () => tested.send(solicitation, { port: 'db' }).parsed().icmpv6!.id & 0xff
    expect(flags()).toBe(0)
    tested.apply({ ...CONFIG, interfaces: { ...INTERFACES, db: { ...INTERFACES.db, stateless_dhcp: true } } }, surroundings)
    expect(flags()).toBe(0x40)
    tested.apply(CONFIG, surroundings)
  })

  test('a router solicitation without an address is answered to all, one where advertising is off is not', () => {
    const solicitation = eth({ src: MACS.eve, dst: '33:33:00:00:00:02' })
      .ipv6({ src: '::', dst: 'ff02::2', hop_limit: 255 })
      .icmpv6({ type: 133 })
    expect(tested.send(solicitation, { port: 'db' }).parsed()).toMatchObject({
      eth: { dst: '33:33:00:00:00:01' },
      ipv6: { dst: 'ff02::1' }
    })
    tested.apply({ ...CONFIG, interfaces: { ...INTERFACES, db: { ...INTERFACES.db, advertise: false, autonomous: true } } }, surroundings)
    expectDrop(tested.send(solicitation, { port: 'db' }), 'multicast')
    tested.apply({ ...CONFIG, interfaces: { ...INTERFACES, db: { ...INTERFACES.db, autonomous: true } } }, surroundings)
    expect(tested.send(solicitation, { port: 'db' }).parsed().payload[8 + 16 + 3]).toBe(0xc0)
    tested.apply(CONFIG, surroundings)
  })
})

describe.each(FAMILIES)('IPv$family: a neighbour that nobody knows', ({ family, stranger, icmp }) => {
  type Pending = { since: bigint; asked: bigint; rounds: bigint }
  const key = { address: stranger, scope: 0 }
  const pending = () => tested.table('pending').get(key) as Pending
  const learn = (age: bigint) => tested.table('learned').put(key, { confirmed: now() - age, asked: 0n, mac: MACS.eve, port: 1 })
  const second = 1_000_000_000n

  test('is asked for, while the packet is held', () => {
    const asking = tested.send(ip(stranger).udp())
    expect(asking).toMatchObject({ went: 'nowhere', counted: { requests: 1 } })
    const { eth: link, arp, ipv6, solicitation } = asking.parsed()
    expect(link.src).toBe(OWN.db!.mac)
    if (family === 4) {
      expect(link.dst).toBe('ff:ff:ff:ff:ff:ff')
      expect(arp).toMatchObject({ operation: 1, sender_mac: OWN.db!.mac, sender_ip: '10.0.2.1', target_ip: stranger })
    } else {
      expect(link.dst).toBe('33:33:ff:00:00:66')
      expect(ipv6).toMatchObject({ src: linkLocal(OWN.db!.mac), dst: 'ff02::1:ff00:66', hop_limit: 255 })
      expect(solicitation).toEqual({ target: stranger, mac: OWN.db!.mac })
    }
    const frame = ip(stranger).udp()
    const held = tested.send(frame, { hops: 5 })
    expect(held).toMatchObject({ went: 'device', counted: {} })
    expect(held.mark >>> 24).toBe(4)
    expect(held.bytes).toEqual(frame.bytes())
  })

  test('gets the packet as soon as it has answered', () => {
    tested.send(ip(stranger).udp())
    learn(second / 100n)
    expect(tested.send(ip(stranger).udp())).toMatchObject({ went: 'port', port: 'db', counted: {} })
  })

  test('is asked once a second; what cannot be held until it answers is lost', () => {
    tested.send(ip(stranger).udp())
    tested.table('pending').put(key, { ...pending(), rounds: 1000n })
    expectDrop(tested.send(ip(stranger).udp()), 'unresolved')
    tested.table('pending').put(key, { ...pending(), asked: now() - second })
    expect(tested.send(ip(stranger).udp()).counted).toEqual({ requests: 1 })
    expect(pending().rounds).toBe(0n)
  })

  test('is told to be unreachable after three seconds', () => {
    tested.send(ip(stranger).udp())
    tested.table('pending').put(key, { since: now() - 3n * second, asked: now() - second / 2n, rounds: 1000n })
    expectError(tested.send(ip(stranger).udp()), family, ...((family === 4 ? [3, 1] : [1, 3]) as [number, number]), 'unresolved')
    tested.table('pending').put(key, { since: now() - 30n * second, asked: now() - 20n * second, rounds: 0n })
    expect(tested.send(ip(stranger).udp()).counted).toEqual({ requests: 1 })
    expect(now() - pending().since).toBeLessThan(second)
  })

  test('is believed for neighbour_timeout, and asked again after half of it without a loss', () => {
    learn(50n * second)
    expect(tested.send(ip(stranger).udp())).toMatchObject({ went: 'port', counted: {} })
    learn(61n * second)
    expect(tested.send(ip(stranger).udp())).toMatchObject({ went: 'nowhere', counted: { requests: 1 } })
    expect(tested.send(ip(stranger).udp())).toMatchObject({ went: 'port', port: 'db', counted: {} })
    learn(121n * second)
    expect(tested.send(ip(stranger).udp()).counted).toEqual({ requests: 1 })
    expect(pending()).toBeDefined()
  })

  test('is not looked for by a packet whose last hop this is', () => {
    expect(tested.send(ip(stranger, { ttl: 1 })[icmp]()).counted).toEqual({ ttl_exceeded: 1, errors: 1 })
  })
})

test('a link-local next hop is that of its own link', () => {
  expect(tested.send(ip('2001:db8:7::1').udp()).parsed().eth.dst).toBe(MACS.east)
})

test('errors and questions are held to control_rate, each by itself', () => {
  tested.apply({ ...CONFIG, control_rate: 1 }, surroundings)
  for (const limit of [0, 1]) tested.table('limits').put(limit, 0n)
  const expired = () => tested.send(ip('10.0.2.22', { ttl: 1 }).udp()).counted
  expect([expired(), expired()]).toEqual([
    { ttl_exceeded: 1, errors: 1 },
    { ttl_exceeded: 1, limited: 1 }
  ])
  const asked = (last: number) => tested.send(ip(`10.0.2.${last}`).udp()).counted
  tested.table('learned').put({ address: '10.0.2.99', scope: 0 }, { confirmed: now() - 61_000_000_000n, asked: 0n, mac: MACS.eve, port: 1 })
  expect([asked(100), asked(101)]).toEqual([{ requests: 1 }, { unresolved: 1, limited: 1 }])
  expect([asked(99), asked(99)]).toEqual([{ limited: 1 }, {}])
  tested.apply(CONFIG, surroundings)
  for (const limit of [0, 1]) tested.table('limits').put(limit, 0n)
})

test('an interface without an MTU of its own has its network’s, or the one that it is given', () => {
  tested.apply({ ...CONFIG, interfaces: { ...INTERFACES, db: { ...INTERFACES.db, mtu: 1300, mac: '02:00:00:00:00:db' } } }, surroundings)
  expect(tested.send(ip('10.0.2.22').udp().payload(1272)).parsed().eth.src).toBe('02:00:00:00:00:db')
  expect(tested.send(ip('10.0.2.22').udp().payload(1273)).parsed().icmp).toMatchObject({ type: 3, code: 4, mtu: 1300 })
  tested.apply(CONFIG, surroundings)
})

test('a route that changes loses no packet: old and new next hop take turns, nothing between', () => {
  const via = (hop: string) =>
    tested.apply({ ...CONFIG, routes: { ...ROUTES, default4: { destination: '0.0.0.0/0', via: hop } } }, surroundings)
  via('10.0.2.9')
  expect(tested.send(ip('203.0.113.5').udp()).parsed().eth.dst).toBe(MACS.east)
  via('10.0.2.8')
  expect(tested.send(ip('203.0.113.5').udp()).parsed().eth.dst).toBe(MACS.north)
})

describe('against a model', () => {
  const hint = `SEED=${SEED}`
  const HOPS = ['10.0.2.8', '10.0.2.9', '10.0.2.22']
  const MAC_OF: Record<string, string> = { '10.0.2.8': MACS.north, '10.0.2.9': MACS.east, '10.0.2.22': MACS.bob }
  const six = (hop: string) => `fd00:2::${hop.split('.')[3]}`
  const bits = (address: string) => address.split('.').reduce((word, octet) => word * 256 + Number(octet), 0)
  const dotted = (word: number) => [24, 16, 8, 0].map(shift => (word >>> shift) & 255).join('.')
  /** The same 32 bits in the middle of an IPv6 address. */
  const sixOf = (word: number) => `2001:db8:${(word >>> 16).toString(16)}:${(word & 0xffff).toString(16)}::`
  const masked = (word: number, length: number) => (length === 0 ? 0 : (word & (-1 << (32 - length))) >>> 0)

  interface ModelRoute {
    prefix: number
    length: number
    hop: string
  }

  /** Prefixes that nest often: few values in each octet. */
  function routesOf(count: number): ModelRoute[] {
    const random = new Random()
    const routes = new Map<string, ModelRoute>()
    while (routes.size < count) {
      const length = 10 + random.below(23)
      const prefix = masked(bits(`172.${16 + random.below(16)}.${random.below(40)}.${random.below(256)}`), length)
      routes.set(`${prefix}/${length}`, { prefix, length, hop: HOPS[random.below(3)]! })
    }
    return [...routes.values()]
  }

  function configOf(routes: ModelRoute[]) {
    const rows = routes.flatMap(({ prefix, length, hop }) => [
      { destination: `${dotted(prefix)}/${length}`, via: hop },
      { destination: `${sixOf(prefix)}/${32 + length}`, via: six(hop) }
    ])
    return { ...CONFIG, routes: Object.fromEntries(rows.map((row, n) => [`r${n}`, row])) }
  }

  /** Reads the list from end to end, as nobody would who is in a hurry. */
  function longest(routes: ModelRoute[], word: number): string | undefined {
    return routes.filter(({ prefix, length }) => masked(word, length) === prefix).sort((a, b) => b.length - a.length)[0]?.hop
  }

  test(`10,000 routes lead each packet by the longest prefix (${hint})`, () => {
    const routes = routesOf(5000)
    tested.apply(configOf(routes), surroundings)
    expect(tested.table('routes4').entries().length + tested.table('routes6').entries().length).toBeGreaterThan(10_000)
    const random = new Random(SEED + 1)
    for (let n = 0; n < 500; n++) {
      const word = bits(`172.${16 + random.below(16)}.${random.below(40)}.${random.below(256)}`)
      const hop = longest(routes, word)
      for (const address of [dotted(word), sixOf(word)]) {
        const outcome = tested.send(ip(address).udp())
        if (hop) expect([hint, address, outcome.parsed().eth.dst]).toEqual([hint, address, MAC_OF[hop]])
        else expect([hint, address, outcome.counted]).toEqual([hint, address, { no_route: 1, errors: 1 }])
      }
    }
    tested.apply(CONFIG, surroundings)
    expect(tested.table('routes4').entries().length).toBeLessThan(40)
  })

  test(`shared destinations have the share of the flows that their weights say, and a hop that goes takes only its own along (${hint})`, () => {
    const random = new Random(SEED + 2)
    const weights = HOPS.map(() => 1 + random.below(4))
    const total = weights.reduce((sum, weight) => sum + weight, 0)
    const rows = (hops: string[]) =>
      hops.map((via, n) => [`s${n}`, { destination: '203.0.113.0/24', via, weight: weights[HOPS.indexOf(via)] }])
    const flows = Array.from({ length: 1500 }, () => ({
      dst: `203.0.113.${random.below(256)}`,
      sport: random.below(65_536),
      dport: random.below(65_536)
    }))
    const taken = (hops: string[]) => {
      tested.apply({ ...CONFIG, routes: Object.fromEntries(rows(hops)) }, surroundings)
      return flows.map(({ dst, ...ports }) => tested.send(ip(dst).udp(ports)).parsed().eth.dst)
    }
    const before = taken(HOPS)
    for (const [n, hop] of HOPS.entries()) {
      const share = before.filter(mac => mac === MAC_OF[hop]).length / flows.length
      expect(`${hint} ${Math.abs(share - weights[n]! / total) < 0.06}`).toBe(`${hint} true`)
    }
    const gone = MAC_OF[HOPS[2]!]
    const moved = taken(HOPS.slice(0, 2)).filter((mac, n) => before[n] !== gone && before[n] !== mac).length
    expect(moved / flows.length).toBeLessThan(0.15)
    tested.apply(CONFIG, surroundings)
  })
})
