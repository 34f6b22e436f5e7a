// SPDX-License-Identifier: Apache-2.0
// The balancer, packet by packet: through the loaded program, in both families alike.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { eth, type Frame, fragments } from '../../packets/frame'
import { loadFunction, type Outcome, type TestedFunction } from '../../testing/harness'
import { loadBalancer } from './load_balancer'
import { ADDRESSES, type Ends, endsOf, forgetAll, ip, other, quotedEnds, type Side, tcp, turned, udp, wait } from './testing'

const MACS = ['02:00:00:00:02:11', '02:00:00:00:02:12', '02:00:00:00:02:13']

type Family = 4 | 6

/** A TCP and a UDP service with three backends each. */
function configOf(family: Family, more: { web?: object; backends?: Record<string, object | undefined> } = {}) {
  const { virtual, backends } = ADDRESSES[family]
  const rows = backends.flatMap((address, n) => [
    [`web${n}`, { service: 'web', address, port: 8080 }] as const,
    [`dns${n}`, { service: 'dns', address }] as const
  ])
  const changed = Object.entries({ ...Object.fromEntries(rows), ...more.backends }).filter(([, row]) => row)
  return {
    max_sessions: 1024,
    services: { web: { address: virtual, port: 80, ...more.web }, dns: { address: virtual, port: 53, protocol: 'udp' } },
    backends: Object.fromEntries(changed)
  }
}

/** Between a router (outside) and the network of the backends. */
const stitched = (family: Family) => ({
  ports: {
    inside: {
      number: 0,
      network: {
        ...{ name: 'servers', vni: 1, mtu: 1450, cidrs: [] },
        endpoints: ADDRESSES[family].backends.map((address, n) => ({ mac: MACS[n]!, addresses: [address] }))
      }
    },
    outside: { number: 1 }
  }
})

describe.each([
  { family: 4 as const, from: 'outside' as const },
  { family: 6 as const, from: 'outside' as const },
  { family: 4 as const, from: 'inside' as const },
  { family: 6 as const, from: 'inside' as const }
])('IPv$family, clients $from', ({ family, from }) => {
  const { client, virtual, backends, router } = ADDRESSES[family]
  const web: Ends = { src: client, dst: virtual, sport: 40_000, dport: 80 }
  const dns: Ends = { src: client, dst: virtual, sport: 40_000, dport: 53 }
  let balancer: TestedFunction
  beforeAll(async () => {
    balancer = await loadFunction(loadBalancer, configOf(family))
  })
  afterAll(() => balancer?.close())
  beforeEach(() => {
    balancer.apply(configOf(family))
    forgetAll(balancer)
  })

  const send = (side: Side, frame: Frame | Uint8Array) => balancer.send(frame, { port: side })
  const ask = (frame: Frame | Uint8Array) => send(from, frame)
  const reply = (frame: Frame | Uint8Array) => send(other(from), frame)
  const backendOf = (frame: Frame) => endsOf(ask(frame)).dst

  test('a new session gets a backend, and its replies come from the virtual address', () => {
    const asked = ask(tcp(web))
    expect(asked).toMatchObject({ went: 'port', port: other(from), counted: { sessions_opened: 1 } })
    const ends = endsOf(asked)
    expect(ends).toMatchObject({ src: client, sport: 40_000, dport: 8080 })
    expect(backends).toContain(ends.dst)
    const replied = reply(tcp(turned(ends), 'SA'))
    expect(replied).toMatchObject({ went: 'port', port: from, counted: {} })
    expect(endsOf(replied)).toEqual(turned(web))
  })

  test('UDP is balanced as well, also without a checksum in IPv4', () => {
    const ends = endsOf(ask(udp(dns).payload('question')))
    expect(backends).toContain(ends.dst)
    expect(endsOf(reply(udp(turned(ends)).payload('answer')))).toEqual(turned(dns))
    if (family === 6) return
    const unsummed = ask(ip(dns).udp({ sport: 40_000, dport: 53, checksum: 0 }).payload('question'))
    expect(unsummed.bytes.readUInt16BE(40)).toBe(0)
    expect(unsummed.parsed({ unchecked: true }).ipv4!.dst).toBe(ends.dst)
  })

  test('sessions spread over all backends by their weights', () => {
    balancer.apply(configOf(family, { backends: { web0: { service: 'web', address: backends[0], weight: 2 } } }))
    const counts = new Map<string, number>()
    for (let n = 0; n < 1000; n++) {
      const backend = backendOf(tcp({ ...web, sport: 10_000 + n }))
      counts.set(backend, (counts.get(backend) ?? 0) + 1)
    }
    for (const [n, share] of [500, 250, 250].entries()) expect(Math.abs(counts.get(backends[n]!)! - share)).toBeLessThan(70)
  })

  test('a session stays on its backend while others come and go, and while it drains', () => {
    const backend = backendOf(tcp(web))
    const key = `web${backends.indexOf(backend as never)}`
    const others = Object.fromEntries(['web0', 'web1', 'web2'].filter(name => name !== key).map(name => [name, undefined]))
    balancer.apply(
      configOf(family, { backends: { ...others, web9: { service: 'web', address: family === 4 ? '10.0.2.99' : 'fd00:2::99' } } })
    )
    expect(backendOf(tcp(web, 'A'))).toBe(backend)
    balancer.apply(configOf(family, { backends: { [key]: { service: 'web', address: backend, port: 8080, drain: true } } }))
    const again = ask(tcp(web, 'A'))
    expect([endsOf(again).dst, again.counted]).toEqual([backend, {}])
    for (let n = 0; n < 50; n++) expect(backendOf(tcp({ ...web, sport: 50_000 + n }))).not.toBe(backend)
  })

  test('a backend that leaves moves its own flows, and at most 2 % of the others', () => {
    const address = (n: number) => (family === 4 ? `10.0.2.${21 + n}` : `fd00:2::${21 + n}`)
    const pool = (left: number[]) => ({
      max_sessions: 1024,
      services: { web: { address: virtual, port: 80 } },
      backends: Object.fromEntries(left.map(n => [`web${n}`, { service: 'web', address: address(n) }]))
    })
    const all = [0, 1, 2, 3, 4, 5, 6, 7]
    const places = (left: number[]) => {
      balancer.apply(pool(left))
      forgetAll(balancer)
      return Array.from({ length: 400 }, (_, n) => backendOf(tcp({ ...web, sport: 10_000 + n })))
    }
    const before = places(all)
    const after = places(all.filter(n => n !== 3))
    expect(after).not.toContain(address(3))
    const others = before.flatMap((place, n) => (place === address(3) ? [] : [place === after[n]]))
    expect(others.filter(stayed => !stayed).length / others.length).toBeLessThanOrEqual(0.02)
  })

  test('a backend that fails keeps its sessions and gets no more; where all fail, all get some', () => {
    const surroundings = (failing: string[]) => ({ ports: { inside: { number: 0 }, outside: { number: 1 } }, failing })
    const backend = backendOf(tcp(web))
    balancer.apply(configOf(family), surroundings([`web${backends.indexOf(backend as never)}`]))
    expect(backendOf(tcp(web, 'A'))).toBe(backend)
    for (let n = 0; n < 50; n++) expect(backendOf(tcp({ ...web, sport: 50_000 + n }))).not.toBe(backend)
    balancer.apply(configOf(family), surroundings(['web0', 'web1', 'web2']))
    const served = new Set(Array.from({ length: 50 }, (_, n) => backendOf(tcp({ ...web, sport: 51_000 + n }))))
    expect([...served].sort()).toEqual([...backends])
    balancer.apply(configOf(family), surroundings([]))
  })

  test('a session whose backend is taken away goes on at another', () => {
    const backend = backendOf(tcp(web))
    balancer.apply(configOf(family, { backends: { [`web${backends.indexOf(backend as never)}`]: undefined } }))
    const moved = ask(tcp(web, 'A'))
    expect(moved.counted).toEqual({ sessions_moved: 1 })
    expect(endsOf(moved).dst).not.toBe(backend)
    expect(backends).toContain(endsOf(moved).dst)
  })

  test('with source affinity all sessions of a client go to one backend, and those of others to all', () => {
    balancer.apply(configOf(family, { web: { affinity: 'source' } }))
    const [first, ...rest] = Array.from({ length: 50 }, (_, n) => backendOf(tcp({ ...web, sport: 10_000 + n })))
    expect(new Set(rest)).toEqual(new Set([first]))
    const clients = Array.from({ length: 50 }, (_, n) => (family === 4 ? `192.0.2.${100 + n}` : `2001:db8:1::${100 + n}`))
    expect(clients.map(src => backendOf(tcp({ ...web, src }))).toSorted()).toEqual(expect.arrayContaining([...backends]))
  })

  test('a silent session is forgotten, and one that speaks in one direction only is not', () => {
    const ends = endsOf(ask(udp(dns)))
    reply(udp(turned(ends)))
    for (let n = 0; n < 3; n++) {
      wait(balancer, 90)
      expect(endsOf(reply(udp(turned(ends))))).toEqual(turned(dns))
    }
    wait(balancer, 90)
    expect(ask(udp(dns)).counted).toEqual({})
    wait(balancer, 200)
    expect(ask(udp(dns)).counted).toEqual({ sessions_opened: 1 })
  })

  test('a closed connection is forgotten soon, and its ports may open another', () => {
    const ends = endsOf(ask(tcp(web)))
    for (const [frame, side] of [
      [tcp(turned(ends), 'SA'), other(from)],
      [tcp(web, 'A'), from],
      [tcp(web, 'FA'), from],
      [tcp(turned(ends), 'FA'), other(from)],
      [tcp(web, 'A'), from]
    ] as const)
      expect(send(side, frame)).toMatchObject({ went: 'port', counted: {} })
    expect(ask(tcp(web)).counted).toEqual({ sessions_opened: 1 })
    expect(ask(tcp(web, 'R')).went).toBe('port')
    wait(balancer, 250)
    expect(ask(tcp(web)).counted).toEqual({ sessions_opened: 1 })
  })

  test('an established connection is remembered for two hours', () => {
    const ends = endsOf(ask(tcp(web)))
    reply(tcp(turned(ends), 'SA'))
    ask(tcp(web, 'A'))
    wait(balancer, 7200)
    expect(endsOf(reply(tcp(turned(ends), 'A')))).toEqual(turned(web))
  })

  test('an error about what the client sent reaches it in the terms that it knows', () => {
    const asked = ask(udp(dns).payload('question'))
    const [type, icmp] = family === 4 ? [3, 'icmp' as const] : [1, 'icmpv6' as const]
    for (const source of [endsOf(asked).dst, router]) {
      const told = reply(ip({ src: source, dst: client })[icmp]({ type }).quote(asked.bytes))
      expect(told).toMatchObject({ went: 'port', port: from, counted: { errors_translated: 1 } })
      expect(quotedEnds(told.parsed().quoted!)).toEqual(dns)
      expect(endsOf(told)).toEqual({ src: source === router ? router : virtual, dst: client })
    }
  })

  test('an error about what the backend sent reaches the backend', () => {
    const ends = endsOf(ask(tcp(web)))
    const replied = reply(tcp(turned(ends), 'SA').payload('page'))
    const [fields, icmp] = family === 4 ? [{ type: 3, code: 4, mtu: 1200 }, 'icmp' as const] : [{ type: 2, mtu: 1280 }, 'icmpv6' as const]
    for (const length of family === 4 ? [undefined, 28] : [undefined, 48]) {
      const told = ask(ip({ src: router, dst: virtual })[icmp](fields).quote(replied.bytes, length))
      expect(told).toMatchObject({ went: 'port', port: other(from), counted: { errors_translated: 1 } })
      expect(endsOf(told)).toEqual({ src: router, dst: ends.dst })
      if (length === undefined) expect(quotedEnds(told.parsed().quoted!)).toEqual(turned(ends))
    }
  })

  test('an error that belongs to no session is dropped if it is for a virtual address, and passes else', () => {
    const icmp = family === 4 ? 'icmp' : 'icmpv6'
    const error = (dst: string) =>
      ip({ src: router, dst })
        [icmp]({ type: family === 4 ? 3 : 1 })
        .quote(tcp({ ...turned(web), src: dst }))
    expect(ask(error(virtual))).toMatchObject({ went: 'nowhere', counted: { no_session: 1 } })
    expect(ask(error(backends[0]))).toMatchObject({ went: 'port', port: other(from), counted: {} })
  })

  test('what is for nobody here passes untouched, both ways', () => {
    for (const side of ['inside', 'outside'] as const)
      for (const frame of [tcp({ src: client, dst: backends[0] }), udp({ src: backends[0], dst: client }), eth().arp()]) {
        const outcome = send(side, frame)
        expect(outcome).toMatchObject({ went: 'port', port: other(side), counted: {} })
        expect(outcome.bytes).toEqual(frame.bytes())
      }
  })

  test('a port without a service is refused with an answer', () => {
    const reset = ask(tcp({ ...web, dport: 81 }))
    expect(reset).toMatchObject({ went: 'port', port: from, counted: { no_service: 1 } })
    expect(reset.parsed().tcp).toMatchObject({ flags: 'RA', sport: 81 })
    const unreachable = ask(udp({ ...dns, dport: 54 }))
    expect(unreachable).toMatchObject({ went: 'port', port: from, counted: { no_service: 1 } })
    expect(unreachable.parsed()[family === 4 ? 'icmp' : 'icmpv6']).toMatchObject(family === 4 ? { type: 3, code: 3 } : { type: 1, code: 4 })
    expect(ask(ip(web).sctp({ dport: 80 })).counted).toEqual({ no_service: 1 })
  })

  test('a service whose backends all drain refuses new sessions', () => {
    const draining = backends.map((address, n) => [`web${n}`, { service: 'web', address, port: 8080, drain: true }] as const)
    balancer.apply(configOf(family, { backends: Object.fromEntries(draining) }))
    expect(ask(tcp(web))).toMatchObject({ went: 'port', port: from, counted: { no_backend: 1 } })
  })

  test('a ping to a virtual address is answered', () => {
    const [icmp, type] = family === 4 ? (['icmp', 0] as const) : (['icmpv6', 129] as const)
    const pong = ask(ip({ src: client, dst: virtual })[icmp]())
    expect(pong).toMatchObject({ went: 'port', port: from, counted: { answered: 1 } })
    expect(pong.parsed()[icmp]).toMatchObject({ type })
    expect(endsOf(pong)).toEqual({ src: virtual, dst: client })
  })

  test('fragments of a translated packet are translated, and strays to a virtual address are not', () => {
    const asked = fragments(udp(dns).payload(3000), 1200)
    const outcomes = asked.map(piece => ask(piece))
    const backend = outcomes[0]!.parsed({ unchecked: true })
    const destination = (backend.ipv4 ?? backend.ipv6)!.dst
    expect(backends).toContain(destination)
    for (const outcome of outcomes) expect(addressesOf(outcome)).toEqual({ src: client, dst: destination })
    const replied = fragments(udp({ src: destination, dst: client, sport: 53, dport: 40_000 }).payload(3000), 1200)
    for (const piece of replied) expect(addressesOf(reply(piece))).toEqual({ src: virtual, dst: client })
    const stray = fragments(udp({ ...dns, src: router }).payload(3000), 1200)[1]!
    expect(ask(stray)).toMatchObject({ went: 'nowhere', counted: { fragment: 1 } })
    const overlapping = fragments(udp(dns).payload(3000), 1192)[1]!
    expect(ask(overlapping)).toMatchObject({ went: 'nowhere', counted: { fragment: 1 } })
  })

  test('a client that is a backend itself is served by another, and never by itself', () => {
    for (let n = 0; n < 30; n++) {
      const outcome = ask(tcp({ ...web, src: backends[0], sport: 10_000 + n }))
      if (outcome.went === 'port') expect(endsOf(outcome).dst).not.toBe(backends[0])
    }
  })

  test('two sessions of a client never share a backend’s place, and what would be mistaken for a reply’s is dropped', () => {
    const config = configOf(family, { backends: { web1: undefined, web2: undefined } })
    balancer.apply({
      ...config,
      services: { ...config.services, alt: { address: virtual, port: 81 } },
      backends: { ...config.backends, alt0: { service: 'alt', address: backends[0], port: 8080 } }
    })
    const ends = endsOf(ask(tcp(web)))
    expect(ask(tcp({ ...web, dport: 81 }))).toMatchObject({ went: 'nowhere', counted: { clash: 1 } })
    expect(ask(tcp(ends))).toMatchObject({ went: 'nowhere', counted: { clash: 1 } })
    expect(endsOf(ask(tcp({ ...web, dport: 81, sport: 40_001 }))).dst).toBe(backends[0])
  })

  test('ports that share the balancer in their chains have sessions of their own', () => {
    const before = [0, 1].map(port => balancer.table('stitches').get(stitchOf(port))!)
    for (const port of [0, 1]) balancer.table('stitches').put(stitchOf(port), { target: 0, port: 0, kind: 'ATTACHED_CHAIN' })
    for (const id of [1, 2]) balancer.addWorkload(id)
    const counted = [1, 2].map(id => balancer.send(tcp(web), { port: from, workload: id }).counted)
    for (const port of [0, 1]) balancer.table('stitches').put(stitchOf(port), before[port]!)
    expect(counted).toMatchObject([{ sessions_opened: 1 }, { sessions_opened: 1 }])
  })
})

function addressesOf(outcome: Outcome): { src: string; dst: string } {
  const { ipv4, ipv6 } = outcome.parsed({ unchecked: true })
  const { src, dst } = (ipv4 ?? ipv6)!
  return { src, dst }
}

/** The stitch of a port of the function under test. */
function stitchOf(port: number): number {
  return (16 << 8) | port
}

describe.each([4, 6] as const)('IPv%i, between a router and the backends’ network', family => {
  const { client, virtual, backends, router } = ADDRESSES[family]
  const web: Ends = { src: client, dst: virtual, sport: 40_000, dport: 80 }
  const direct = {
    web: { mode: 'direct' },
    backends: Object.fromEntries(backends.map((address, n) => [`web${n}`, { service: 'web', address }]))
  }
  let balancer: TestedFunction
  beforeAll(async () => {
    balancer = await loadFunction(loadBalancer, configOf(family), { surroundings: stitched(family) })
  })
  afterAll(() => balancer?.close())
  beforeEach(() => {
    balancer.apply(configOf(family), stitched(family))
    forgetAll(balancer)
  })
  const ask = (frame: Frame | Uint8Array) => balancer.send(frame, { port: 'outside' })

  test('a translated packet also gets the MAC of its backend', () => {
    const asked = ask(tcp(web))
    expect(asked).toMatchObject({ went: 'port', port: 'inside' })
    expect(asked.parsed().eth.dst).toBe(MACS[backends.indexOf(endsOf(asked).dst as never)])
  })

  test('a direct service changes nothing but the MAC, and replies pass as they are', () => {
    balancer.apply(configOf(family, direct), stitched(family))
    const asked = ask(tcp(web))
    expect(asked).toMatchObject({ went: 'port', port: 'inside', counted: { sessions_opened: 1 } })
    expect(endsOf(asked)).toEqual(web)
    expect(MACS).toContain(asked.parsed().eth.dst)
    const replied = balancer.send(tcp(turned(web), 'SA'), { port: 'inside' })
    expect(replied).toMatchObject({ went: 'port', port: 'outside', counted: {} })
    expect(endsOf(replied)).toEqual(turned(web))
    expect(ask(tcp(web, 'A')).parsed().eth.dst).toBe(asked.parsed().eth.dst)
  })

  test('a client in the network itself reaches a direct service too', () => {
    balancer.apply(configOf(family, direct), stitched(family))
    const asked = balancer.send(tcp(web), { port: 'inside' })
    expect(asked).toMatchObject({ went: 'port', port: 'inside' })
    expect(MACS).toContain(asked.parsed().eth.dst)
  })

  test('an error about what a direct backend sent reaches it unchanged', () => {
    balancer.apply(configOf(family, direct), stitched(family))
    const mac = ask(tcp(web)).parsed().eth.dst
    const error = ip({ src: router, dst: virtual })[family === 4 ? 'icmp' : 'icmpv6']({
      type: family === 4 ? 3 : 2,
      ...(family === 4 && { code: 4 }),
      mtu: 1300
    })
    const told = ask(error.quote(tcp(turned(web), 'SA')))
    expect(told).toMatchObject({ went: 'port', port: 'inside', counted: { errors_translated: 1 } })
    expect([told.parsed().eth.dst, endsOf(told).dst]).toEqual([mac, virtual])
  })

  test('a direct backend of which no MAC is known gets nothing', () => {
    balancer.apply(configOf(family, direct), { ports: { inside: { number: 0 }, outside: { number: 1 } } })
    expect(ask(tcp(web))).toMatchObject({ port: 'outside', counted: { no_backend: 1 } })
  })

  test('neighbours who ask for the virtual address get an answer', () => {
    const question = family === 4 ? eth().arp({ target_ip: virtual }) : ip({ src: router, dst: 'ff02::1:ff00:10' })
    const frame =
      family === 4 ? question : eth().ipv6({ src: router, dst: 'ff02::1:ff00:10', hop_limit: 255 }).solicitation({ target: virtual })
    const answer = ask(frame)
    expect(answer).toMatchObject({ went: 'port', port: 'outside', counted: { answered: 1 } })
    const { arp, advertisement } = answer.parsed()
    if (family === 4) expect(arp).toMatchObject({ operation: 2, sender_ip: virtual })
    else expect(advertisement).toMatchObject({ target: virtual })
    expect(
      ask(
        family === 4
          ? eth().arp({ target_ip: backends[0] })
          : eth().ipv6({ src: router, dst: 'ff02::1:ff00:11', hop_limit: 255 }).solicitation({ target: backends[0] })
      )
    ).toMatchObject({ port: 'inside', counted: {} })
  })
})
