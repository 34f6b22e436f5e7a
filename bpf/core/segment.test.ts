// SPDX-License-Identifier: Apache-2.0
// A network that is tunnelled between two hosts and extended to a VLAN at one of them: a foreign machine in the VLAN and the workloads of both hosts are neighbours.

import { join } from 'node:path'
import { native } from '@inkev/native'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { eth, type Frame } from '../packets/frame'
import type { Host } from '../testing/host'
import { configure, makeNamespace, removeNamespaces, runIn } from '../testing/namespaces'
import type { Network } from '../testing/network'
import { bulk, FLOWING } from '../testing/traffic'
import { twoHosts, UPLINK, VTEPS } from '../testing/underlay'
import { Wire } from '../testing/wire'
import type { Workload } from '../testing/workload'

//  far ══ tunnel ══ near ── eth1, VLAN 42 ── foreign
const TAG = 42
const TAGGER = join(__dirname, '../build/tagger.bpf.o')
const FOREIGN = { mac: '02:00:00:00:0b:09', ips: ['10.11.0.9', 'fd0b::9'] }
const STRANGER = '02:00:00:00:0b:99'
/** Of no kernel, which would speak up. */
const ROAMER = '02:00:00:00:0b:98'
const ALL = 'ff:ff:ff:ff:ff:ff'
const place = (n: number) => ({ mac: `02:00:00:00:0b:0${n}`, addresses: [`10.11.0.${n}/24`, `fd0b::${n}/64`], mtu: 1500 })

let hosts: [Host, Host]
let near: Network
let far: Network
let a: Workload
let b: Workload
let foreign: string
/** What arrives at the foreign machine, and hands that let it send. */
let atForeign: Wire
let fromForeign: Wire
const injectors = new Map<Workload, Wire>()
const made: Array<{ close(): void }> = []
const closing = <T extends { close(): void }>(thing: T): T => {
  made.unshift(thing)
  return thing
}

beforeAll(async () => {
  hosts = await twoHosts()
  near = await hosts[0].addNetwork(100)
  far = await hosts[1].addNetwork(100)
  a = await near.addWorkload('a', place(1))
  b = await far.addWorkload('b', place(2))
  near.know({ mac: b.mac, addresses: b.ips, peer: near.span(hosts[1].vtep) })
  far.know({ mac: a.mac, addresses: a.ips, peer: far.span(hosts[0].vtep) })
  foreign = makeNamespace()
  configure(hosts[0].name, `link add eth1 type veth peer name trunk netns ${foreign}`, 'link set eth1 up')
  const ifindex = hosts[0].net.link('eth1')!.ifindex
  near.addSegment(ifindex, TAG)
  hosts[0].attach(hosts[0].program('vlan', 'segment'), ifindex)
  await tagAt(foreign)
  for (const workload of [a, b])
    injectors.set(workload, closing(await Wire.at(workload === a ? hosts[0].netns : hosts[1].netns, workload.hostIfindex)))
  fromForeign = closing(await Wire.at(hosts[0].netns, ifindex))
}, 60_000)
afterAll(() => {
  for (const each of made) each.close()
  for (const host of hosts ?? []) host.close()
  removeNamespaces()
})

/** Gives the foreign machine a device that speaks with the tag: see tagger.bpf.c. */
async function tagAt(namespace: string): Promise<void> {
  const netns = closing(native.net.openNetns(`/run/netns/${namespace}`))
  const net = closing(native.net.open(netns))
  const trunk = net.link('trunk')!.ifindex
  const out = (trunk << 12) | TAG
  configure(namespace, `link add out index ${out} type veth peer name vlan address ${FOREIGN.mac}`)
  for (const device of ['trunk', 'out']) net.sysctl(`ipv6/conf/${device}/disable_ipv6`, '1')
  net.sysctl('ipv6/conf/vlan/accept_dad', '0')
  for (const device of ['trunk', 'out', 'vlan']) configure(namespace, `link set ${device} up`)
  for (const [n, length] of [24, 64].entries()) configure(namespace, `address add ${FOREIGN.ips[n]}/${length} dev vlan`)
  for (const [device, section] of [
    ['trunk', 'tc'],
    ['out', 'tc/out']
  ] as const) {
    runIn(namespace, 'tc', 'qdisc', 'add', 'dev', device, 'clsact')
    const filter = ['bpf', 'direct-action', 'object-file', TAGGER, 'section', section]
    runIn(namespace, 'tc', 'filter', 'add', 'dev', device, 'ingress', ...filter)
  }
  atForeign = closing(await Wire.at(netns, net.link('vlan')!.ifindex))
}

const places = () => ({ a: a.wire, b: b.wire, foreign: atForeign })
beforeEach(async () => {
  await Promise.all(Object.values(places()).map(wire => wire.captured()))
})

let markers = 0
/** Who gets what one sends, and how often. */
async function receivers(from: Workload | 'foreign', src: string, dst: string): Promise<Record<string, number>> {
  const marker = `marker ${++markers}.`
  const start = eth({ src, dst })
  const frame = (at: Frame) => at.ipv4().udp().payload(marker)
  if (from === 'foreign') fromForeign.inject(frame(start.vlan(TAG)))
  else injectors.get(from)!.inject(frame(start))
  const got = await Promise.all(
    Object.entries(places()).map(async ([name, wire]) => [
      name,
      (await wire.captured()).filter(({ bytes }) => bytes.includes(marker)).length
    ])
  )
  return Object.fromEntries(got.filter(([, count]) => count !== 0))
}

const ping = (address: string, ...options: string[]) => {
  try {
    return runIn(foreign, 'ping', '-c', '2', '-i', '0.05', '-W', '1', ...options, address)
  } catch (error) {
    return (error as { stdout: string }).stdout
  }
}

describe.each([
  { family: 4, n: 0 },
  { family: 6, n: 1 }
])('IPv$family', ({ n }) => {
  test('the foreign machine and the workloads of both hosts find and reach each other', () => {
    for (const workload of [a, b]) {
      expect(ping(workload.ips[n]!)).toMatch(/ 0% packet loss/)
      runIn(foreign, 'ip', 'neigh', 'flush', 'dev', 'vlan')
      workload.run('ip', 'neigh', 'flush', 'dev', 'eth0')
      expect(workload.ping(FOREIGN.ips[n]!)).toBe(2)
    }
  })

  test('either end is told the MTU of the tunnel between them', () => {
    expect(ping(b.ips[n]!, '-M', 'do', '-s', '1440')).toMatch(/mtu ?= ?1450/i)
    b.ping(FOREIGN.ips[n]!, { options: ['-M', 'do', '-s', '1440'] })
    expect(b.run('ip', 'route', 'get', FOREIGN.ips[n]!)).toContain('mtu 1450')
  })

  test('TCP flows both ways in bulk', async () => {
    for (const reverse of [false, true]) expect(await bulk(foreign, b.name, b.ips[n]!, { megabytes: 10, reverse })).toBeGreaterThan(FLOWING)
  })
})

test('what is for all, or for an unknown address, comes to each of the others once, and not back', async () => {
  for (const dst of [ALL, STRANGER]) {
    expect(await receivers('foreign', FOREIGN.mac, dst)).toEqual({ a: 1, b: 1 })
    expect(await receivers(b, b.mac, dst)).toEqual({ a: 1, foreign: 1 })
    expect(await receivers(a, a.mac, dst)).toEqual({ b: 1, foreign: 1 })
  }
})

test('a station is followed from the VLAN to the other host and back', async () => {
  await receivers('foreign', ROAMER, b.mac)
  expect(await receivers(b, b.mac, ROAMER)).toEqual({ foreign: 1 })
  expect(await receivers(a, a.mac, ROAMER)).toEqual({ foreign: 1 })
  await receivers(b, ROAMER, ALL)
  expect(await receivers(a, a.mac, ROAMER)).toEqual({ b: 1 })
  expect(await receivers('foreign', STRANGER, ROAMER)).toEqual({ b: 1 })
  await receivers('foreign', ROAMER, ALL)
  expect(await receivers(b, b.mac, ROAMER)).toEqual({ foreign: 1 })
})

test('what two stations of the VLAN say to each other stays there', async () => {
  await receivers('foreign', STRANGER, ALL)
  expect(await receivers('foreign', FOREIGN.mac, STRANGER)).toEqual({})
})

describe('at the uplink itself', () => {
  const own = (n: number) => ({ mac: `02:00:00:00:0c:0${n}`, addresses: [`10.12.0.${n}/24`, `fd0c::${n}/64`] })
  let c: Workload
  let d: Workload

  beforeAll(async () => {
    const [here, there] = await Promise.all(
      hosts.map(async (host, n) => {
        const network = await host.addNetwork(200)
        const workload = await network.addWorkload('own', own(n + 1))
        const uplink = host.net.link(UPLINK)!.ifindex
        network.addSegment(uplink, 7)
        host.attach(host.program('vlan', 'segment'), uplink)
        return workload
      })
    )
    c = here!
    d = there!
  })

  test('workloads of two hosts meet in a VLAN', async () => {
    for (const address of d.ips) expect(c.ping(address)).toBe(2)
    expect(await bulk(c.name, d.name, d.ips[0]!, { megabytes: 10 })).toBeGreaterThan(FLOWING)
  })

  test('tunnels and the hosts themselves go on to use it', () => {
    for (const address of b.ips) expect(a.ping(address)).toBe(2)
    expect(runIn(hosts[0].name, 'ping', '-c', '2', '-i', '0.05', '-W', '1', VTEPS[1])).toMatch(/ 0% packet loss/)
  })
})
