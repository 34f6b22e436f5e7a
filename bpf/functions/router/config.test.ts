// SPDX-License-Identifier: Apache-2.0
// What a router's configuration means without any packet: what is refused, what its interfaces own, and how next hops share flows.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { linkLocal } from '../../catalogue/addresses'
import { encodeEntries, readObject } from '../../catalogue/btf'
import type { Neighbourhood } from '../../catalogue/define'
import { validateConfig } from '../../catalogue/validate'
import { BUCKETS, spread } from './ecmp'
import { router } from './router'

const web = { address: '10.0.1.1/24', ipv6_address: 'fd00:1::1/64' }
const db = { address: '10.0.2.1/24', ipv6_address: 'fd00:2::1/64' }

function problems(config: Record<string, unknown>): string[] {
  return validateConfig(router, config).problems.map(({ path, message }) => `${path}: ${message}`)
}

function valid(config: Record<string, unknown>) {
  const { config: filled, problems: none } = validateConfig(router, config)
  expect(none).toEqual([])
  return filled as never
}

describe('a configuration is refused, and told where, when', () => {
  test.each([
    ['subnets of two interfaces overlap', { a: web, b: { address: '10.0.0.1/16' } }, 'interfaces.b.address'],
    ['IPv6 subnets of two interfaces overlap', { a: web, b: { ...db, ipv6_address: 'fd00:1::9/48' } }, 'interfaces.b.ipv6_address'],
    ['an interface has the address of its subnet', { a: { address: '10.0.1.0/24' } }, 'interfaces.a.address'],
    ['an interface has the broadcast address', { a: { address: '10.0.1.255/24' } }, 'interfaces.a.address'],
    ['an interface has a loopback address', { a: { address: '127.0.0.1/8' } }, 'interfaces.a.address'],
    ['an interface has a link-local address of its own', { a: { address: 'fe80::1/64' } }, 'interfaces.a.address'],
    ['both addresses are of one family', { a: { address: 'fd00::1/64', ipv6_address: 'fd00:1::1/64' } }, 'interfaces.a.ipv6_address'],
    ['the IPv6 address is an IPv4 one', { a: { address: '10.0.1.1/24', ipv6_address: '10.0.2.1/24' } }, 'interfaces.a.ipv6_address'],
    ['a MAC is that of a group', { a: { ...web, mac: '01:00:5e:00:00:01' } }, 'interfaces.a.mac']
  ])('%s', (_, interfaces, path) => {
    expect(problems({ interfaces })).toEqual([expect.stringContaining(`${path}: `)])
  })

  test.each([
    ['a destination has host bits', { destination: '192.0.2.1/24', via: '10.0.1.9' }, 'destination'],
    ['a destination is multicast', { destination: '224.0.0.0/8', via: '10.0.1.9' }, 'destination'],
    ["a destination is an interface's subnet", { destination: '10.0.1.0/24', via: '10.0.2.9' }, 'destination'],
    ["a destination is the router's own address", { destination: 'fd00:1::1/128', via: 'fd00:2::9' }, 'destination'],
    ['the next hop is on no link', { destination: '192.0.2.0/24', via: '10.0.9.9' }, 'via'],
    ['the next hop is of the other family', { destination: '192.0.2.0/24', via: 'fd00:1::9' }, 'via'],
    ['the next hop is the router itself', { destination: '192.0.2.0/24', via: '10.0.1.1' }, 'via'],
    ["the next hop is a subnet's broadcast address", { destination: '192.0.2.0/24', via: '10.0.1.255' }, 'via'],
    ['the next hop is on another link', { destination: '192.0.2.0/24', via: '10.0.1.9', interface: 'db' }, 'via'],
    ['a link-local next hop is on no named link', { destination: '2001:db8::/32', via: 'fe80::9' }, 'interface'],
    ['an interface is unknown', { destination: '192.0.2.0/24', interface: 'lan' }, 'interface'],
    ['an interface has no address of the family', { destination: '2001:db8::/32', interface: 'old' }, 'interface'],
    ['nothing says where it leads', { destination: '192.0.2.0/24' }, 'via'],
    ['a blackhole has a next hop', { destination: '192.0.2.0/24', type: 'blackhole', via: '10.0.1.9' }, 'via'],
    ['an unreachable route has an interface', { destination: '192.0.2.0/24', type: 'unreachable', interface: 'web' }, 'interface']
  ])('%s', (_, route, field) => {
    const interfaces = { web, db, old: { address: '10.0.3.1/24' } }
    expect(problems({ interfaces, routes: { r: route } })).toEqual([expect.stringContaining(`routes.r.${field}: `)])
  })

  test.each([
    ['two routes are the same', { destination: '192.0.2.0/24', via: '10.0.1.9', weight: 2 }, 'via'],
    ['a route and a blackhole share a destination', { destination: '192.0.2.0/24', type: 'blackhole' }, 'destination'],
    ['a route and a link share a destination', { destination: '192.0.2.0/24', interface: 'web' }, 'destination']
  ])('%s', (_, second, field) => {
    const first = { destination: '192.0.2.0/24', via: '10.0.1.9' }
    expect(problems({ interfaces: { web }, routes: { first, second } })).toEqual([expect.stringContaining(`routes.second.${field}: `)])
  })

  test('a destination has more next hops than there are parts of its flows', () => {
    const routes = Object.fromEntries(
      Array.from({ length: BUCKETS + 1 }, (_, n) => [`r${n}`, { destination: '192.0.2.0/24', via: `10.0.1.${n + 2}` }])
    )
    expect(problems({ interfaces: { web }, routes })).toEqual([expect.stringContaining(`routes.r${BUCKETS}.via: `)])
  })
})

test('an interface owns its addresses and its link-local one, with the same MAC wherever the router runs', () => {
  const { web: owned } = router.presents!(valid({ interfaces: { web } }), 'gateway')
  expect(owned!.addresses).toEqual(['10.0.1.1', 'fd00:1::1', linkLocal(owned!.mac)])
  expect(router.presents!(valid({ interfaces: { db, web } }), 'gateway').web).toEqual(owned)
  expect(router.presents!(valid({ interfaces: { web } }), 'other').web!.mac).not.toBe(owned!.mac)
})

test('a link-local address follows from the MAC', () => {
  expect(linkLocal('00:1b:21:3c:4d:5e')).toBe('fe80::21b:21ff:fe3c:4d5e')
})

describe('next hops share the flows to a destination', () => {
  const hop = (name: string, weight = 1) => ({ name, weight })
  const shares = (hops: { name: string; weight: number }[]) => hops.map((_, n) => spread(hops).filter(taken => taken === n).length)

  test('by their weights', () => {
    expect(shares([hop('a'), hop('b')])).toEqual([32, 32])
    expect(shares([hop('a', 3), hop('b', 1)])).toEqual([48, 16])
    expect(shares([hop('a'), hop('b'), hop('c')]).toSorted()).toEqual([21, 21, 22])
  })

  test('so that one that goes takes few flows of the others along', () => {
    const [before, after] = [
      ['a', 'b', 'c', 'd'],
      ['a', 'b', 'd']
    ].map(names => spread(names.map(name => hop(name))).map(n => names[n]!))
    const moved = before!.filter((name, bucket) => name !== 'c' && name !== after![bucket]).length
    expect(moved).toBeLessThanOrEqual(8)
  })

  test('the same way in whatever order they are written', () => {
    const routes = (vias: string[]) => Object.fromEntries(vias.map((via, n) => [`r${n}`, { destination: '192.0.2.0/24', via }]))
    const image = (vias: string[]) =>
      router.image!(valid({ interfaces: { web }, routes: routes(vias) }), {
        name: 'r',
        host: 'here',
        generation: 1,
        ports: { web: { number: 0 } }
      })
    expect(image(['10.0.1.7', '10.0.1.8', '10.0.1.9'])).toEqual(image(['10.0.1.9', '10.0.1.7', '10.0.1.8']))
  })

  test('and every destination with the same next hops uses the same set of them', () => {
    const row = (n: number) => ['10.0.1.7', '10.0.1.8'].map((via, m) => [`r${n}-${m}`, { destination: `192.0.${n}.0/24`, via }])
    const routes = Object.fromEntries([2, 3, 4].flatMap(row))
    const { maps } = router.image!(valid({ interfaces: { web }, routes }), {
      name: 'r',
      host: 'here',
      generation: 1,
      ports: { web: { number: 0 } }
    })
    expect(maps.next_hops).toHaveLength(BUCKETS)
  })
})

test('10,000 routes and 1,000 known neighbours are checked, and fit the tables', () => {
  const routes = Object.fromEntries(
    Array.from({ length: 10_000 }, (_, n) => [
      `r${n}`,
      { destination: `172.${16 + (n >> 12)}.${(n >> 4) & 255}.${(n & 15) * 16}/28`, via: '10.0.2.9' }
    ])
  )
  const endpoints = Array.from({ length: 1000 }, (_, n) => ({ mac: '02:00:00:00:00:01', addresses: [`fd00:1::${(n + 2).toString(16)}`] }))
  const port: Neighbourhood = { number: 0, network: { name: 'web', vni: 1, mtu: 1450, cidrs: [], endpoints } }
  const { maps } = readObject(readFileSync(join(__dirname, '../../build/router.bpf.o')))
  const image = router.image!(valid({ interfaces: { web, db }, routes }), {
    name: 'r',
    host: 'here',
    generation: 1,
    ports: { web: port, db: { number: 1 } }
  })
  const encoded = Object.entries(image.maps).map(([name, entries]) => encodeEntries(maps.get(name)!, entries))
  expect(encoded.flat().length).toBeGreaterThan(11_000)
})
