// SPDX-License-Identifier: Apache-2.0
// Tunnels between hosts, on real devices: whole GSO trains, MTUs, congestion marks, and far sides that are plain Linux.

import { setTimeout as sleep } from 'node:timers/promises'
import { native } from '@inkev/native'
import { afterEach, describe, expect, test } from '@jest/globals'
import { INSIDE, OUTSIDE } from '../core/graph'
import { eth } from '../packets/frame'
import { parse } from '../packets/parse'
import { Host } from './host'
import { forwarder } from './kinds'
import { configure, makeNamespace, removeNamespaces, runIn } from './namespaces'
import type { Network } from './network'
import { bulk, FLOWING } from './traffic'
import { join, joinNamespaces, twoHosts, UPLINK, VTEPS, VTEPS_IPV6 } from './underlay'
import { Wire } from './wire'
import { Workload } from './workload'

const mac = (n: number) => `02:00:00:00:02:0${n}`
const place = (n: number, mtu = 1450) => ({ mac: mac(n), addresses: [`10.2.0.${n}/24`, `fd02::${n}/64`], mtu })

/** What is closed behind each test, last made first. */
const made: Array<() => void> = []
afterEach(() => {
  for (const close of made.splice(0).reverse()) close()
  removeNamespaces()
})
const closing = <T extends { close(): void }>(thing: T): T => {
  made.push(() => thing.close())
  return thing
}

/** One network, on both hosts. */
async function spanned([near, far]: [Host, Host], vni = 100): Promise<[Network, Network]> {
  const networks: [Network, Network] = [await near.addNetwork(vni), await far.addNetwork(vni)]
  networks[0].span(far.vtep)
  networks[1].span(near.vtep)
  return networks
}

async function hostsWithNetwork(vteps?: readonly string[]): Promise<[Network, Network]> {
  return spanned((await twoHosts(vteps)).map(closing) as [Host, Host])
}

describe('between two hosts', () => {
  test('a train of segments crosses whole, and fast', async () => {
    const names = joinNamespaces()
    const netns = closing(native.net.openNetns(`/run/netns/${names[1]}`))
    const net = closing(native.net.open(netns))
    const uplink = closing(await Wire.at(netns, net.link(UPLINK)!.ifindex))
    const hosts = [closing(await Host.create(names[0], VTEPS[0], UPLINK)), closing(await Host.create(names[1], VTEPS[1], UPLINK))]
    const [near, far] = await spanned(hosts as [Host, Host])
    const [a, c] = [await near.addWorkload('a', place(1)), await far.addWorkload('c', place(3))]
    for (const address of c.ips) {
      expect(await bulk(a.name, c.name, address)).toBeGreaterThan(FLOWING)
      for (const wire of [uplink, c.wire]) expect(Math.max(...(await wire.captured()).map(({ length }) => length))).toBeGreaterThan(20_000)
    }
  })

  test('datagrams cross', async () => {
    const [near, far] = await hostsWithNetwork()
    const [a, c] = [await near.addWorkload('a', place(1)), await far.addWorkload('c', place(3))]
    for (const address of c.ips) expect(await bulk(a.name, c.name, address, { datagrams: 1000 })).toBeGreaterThan(0)
  })

  test.each([0, 1])('a packet that is too big draws an error that names the MTU, family %i', async family => {
    const [near, far] = await hostsWithNetwork()
    const [a, c] = [await near.addWorkload('a', place(1, 1500)), await far.addWorkload('c', place(3, 1500))]
    const address = c.ips[family]!
    expect(a.ping(address)).toBe(2)
    expect(a.ping(address, { options: ['-M', 'do', '-s', '1440'] })).toBe(0)
    expect(a.run('ip', 'route', 'get', address)).toContain('mtu 1450')
    expect(near.host.counters('overlay').too_big).toBeGreaterThan(0)
  })

  test.each([0, 1])('TCP of workloads whose MTU is too large finds the right size, family %i', async family => {
    const [near, far] = await hostsWithNetwork()
    const [a, c] = [await near.addWorkload('a', place(1, 1500)), await far.addWorkload('c', place(3, 1500))]
    expect(await bulk(a.name, c.name, c.ips[family]!)).toBeGreaterThan(FLOWING)
  })

  test('a packet that is too big and may be fragmented arrives', async () => {
    const [near, far] = await hostsWithNetwork()
    const [a, c] = [await near.addWorkload('a', place(1, 1500)), await far.addWorkload('c', place(3, 1500))]
    expect(a.ping(c.ips[0]!, { options: ['-M', 'dont', '-s', '1472'] })).toBe(2)
  })

  test('a VXLAN that is not known here is dropped behind the uplink, and counted', async () => {
    const [near] = await hostsWithNetwork()
    const { host } = near
    const { ifindex, mac: dst } = host.net.link(UPLINK)!
    const uplink = closing(await Wire.at(host.netns, ifindex))
    const outer = (src: string) => eth({ dst }).ipv4({ src, dst: host.vtep }).udp({ dport: 4789, checksum: 0 })
    const strangers = [outer(VTEPS[1]).vxlan(999), outer('192.0.2.77').vxlan(100)]
    for (const frame of strangers)
      uplink.inject(
        frame
          .eth({ dst: mac(1) })
          .ipv4()
          .udp()
      )
    await sleep(50)
    expect(host.counters('uplink').no_tunnel).toBe(2)
  })

  test('a mark of congestion in the underlay reaches the workload', async () => {
    const [near] = await hostsWithNetwork()
    const a = await near.addWorkload('a', place(1))
    const { host } = near
    const { ifindex, mac: dst } = host.net.link(UPLINK)!
    const uplink = closing(await Wire.at(host.netns, ifindex))
    const tunnelled = (tos: number) =>
      eth({ dst }).ipv4({ src: VTEPS[1], dst: host.vtep, tos }).udp({ dport: 4789, checksum: 0 }).vxlan(100)
    for (const outer of [1, 3])
      uplink.inject(
        tunnelled(outer)
          .eth({ src: mac(3), dst: mac(1) })
          .ipv4({ dst: a.ips[0], tos: 1 })
          .udp()
      )
    const marks = (await a.wire.captured()).map(({ bytes }) => parse(bytes, { unchecked: true }).ipv4?.tos)
    expect(marks.filter(Boolean)).toEqual([1, 3])
  })

  test('a virtual machine behind a tap is reached, in bulk too', async () => {
    const [near, far] = await hostsWithNetwork()
    const [a, b] = [await near.addWorkload('a', place(1)), await near.addWorkload('b', place(2))]
    const machine = await far.addWorkload('m', { ...place(3), tap: true })
    expect(b.ping(a.ips[0]!)).toBe(2)
    for (const address of machine.ips) {
      expect(a.ping(address)).toBe(2)
      for (const reverse of [false, true]) expect(await bulk(a.name, machine.name, address, { reverse })).toBeGreaterThan(FLOWING)
    }
  })

  test('what came out of one tunnel goes into another', async () => {
    const hosts = (await twoHosts()).map(closing) as [Host, Host]
    const [near, far] = await spanned(hosts, 100)
    const [back, turn] = await spanned(hosts, 200)
    const joint = await hosts[1].addInstance(forwarder, {})
    far.stitch(joint, INSIDE)
    turn.stitch(joint, OUTSIDE)
    const [a, d] = [await near.addWorkload('a', place(1)), await back.addWorkload('d', place(3))]
    for (const address of d.ips) {
      expect(a.ping(address)).toBe(2)
      expect(await bulk(a.name, d.name, address)).toBeGreaterThan(FLOWING)
    }
  })

  test('the underlay may be IPv6', async () => {
    const [near, far] = await hostsWithNetwork(VTEPS_IPV6)
    const [a, c] = [await near.addWorkload('a', place(1, 1430)), await far.addWorkload('c', place(3, 1430))]
    for (const address of c.ips) {
      expect(a.ping(address, { options: ['-s', '3000'] })).toBe(2)
      expect(await bulk(a.name, c.name, address)).toBeGreaterThan(FLOWING)
      expect(await bulk(a.name, c.name, address, { datagrams: 1000 })).toBeGreaterThan(0)
    }
    expect(a.ping(c.ips[0]!, { options: ['-M', 'do', '-s', '1402'] })).toBe(2)
  })

  test.each([0, 1])('over IPv6, a packet that is too big draws an error that names the MTU, family %i', async family => {
    const [near, far] = await hostsWithNetwork(VTEPS_IPV6)
    const [a, c] = [await near.addWorkload('a', place(1, 1500)), await far.addWorkload('c', place(3, 1500))]
    const address = c.ips[family]!
    expect(a.ping(address)).toBe(2)
    expect(a.ping(address, { options: ['-M', 'do', '-s', '1440'] })).toBe(0)
    expect(a.run('ip', 'route', 'get', address)).toContain('mtu 1430')
  })

  test('over IPv6, every outer UDP checksum is right, and a flow has one source port whoever sends its packets', async () => {
    const names = joinNamespaces(VTEPS_IPV6)
    const netns = closing(native.net.openNetns(`/run/netns/${names[1]}`))
    const net = closing(native.net.open(netns))
    const uplink = closing(await Wire.at(netns, net.link(UPLINK)!.ifindex))
    const hosts = [0, 1].map(async n => closing(await Host.create(names[n]!, VTEPS_IPV6[n]!, UPLINK)))
    const [near, far] = await spanned((await Promise.all(hosts)) as [Host, Host])
    const [a, c] = [await near.addWorkload('a', place(1, 1430)), await far.addWorkload('c', place(3, 1430))]
    const byKernel = () => JSON.parse(runIn(names[0], 'ip', '-s', '-j', 'link', 'show', 'vxlan'))[0].stats64.tx.packets as number
    for (const address of c.ips) a.ping(address)
    const before = byKernel()
    for (const address of c.ips) expect(a.ping(address, { count: 10 })).toBe(10)
    expect(byKernel() - before).toBeLessThan(10)
    await uplink.captured()
    for (const address of c.ips) await bulk(a.name, c.name, address, { megabytes: 1 })
    const ports = new Map<string, Set<number>>()
    const sizes = new Set<string>()
    for (const { gso_size, bytes } of await uplink.captured()) {
      const { udp, vxlan } = parse(bytes, { unchecked: true })
      if (!udp || !vxlan?.inner.tcp) continue
      const flow = `${vxlan.inner.eth.type} ${vxlan.inner.tcp.sport}`
      ports.set(flow, (ports.get(flow) ?? new Set()).add(udp.sport))
      sizes.add(gso_size > 0 ? 'train' : 'one')
    }
    expect([...ports.values()].map(({ size }) => size)).toEqual([...ports].map(() => 1))
    expect(sizes).toEqual(new Set(['train', 'one']))

    runIn(names[0], 'ethtool', '-K', UPLINK, 'tx', 'off')
    a.run('ethtool', '-K', 'eth0', 'tx', 'off')
    await uplink.captured()
    for (const address of c.ips) a.ping(address)
    for (const address of c.ips)
      for (const options of [{}, { datagrams: 999 }]) await bulk(a.name, c.name, address, { megabytes: 1, ...options })
    const whole = (await uplink.captured()).filter(({ length }) => length < 2048).map(({ bytes }) => parse(bytes))
    for (const header of ['icmp', 'icmpv6', 'tcp', 'udp'] as const) expect(whole.some(({ vxlan }) => vxlan?.inner[header])).toBe(true)
  })
})

/** A namespace with Linux's own vxlan device and bridge. */
async function linuxSide(namespace: string, local: string, remote: string, mtu?: number): Promise<[Workload, Workload]> {
  configure(namespace, `link add vxlan100 type vxlan id 100 local ${local} remote ${remote} dstport 4789`, 'link add br0 type bridge')
  configure(namespace, 'link set vxlan100 master br0', 'link set vxlan100 up', 'link set br0 up')
  const netns = closing(native.net.openNetns(`/run/netns/${namespace}`))
  const net = closing(native.net.open(netns))
  const workloads = [
    await Workload.create(`${namespace}-x`, { name: namespace, net }, place(3, mtu)),
    await Workload.create(`${namespace}-y`, { name: namespace, net }, place(4, mtu))
  ]
  for (const { hostIfindex } of workloads) net.setLink(hostIfindex, { master: net.link('br0')!.ifindex })
  return workloads.map(closing) as [Workload, Workload]
}

describe('with plain Linux on the far side', () => {
  async function meetLinux(mtu?: number, vteps = VTEPS, farMtu?: number): Promise<{ a: Workload; x: Workload; y: Workload; far: string }> {
    const [name, far] = joinNamespaces(vteps)
    const host = closing(await Host.create(name, vteps[0], UPLINK))
    const network = await host.addNetwork(100)
    network.span(vteps[1])
    const [x, y] = await linuxSide(far, vteps[1], vteps[0], farMtu)
    return { a: await network.addWorkload('a', place(1, mtu)), x, y, far }
  }

  test('pings and fragments go both ways', async () => {
    const { a, x, y } = await meetLinux()
    for (const options of [[], ['-s', '4000']]) {
      for (const address of [...x.ips, ...y.ips]) expect(a.ping(address, { options })).toBe(2)
      for (const address of a.ips) expect(x.ping(address, { options })).toBe(2)
    }
  })

  test('TCP goes both ways in bulk', async () => {
    const { a, x } = await meetLinux()
    for (const address of x.ips)
      for (const reverse of [false, true]) expect(await bulk(a.name, x.name, address, { reverse })).toBeGreaterThan(FLOWING)
  })

  test('over IPv6, all goes both ways, summed by devices or by software', async () => {
    const { a, x } = await meetLinux(1430, VTEPS_IPV6, 1430)
    for (const offload of ['on', 'off']) {
      for (const each of [a, x]) each.run('ethtool', '-K', 'eth0', 'tx', offload)
      for (const options of [[], ['-s', '4000']]) {
        for (const address of x.ips) expect(a.ping(address, { options })).toBe(2)
        for (const address of a.ips) expect(x.ping(address, { options })).toBe(2)
      }
      for (const address of x.ips)
        for (const reverse of [false, true])
          expect(await bulk(a.name, x.name, address, { megabytes: 10, reverse })).toBeGreaterThan(FLOWING)
    }
  })

  test('a broadcast reaches every workload on the other side', async () => {
    const { a, x, y, far } = await meetLinux()
    const shout = eth({ src: mac(9), dst: 'ff:ff:ff:ff:ff:ff' })
      .ipv4({ dst: '255.255.255.255' })
      .udp()
      .payload('all')
      .bytes()
    const hears = async (workload: Workload) => (await workload.wire.captured()).some(({ bytes }) => bytes.equals(shout))
    const port = closing(await Wire.at(closing(native.net.openNetns(`/run/netns/${far}`)), x.hostIfindex))
    port.inject(shout)
    expect([await hears(a), await hears(y)]).toEqual([true, true])
  })

  test('outer packets that come in fragments are put together', async () => {
    const { a, x, far } = await meetLinux(1500)
    configure(far, 'link set vxlan100 mtu 1500')
    configure(far, `link set ${x.name.slice(-14)} mtu 1500`)
    x.run('ip', 'link', 'set', 'eth0', 'mtu', '1500')
    expect(x.ping(a.ips[0]!, { options: ['-M', 'dont', '-s', '1472'] })).toBe(2)
  })
})

test('the MTU of a narrow link in the underlay is learned, and told to the workloads', async () => {
  const [left, right, router] = [makeNamespace(), makeNamespace(), makeNamespace()]
  join({ namespace: left, device: UPLINK, address: '192.0.2.1/24' }, { namespace: router, device: 'left', address: '192.0.2.254/24' })
  join(
    { namespace: right, device: UPLINK, address: '198.51.100.1/24' },
    { namespace: router, device: 'right', address: '198.51.100.254/24' }
  )
  configure(router, 'link set right mtu 1400')
  configure(right, `link set ${UPLINK} mtu 1400`)
  runIn(router, 'sysctl', '-qw', 'net.ipv4.ip_forward=1')
  configure(left, 'route add default via 192.0.2.254')
  configure(right, 'route add default via 198.51.100.254')
  const hosts = [closing(await Host.create(left, '192.0.2.1', UPLINK)), closing(await Host.create(right, '198.51.100.1', UPLINK))]
  const [near, far] = await spanned(hosts as [Host, Host])
  const [a, c] = [await near.addWorkload('a', place(1)), await far.addWorkload('c', place(3))]
  const big = { count: 1, options: ['-M', 'do', '-s', '1400'] }
  expect(a.ping(c.ips[0]!)).toBe(2)
  a.ping(c.ips[0]!, big)
  await sleep(1100)
  a.ping(c.ips[0]!, big)
  expect(a.run('ip', 'route', 'get', c.ips[0]!)).toContain('mtu 1350')
  expect(a.ping(c.ips[0]!, { options: ['-M', 'do', '-s', '1322'] })).toBe(2)
})

test.each([
  { family: 'IPv4', own: '192.0.2.1', hops: ['192.0.2.253', '192.0.2.254'], remote: '203.0.113.2', length: 32 },
  { family: 'IPv6', own: '2001:db8::1', hops: ['2001:db8::fd', '2001:db8::fe'], remote: '2001:db8:f::2', length: 128 }
])('over $family, flows to a host behind several next hops of one uplink are spread over them, each keeps to one', async path => {
  const { own, hops, remote, length } = path
  const names = joinNamespaces([own, length === 32 ? '192.0.2.2' : '2001:db8::2'])
  const macs = hops.map((_, n) => mac(8 + n))
  for (const [n, hop] of hops.entries()) configure(names[0], `neigh add ${hop} lladdr ${macs[n]} dev ${UPLINK}`)
  const route = (count: number) =>
    configure(
      names[0],
      `route replace ${remote}/${length} ${hops
        .map(hop => `nexthop via ${hop} dev ${UPLINK}`)
        .slice(0, count)
        .join(' ')}`
    )
  runIn(names[0], 'sysctl', '-qw', 'net.ipv4.fib_multipath_hash_policy=1', 'net.ipv6.fib_multipath_hash_policy=1')
  const host = closing(await Host.create(names[0], own, UPLINK))
  const network = await host.addNetwork(100)
  const a = await network.addWorkload('a', place(1))
  network.know({ mac: mac(3), addresses: [], peer: network.span(remote) })
  const sender = closing(await Wire.at(host.netns, a.hostIfindex))
  const netns = closing(native.net.openNetns(`/run/netns/${names[1]}`))
  const net = closing(native.net.open(netns))
  const far = closing(await Wire.at(netns, net.link(UPLINK)!.ifindex))
  /** The next hops that flows take: those of each flow. */
  const taken = async () => {
    for (let n = 0; n < 60; n++)
      sender.inject(
        eth({ src: a.mac, dst: mac(3) })
          .ipv4()
          .udp({ sport: 1000 + (n % 20) })
      )
    const ways = new Map<number, Set<string>>()
    for (const { bytes } of await far.captured()) {
      const { eth: outer, vxlan } = parse(bytes, { unchecked: true })
      const flow = vxlan?.inner.udp?.sport
      if (flow) ways.set(flow, (ways.get(flow) ?? new Set()).add(outer.dst))
    }
    expect([...ways.values()].map(({ size }) => size)).toEqual(Array(20).fill(1))
    return [...new Set([...ways.values()].flatMap(way => [...way]))].toSorted()
  }
  route(2)
  expect(await taken()).toEqual(macs)
  route(1)
  expect(await taken()).toEqual([macs[0]])
})

describe('with two uplinks', () => {
  const SECOND = 'uplink2'
  /** The far side's kernel sees a lost carrier within a second. */
  const LINK_WATCH_MS = 1100
  const FAMILIES = [
    {
      name: 'IPv4',
      ends: ['203.0.113.1', '203.0.113.2'],
      length: 32,
      links: [
        ['192.0.2.', 24],
        ['198.51.100.', 24]
      ]
    },
    {
      name: 'IPv6',
      ends: ['2001:db8::1', '2001:db8::2'],
      length: 128,
      links: [
        ['fd00:1::', 64],
        ['fd00:2::', 64]
      ]
    }
  ] as const

  test.each(FAMILIES)(
    '$name: flows go by both, each by one; when one is down all go by the other, and by both again',
    async ({ ends, length, links }) => {
      const names = [makeNamespace(), makeNamespace()] as const
      const devices = [UPLINK, SECOND]
      const address = (link: number, n: number) => `${links[link]![0]}${n + 1}`
      for (const [n, device] of devices.entries()) {
        const end = (host: 0 | 1) => ({ namespace: names[host], device, address: `${address(n, host)}/${links[n]![1]}` })
        join(end(0), end(1))
      }
      const hops = (host: number) => devices.map((device, n) => `nexthop via ${address(n, 1 - host)} dev ${device}`).join(' ')
      for (const [n, name] of names.entries()) {
        for (const family of ['ipv4', 'ipv6']) {
          runIn(name, 'sysctl', '-qw', `net.${family}.fib_multipath_hash_policy=1`, `net.${family}.conf.all.ignore_routes_with_linkdown=1`)
          for (const device of devices) runIn(name, 'sysctl', '-qw', `net.${family}.conf.${device}.ignore_routes_with_linkdown=1`)
        }
        for (const device of devices) runIn(name, 'sysctl', '-qw', `net.ipv6.conf.${device}.accept_dad=0`)
        configure(name, 'link set lo up', `address add ${ends[n]}/${length} dev lo`)
      }
      const route = (host: number) => configure(names[host]!, `route replace ${ends[1 - host]}/${length} src ${ends[host]} ${hops(host)}`)
      for (const host of [0, 1]) route(host)
      const netns = closing(native.net.openNetns(`/run/netns/${names[1]}`))
      const net = closing(native.net.open(netns))
      const wires = await Promise.all(devices.map(async device => closing(await Wire.at(netns, net.link(device)!.ifindex))))
      const hosts = [closing(await Host.create(names[0], ends[0], ...devices)), closing(await Host.create(names[1], ends[1], ...devices))]
      const [near, far] = await spanned(hosts as [Host, Host])
      const [a, c] = [await near.addWorkload('a', place(1, 1430)), await far.addWorkload('c', place(3, 1430))]

      /** By which links the outer source ports of the flows of the workload go. */
      const spread = async () => {
        const flows = 'for port in {1000..1039}; do for again in 1 2 3; do echo > /dev/udp/10.2.0.3/$port; done; done'
        a.run('bash', '-c', `${flows} 2>/dev/null; true`)
        const ports = new Map<number, Set<string>>()
        for (const [n, wire] of wires.entries())
          for (const { bytes } of await wire.captured()) {
            const { udp, vxlan } = parse(bytes, { unchecked: true })
            if (udp && vxlan?.inner.udp) ports.set(udp.sport, (ports.get(udp.sport) ?? new Set()).add(devices[n]!))
          }
        expect([...ports.values()].every(({ size }) => size === 1)).toBe(true)
        return [...new Set([...ports.values()].flatMap(links => [...links]))].toSorted()
      }
      expect(a.ping(c.ips[0]!, { count: 30 })).toBeGreaterThan(0)
      expect(await spread()).toEqual(devices)
      expect(await bulk(a.name, c.name, c.ips[0]!)).toBeGreaterThan(FLOWING)
      configure(names[0], `link set ${devices[0]} down`)
      expect(await spread()).toEqual([SECOND])
      await sleep(LINK_WATCH_MS)
      expect(a.ping(c.ips[0]!, { count: 20 })).toBe(20)
      configure(names[0], `link set ${devices[0]} up`)
      if (length === 128) configure(names[0], `address replace ${address(0, 0)}/64 dev ${UPLINK} nodad`)
      await sleep(LINK_WATCH_MS)
      route(0)
      expect(await spread()).toEqual(devices)
      expect(a.ping(c.ips[0]!, { count: 5 })).toBe(5)
    }
  )
})
