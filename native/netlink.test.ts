// SPDX-License-Identifier: Apache-2.0
// Devices, addresses, routes and neighbours, in namespaces of the tests.

import { execFileSync } from 'node:child_process'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { type Handle, type Netlink, type Netns, native } from '.'
import { errorOf, uniqueName, until } from './testing'

const { net } = native

interface Side {
  name: string
  netns: Netns
  netlink: Netlink
}

function createSide(): Side {
  const name = uniqueName()
  const netns = net.createNetns(name)
  return { name, netns, netlink: net.open(netns) }
}

function deleteSide({ name, netns, netlink }: Side): void {
  netlink.close()
  netns.close()
  net.deleteNetns(name)
}

let left: Side
let right: Side
const watches: Handle[] = []
beforeEach(() => {
  left = createSide()
  right = createSide()
})
afterEach(() => {
  for (const watch of watches.splice(0)) watch.close()
  deleteSide(left)
  deleteSide(right)
})

const MAC = '02:00:00:00:00:01'
const PEER_MAC = '02:00:00:00:00:02'

/** A veth from left to right, `eth0` on both sides, both up. */
function join(): { near: number; far: number } {
  const near = left.netlink.createVeth({ name: 'eth0', peerName: 'eth0', peerNetns: right.netns, mac: MAC, peerMac: PEER_MAC, mtu: 1450 })
  const far = right.netlink.link('eth0')!.ifindex
  left.netlink.setLink(near, { up: true })
  right.netlink.setLink(far, { up: true })
  return { near, far }
}

const ip = (side: Side, ...args: string[]): string => execFileSync('ip', ['-n', side.name, ...args], { encoding: 'utf8' })
const ping = (side: Side, address: string): string =>
  execFileSync('ip', ['netns', 'exec', side.name, 'ping', '-c1', '-W2', address], { encoding: 'utf8' })

describe('a veth pair', () => {
  test('joins two namespaces; both ends know their MAC, MTU and peer', () => {
    const { near, far } = join()
    expect(left.netlink.link(near)).toMatchObject({
      ifindex: near,
      name: 'eth0',
      kind: 'veth',
      mac: MAC,
      mtu: 1450,
      up: true,
      carrier: true,
      peer: far
    })
    expect(right.netlink.link('eth0')).toMatchObject({ ifindex: far, mac: PEER_MAC, mtu: 1450, peer: near, master: 0 })
    expect(left.netlink.link(near)!.peerNetnsId).toBeGreaterThanOrEqual(0)
  })

  test('carries packets, v4 and v6, as soon as it has addresses', () => {
    const { near, far } = join()
    left.netlink.addAddress(near, '10.1.0.1/24')
    left.netlink.addAddress(near, 'fd01::1/64')
    right.netlink.addAddress(far, '10.1.0.2/24')
    right.netlink.addAddress(far, 'fd01::2/64')
    expect(ping(left, '10.1.0.2')).toContain('1 received')
    expect(ping(left, 'fd01::2')).toContain('1 received')
  })

  test('may have both ends in one namespace', () => {
    const near = left.netlink.createVeth({ name: 'a', peerName: 'b' })
    expect(left.netlink.link('b')).toMatchObject({ peer: near, peerNetnsId: -1 })
  })

  test('is gone with either end', () => {
    const { near } = join()
    expect(right.netlink.deleteLink('eth0')).toBe(true)
    expect(right.netlink.deleteLink('eth0')).toBe(false)
    expect(left.netlink.link(near)).toBeUndefined()
    expect(left.netlink.deleteLink(near)).toBe(false)
  })

  test('is refused where a name is taken or too long, and nothing is left', () => {
    join()
    expect(errorOf(() => left.netlink.createVeth({ name: 'eth0', peerName: 'b' })).message).toBe(
      'cannot create veth pair "eth0"/"b": name is taken (EEXIST)'
    )
    expect(errorOf(() => left.netlink.createVeth({ name: 'a', peerName: 'eth0', peerNetns: right.netns })).code).toBe('EEXIST')
    expect(errorOf(() => left.netlink.createVeth({ name: 'a', peerName: 'sixteen-letters-' })).message).toBe(
      'cannot name an interface "sixteen-letters-": the name must have 1 to 15 characters (EINVAL)'
    )
    expect(errorOf(() => left.netlink.createVeth({ name: 'a', peerName: 'b', mac: '02:00' })).message).toBe(
      'cannot read MAC address "02:00": it has not the form 02:00:00:00:00:01 (EINVAL)'
    )
    expect(left.netlink.links().map(link => link.name)).toEqual(['lo', 'eth0'])
  })
})

test('a vxlan device is in external mode, learns nothing, takes port and MTU, and keeps to RFC 7348', () => {
  left.netlink.createVxlan({ name: 'vx', port: 4790, mtu: 1400 })
  const details = ip(left, '-d', 'link', 'show', 'vx')
  for (const word of ['external', 'nolearning', 'dstport 4790', 'mtu 1400', 'srcport 49152 65535', ' udp6zerocsumrx'])
    expect(details).toContain(word)
  expect(left.netlink.link('vx')!.kind).toBe('vxlan')
})

test('a tap persists without an owner, in the namespace asked for', () => {
  const ifindex = left.netlink.createTap({ name: 'tap0' })
  expect(left.netlink.link(ifindex)).toMatchObject({ name: 'tap0', kind: 'tun' })
  expect(net.open().link('tap0')).toBeUndefined()
  expect(ip(left, '-d', 'link', 'show', 'tap0')).toContain('tun type tap pi off vnet_hdr off persist on')
  expect(errorOf(() => left.netlink.createTap({ name: 'tap0' })).message).toBe('cannot create tap device "tap0": name is taken (EEXIST)')
})

describe('many links', () => {
  test('are deleted at once, and none but these', () => {
    const indexes = Array.from({ length: 20 }, (_, n) =>
      left.netlink.createVeth({ name: `v${n}`, peerName: `v${n}`, peerNetns: right.netns })
    )
    left.netlink.deleteLinks(indexes.slice(1))
    expect(left.netlink.links().map(({ name }) => name)).toEqual(['lo', 'v0'])
    left.netlink.deleteLinks([...indexes, 999_999])
    left.netlink.deleteLinks([])
    expect(left.netlink.links().map(({ name }) => name)).toEqual(['lo'])
  })
})

describe('a change of a link', () => {
  test('touches only what it names', () => {
    const { near } = join()
    left.netlink.setLink(near, { alias: 'inkev port web1', mtu: 1300 })
    left.netlink.setLink(near, { arp: false })
    expect(left.netlink.link(near)).toMatchObject({ alias: 'inkev port web1', mtu: 1300, mac: MAC, up: true })
    expect(ip(left, 'link', 'show', 'eth0')).toContain('NOARP')
    left.netlink.setLink(near, { arp: true, alias: '', mac: '02:00:00:00:00:09' })
    expect(left.netlink.link(near)).toMatchObject({ alias: '', mtu: 1300, mac: '02:00:00:00:00:09', up: true })
    expect(ip(left, 'link', 'show', 'eth0')).not.toContain('NOARP')
    left.netlink.setLink(near, { up: false, name: 'other' })
    expect(left.netlink.link('other')).toMatchObject({ ifindex: near, up: false })
  })

  test('puts a device on a bridge and takes it off', () => {
    const { near } = join()
    const bridge = left.netlink.createBridge({ name: 'br0' })
    left.netlink.setLink(near, { master: bridge })
    expect(left.netlink.link(near)!.master).toBe(bridge)
    left.netlink.setLink(near, { master: 0 })
    expect(left.netlink.link(near)!.master).toBe(0)
  })

  test('moves a device into another namespace, under another name', () => {
    const tap = left.netlink.createTap({ name: 'tap0' })
    left.netlink.setLink(tap, { netns: right.netns, name: 'moved' })
    expect(left.netlink.link('tap0')).toBeUndefined()
    expect(right.netlink.link('moved')!.kind).toBe('tun')
  })

  test("is refused with the kernel's own words and the device's name", () => {
    const { near } = join()
    expect(errorOf(() => left.netlink.setLink(near, { mtu: 20 })).message).toBe(
      'cannot change interface "eth0": mtu less than device minimum (EINVAL)'
    )
    expect(errorOf(() => left.netlink.setLink(999, { up: true }))).toMatchObject({ code: 'ENODEV', operation: 'change interface 999' })
  })
})

describe('an address', () => {
  test('is listed in CIDR form, and deleted once', () => {
    const { near } = join()
    left.netlink.addAddress(near, '10.1.0.1/24')
    left.netlink.addAddress(near, '192.0.2.7')
    left.netlink.addAddress(near, 'fd01::1/64')
    const listed = left.netlink.addresses(near).map(entry => entry.address)
    expect(listed).toEqual(expect.arrayContaining(['10.1.0.1/24', '192.0.2.7/32', 'fd01::1/64']))
    expect(left.netlink.addresses().length).toBeGreaterThanOrEqual(listed.length)
    expect(ip(left, '-6', 'addr', 'show', 'dev', 'eth0')).toContain('fd01::1/64 scope global nodad')
    expect(left.netlink.deleteAddress(near, '10.1.0.1/24')).toBe(true)
    expect(left.netlink.deleteAddress(near, '10.1.0.1/24')).toBe(false)
    expect(left.netlink.deleteAddress(near, 'fd01::1/64')).toBe(true)
    expect(left.netlink.deleteAddress(near, 'fd01::1/64')).toBe(false)
  })

  test.each(['10.1.0', '10.1.0.1/33', 'fd00::/129', 'fd00::/', 'host', '', '10.1.0.1/-1', '10.1.0.1/24/8'])('"%s" is refused', address => {
    expect(errorOf(() => left.netlink.addAddress(1, address)).message).toMatch(new RegExp(`^cannot read address "${address}": `))
  })

  test('that is there already is refused', () => {
    const { near } = join()
    left.netlink.addAddress(near, '10.1.0.1/24')
    expect(errorOf(() => left.netlink.addAddress(near, '10.1.0.1/24')).message).toBe(
      'cannot add address 10.1.0.1/24 to interface "eth0": it is there already (EEXIST)'
    )
  })
})

describe('a route', () => {
  beforeEach(() => {
    const { near } = join()
    left.netlink.addAddress(near, '10.1.0.1/24')
    left.netlink.addAddress(near, 'fd01::1/64')
  })
  const near = () => left.netlink.link('eth0')!.ifindex
  const main = () => left.netlink.routes(near()).filter(route => route.table === 254 && route.protocol === 4)

  test('is listed, replaced by an equal one, and deleted once, v4 and v6', () => {
    const wanted = [
      { destination: '0.0.0.0/0', gateway: '10.1.0.254', ifindex: near() },
      { destination: '10.9.0.0/16', gateway: '192.0.2.1', ifindex: near(), onlink: true },
      { destination: '10.8.0.0/16', ifindex: near() },
      { destination: '::/0', gateway: 'fe80::1', ifindex: near() },
      { destination: 'fd09::/48', gateway: 'fd01::9', ifindex: near() }
    ]
    for (const route of wanted) left.netlink.addRoute(route)
    for (const route of wanted) left.netlink.addRoute({ ...route, mtu: 1300 })
    expect(main().length).toBe(wanted.length)
    for (const { destination, gateway, ifindex } of wanted)
      expect(main()).toContainEqual({ destination, ...(gateway && { gateway }), ifindex, table: 254, protocol: 4 })
    expect(ip(left, 'route', 'show', 'default')).toContain('mtu 1300')
    expect(ip(left, '-6', 'route', 'show', 'default')).toContain('mtu 1300')

    expect(left.netlink.deleteRoute({ ...wanted[0]!, gateway: '10.1.0.3' })).toBe(false)
    for (const route of wanted) {
      expect(left.netlink.deleteRoute(route)).toBe(true)
      expect(left.netlink.deleteRoute(route)).toBe(false)
    }
    expect(main()).toEqual([])
  })

  test('another gateway replaces the one before', () => {
    left.netlink.addRoute({ destination: '0.0.0.0/0', gateway: '10.1.0.2', ifindex: near() })
    left.netlink.addRoute({ destination: '0.0.0.0/0', gateway: '10.1.0.3', ifindex: near() })
    expect(main().map(route => route.gateway)).toEqual(['10.1.0.3'])
  })

  test('that the kernel made is deleted without naming more than its destination', () => {
    expect(left.netlink.deleteRoute({ destination: '10.1.0.0/24', ifindex: near() })).toBe(true)
    expect(left.netlink.deleteRoute({ destination: 'fd01::/64', ifindex: near() })).toBe(true)
  })

  test("to a gateway that is not on the link is refused with the kernel's words", () => {
    expect(errorOf(() => left.netlink.addRoute({ destination: '10.7.0.0/16', gateway: '198.51.100.1', ifindex: near() })).message).toBe(
      'cannot add route to 10.7.0.0/16 via 198.51.100.1 on interface "eth0": Nexthop has invalid gateway (ENETUNREACH)'
    )
  })

  test('of several next hops is listed once for each', () => {
    ip(left, 'route', 'add', '10.5.0.0/16', 'nexthop', 'via', '10.1.0.2', 'nexthop', 'via', '10.1.0.3')
    const hops = left.netlink.routes().filter(route => route.destination === '10.5.0.0/16')
    expect(hops.map(route => route.gateway)).toEqual(['10.1.0.2', '10.1.0.3'])
  })
})

test('a neighbour is permanent, replaced, and deleted once, v4 and v6', () => {
  const { near } = join()
  for (const address of ['10.1.0.9', 'fd01::9']) {
    left.netlink.addNeighbour({ ifindex: near, address, mac: MAC })
    left.netlink.addNeighbour({ ifindex: near, address, mac: PEER_MAC })
    expect(left.netlink.neighbours(near)).toContainEqual({ ifindex: near, address, mac: PEER_MAC, state: 0x80 })
    expect(left.netlink.deleteNeighbour({ ifindex: near, address })).toBe(true)
  }
  expect(left.netlink.deleteNeighbour({ ifindex: near, address: '10.1.0.77' })).toBe(false)
  expect(left.netlink.neighbours().filter(neighbour => neighbour.address === '10.1.0.77')).toEqual([])
})

describe('a sysctl', () => {
  test('is that of its namespace', () => {
    expect(left.netlink.sysctl('ipv4/ip_forward', '1')).toBe('1')
    expect(left.netlink.sysctl('ipv4/ip_forward')).toBe('1')
    expect(right.netlink.sysctl('ipv4/ip_forward')).toBe('0')
    left.netlink.createBridge({ name: 'br0' })
    expect(left.netlink.sysctl('ipv6/conf/br0/disable_ipv6', '1')).toBe('1')
  })

  test('outside /proc/sys/net, unknown or of a wrong value is refused', () => {
    expect(errorOf(() => left.netlink.sysctl('../kernel/hostname', 'x')).code).toBe('EINVAL')
    expect(errorOf(() => left.netlink.sysctl('ipv4/nothing'))).toMatchObject({ code: 'ENOENT', operation: 'read sysctl ipv4/nothing' })
    expect(errorOf(() => left.netlink.sysctl('ipv4/ip_forward', 'maybe')).code).toBe('EINVAL')
  })
})

describe('a watch', () => {
  function watch(events: string[]): Handle {
    const handle = left.netlink.watch(event => events.push(`${event.type} ${event.name}`))
    watches.push(handle)
    return handle
  }

  test('tells of links that come, change and go, in its namespace only, until it is closed', async () => {
    const events: string[] = []
    const handle = watch(events)
    right.netlink.createBridge({ name: 'elsewhere' })
    const bridge = left.netlink.createBridge({ name: 'br0' })
    left.netlink.setLink(bridge, { mtu: 1400 })
    left.netlink.deleteLink('br0')
    await until(() => events.includes('link_gone br0'))
    expect(events.length).toBeGreaterThanOrEqual(3)
    expect(new Set(events)).toEqual(new Set(['link br0', 'link_gone br0']))

    handle.close()
    events.length = 0
    left.netlink.createBridge({ name: 'br1' })
    await new Promise(resolve => setTimeout(resolve, 50))
    expect(events).toEqual([])
  })

  test('that cannot follow says that changes were lost, and goes on', async () => {
    const events: string[] = []
    watch(events)
    const bridge = left.netlink.createBridge({ name: 'br0' })
    // Without a turn of the event loop nothing is read meanwhile.
    for (let i = 0; i < 6000; i++) left.netlink.setLink(bridge, { mtu: 1400 + (i % 2) })
    await until(() => events.includes('lost '))
    left.netlink.createBridge({ name: 'br1' })
    await until(() => events.includes('link br1'))
  })
})

test('a namespace with many devices is listed whole', () => {
  const batch = Array.from({ length: 300 }, (_, i) => `link add v${i} type veth peer name p${i}`).join('\n')
  execFileSync('ip', ['-n', left.name, '-batch', '-'], { input: batch })
  const links = left.netlink.links()
  expect(links.length).toBe(601)
  expect(new Set(links.map(link => link.ifindex)).size).toBe(601)
})
