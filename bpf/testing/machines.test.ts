// SPDX-License-Identifier: Apache-2.0
// Virtual machines behind taps, which leave segmentation and checksums to the kernel: big packets arrive whole wherever they go, each piece with its checksum.

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { INSIDE, INSTANCE_OVERLAY, OUTSIDE } from '../core/graph'
import { firewall } from '../functions/firewall/firewall'
import { nat } from '../functions/nat/nat'
import { router } from '../functions/router/router'
import { eth, type Frame } from '../packets/frame'
import { parse } from '../packets/parse'
import { encodeContext } from '../packets/skb'
import { Card, type Received } from './card'
import { SUMS } from './harness'
import type { Host } from './host'
import { configure, makeNamespace, removeNamespaces, runIn } from './namespaces'
import type { Network } from './network'
import { twoHosts, UPLINK, VTEPS, VTEPS_IPV6 } from './underlay'
import type { Workload } from './workload'

const LENGTH = 64_000
const DATA = Buffer.from(Array.from({ length: LENGTH }, (_, n) => (n * n) >> 7))

const FLOWS = [
  { name: 'TCP over IPv4', family: 4, tcp: true },
  { name: 'TCP over IPv6', family: 6, tcp: true },
  { name: 'UDP over IPv4', family: 4, tcp: false },
  { name: 'UDP over IPv6', family: 6, tcp: false }
] as const
type Flow = (typeof FLOWS)[number]

interface Place {
  mac: string
  ip4: string
  ip6: string
}
const place = (n: number): Place => ({ mac: `02:00:00:00:08:0${n}`, ip4: `10.8.0.${n}`, ip6: `fd08::${n}` })
const placed = ({ mac, ip4, ip6 }: Place) => ({ mac, addresses: [`${ip4}/24`, `${ip6}/64`] })

/** What stands before the payload of an IP packet. */
const headers = ({ family, tcp }: Flow) => (family === 4 ? 20 : 40) + (tcp ? 20 : 8)

/** Where trains of a machine go, by the names of these. */
const RECEIVERS = {
  near: 'a machine of the same host',
  nearNested: 'a bridge within a workload of the same host',
  far: 'a machine of another host',
  farPlain: 'a machine without offloads of another host',
  farNested: 'a bridge within a workload of another host'
}

interface Ports {
  sport?: number
  dport?: number
}

function ipFrame(flow: Flow, from: Place, to: Place): Frame {
  const start = eth({ src: from.mac, dst: to.mac })
  return flow.family === 4 ? start.ipv4({ src: from.ip4, dst: to.ip4, df: true }) : start.ipv6({ src: from.ip6, dst: to.ip6 })
}

function bigFrame(flow: Flow, from: Place, to: Place, ports: Ports = {}): Frame {
  const start = ipFrame(flow, from, to)
  return (flow.tcp ? start.tcp({ ...ports, seq: 2, ack: 101, flags: 'A' }) : start.udp(ports)).payload(DATA)
}

const arrived = (packets: Received[]) =>
  packets.reduce((bytes, { payload, icmp, icmpv6 }) => bytes + (icmp || icmpv6 ? 0 : payload.length), 0)
const allOf = (packets: Received[]) => arrived(packets) >= LENGTH

/** All bytes, in their order, in packets that fit; a train says how it is to be cut. */
function expectWhole(packets: Received[], mtu: number, flow: Flow): void {
  expect(Buffer.concat(packets.map(({ payload }) => payload)).equals(DATA)).toBe(true)
  for (const { size, gso_size } of packets) expect(gso_size ? headers(flow) + gso_size : size).toBeLessThanOrEqual(mtu)
}

/** What is closed at the end. */
const made: Array<{ close(): void }> = []
const closing = <T extends { close(): void }>(thing: T): T => {
  made.push(thing)
  return thing
}
afterAll(() => {
  for (const each of made) each.close()
  removeNamespaces()
})

/** A machine without offloads inside the workload's namespace, behind a bridge of Linux, with the workload's own addresses. */
async function nestIn({ name, net, ifindex }: Workload, { mac }: Place): Promise<Card> {
  net.setLink(ifindex, { mac: '02:00:00:00:08:ff' })
  const card = await Card.open(name, 'tap', { mac, offloads: false })
  configure(name, 'link add br0 type bridge', 'link set br0 up')
  for (const device of ['eth0', 'tap']) configure(name, `link set ${device} up master br0`)
  return card
}

describe.each([
  { underlay: 'IPv4', vteps: VTEPS, mtu: 1450 },
  { underlay: 'IPv6', vteps: VTEPS_IPV6, mtu: 1430 }
])('over $underlay', ({ vteps, mtu }) => {
  const [SENDER, TAKER, VETH, FAR_TAKER, FAR_PLAIN, FAR_VETH] = [1, 2, 3, 4, 5, 6].map(place) as [Place, Place, Place, Place, Place, Place]
  let hosts: [Host, Host]
  let near: Network
  let far: Network
  let sender: Card
  /** In a network of which the other host has veths only. */
  let plainSender: Card
  const receivers = {} as Record<keyof typeof RECEIVERS, { at: Place; card: Card }>

  beforeAll(async () => {
    hosts = await twoHosts(vteps)
    near = await hosts[0].addNetwork(100)
    far = await hosts[1].addNetwork(100)
    const there = near.span(hosts[1].vtep)
    const back = far.span(hosts[0].vtep)
    const known = (peer: number, ...places: Place[]) => places.map(({ mac, ip4, ip6 }) => ({ mac, addresses: [ip4, ip6], peer }))
    near.know(...known(there, FAR_TAKER, FAR_PLAIN))
    far.know(...known(back, SENDER, TAKER, VETH))
    sender = await near.addMachine('s', placed(SENDER))
    const machine = async (at: Place, network: Network, offloads: boolean) => ({
      at,
      card: await network.addMachine(at.ip4.replaceAll('.', ''), { ...placed(at), offloads })
    })
    const nested = async (at: Place, network: Network) => ({
      at,
      card: closing(await nestIn(await network.addWorkload(at.ip4.replaceAll('.', ''), placed(at)), at))
    })
    const [nearPlain, farPlain] = [await hosts[0].addNetwork(101), await hosts[1].addNetwork(101)]
    nearPlain.know(...known(nearPlain.span(hosts[1].vtep), FAR_VETH))
    farPlain.span(hosts[0].vtep)
    plainSender = await nearPlain.addMachine('s2', placed(SENDER))
    receivers.near = await machine(TAKER, near, true)
    receivers.nearNested = await nested(VETH, near)
    receivers.far = await machine(FAR_TAKER, far, true)
    receivers.farPlain = await machine(FAR_PLAIN, far, false)
    receivers.farNested = await nested(FAR_VETH, farPlain)
  })
  afterAll(() => {
    for (const host of hosts ?? []) host.close()
  })

  const cases = FLOWS.flatMap(flow =>
    Object.entries(RECEIVERS).map(([to, where]) => ({ ...flow, flow, to: to as keyof typeof RECEIVERS, where }))
  )
  test.each(cases)('$name arrives whole at $where', async ({ flow, to }) => {
    const { at, card } = receivers[to]!
    const from = to === 'farNested' ? plainSender : sender
    from.send(bigFrame(flow, SENDER, at), mtu - headers(flow))
    expectWhole(await card.received(allOf), mtu, flow)
  })

  test.each(FLOWS)('$name in too large pieces draws an error that names the MTU', async flow => {
    const before = hosts[0].counters('overlay').too_big!
    sender.send(bigFrame(flow, SENDER, FAR_TAKER), 1500 - headers(flow))
    const [error] = await sender.received(packets => packets.length > 0)
    const said = flow.family === 4 ? { icmp: { type: 3, code: 4, mtu } } : { icmpv6: { type: 2, code: 0, mtu } }
    expect(error).toMatchObject({ eth: { src: FAR_TAKER.mac }, ...said })
    expect(error!.quoted!.subarray(0, 4)).toEqual(bigFrame(flow, SENDER, FAR_TAKER).bytes().subarray(14, 18))
    expect(hosts[0].counters('overlay').too_big! - before).toBe(1)
  })

  test('datagrams in too large pieces that may be fragmented arrive over IPv4, and draw the error over IPv6', async () => {
    const frame = eth({ src: SENDER.mac, dst: FAR_PLAIN.mac }).ipv4({ src: SENDER.ip4, dst: FAR_PLAIN.ip4 }).udp().payload(DATA)
    sender.send(frame, 1472)
    if (vteps === VTEPS) expect(arrived(await receivers.farPlain.card.received(allOf))).toBe(LENGTH)
    else expect(await sender.received(packets => packets.length > 0)).toMatchObject([{ icmp: { type: 3, code: 4, mtu } }])
  })

  test('what a network card has summed up is right with the outer headers of a tunnel too', () => {
    const [host] = hosts
    const context = encodeContext({ cb: [INSTANCE_OVERLAY << 16, 0, 0, host.peer(vteps[1]!), near.vni], mark: 0, gso_size: 0 })
    for (const flow of FLOWS) {
      const frame = ipFrame(flow, SENDER, FAR_PLAIN)
      const data = (flow.tcp ? frame.tcp() : frame.udp()).payload('odd').bytes()
      const run = host.program('overlay').testRun({ data, context, netns: host.netns, summed: SUMS })
      expect(parse(run.data).vxlan).toMatchObject({ vni: near.vni })
    }
  })

  test.each(FLOWS)('$name crosses an uplink without offloads', async flow => {
    for (const { name } of hosts) runIn(name, 'ethtool', '-K', UPLINK, 'tx', 'off', 'tso', 'off', 'gso', 'off')
    sender.send(bigFrame(flow, SENDER, FAR_PLAIN), mtu - headers(flow))
    expectWhole(await receivers.farPlain.card.received(allOf), mtu, flow)
  })
})

/**
 *   machine ── firewall ── blue ── gateway ── translator ── wan ── VLAN 42 ── outside
 *              neighbour ────┘        │
 *                                    red ══ tunnel ══ red ── remote
 */
describe('through a firewall, a router and a translator', () => {
  const REMOTE = place(2)
  const OUTSIDE_MACHINE: Place = { mac: '02:00:00:00:09:01', ip4: '10.9.0.1', ip6: 'fd09::1' }
  const MACHINE: Place = { mac: '02:00:00:00:0a:02', ip4: '10.10.0.2', ip6: 'fd0a::2' }
  const NEIGHBOUR: Place = { mac: '02:00:00:00:0a:01', ip4: '10.10.0.1', ip6: 'fd0a::1' }
  const POOL = { ip4: '10.9.0.7', ip6: 'fd09::7' }
  const MTU = 1400
  const interfaces = {
    red: { address: '10.8.0.254/24', ipv6_address: 'fd08::fe/64' },
    wan: { address: '10.9.0.254/24', ipv6_address: 'fd09::fe/64', mtu: MTU },
    blue: { address: '10.10.0.254/24', ipv6_address: 'fd0a::fe/64', mtu: MTU }
  }
  const OWN = router.presents!({ interfaces } as never, 'gateway')
  const toGateway = (from: Place, { ip4, ip6 }: Place) => ({ ip4, ip6, mac: (from === REMOTE ? OWN.red! : OWN.blue!).mac })

  let hosts: [Host, Host]
  let machine: Card
  let remote: Card
  let outside: Card
  let neighbour: Card

  beforeAll(async () => {
    hosts = await twoHosts()
    const [host, other] = hosts
    const [red, wan, blue] = [await host.addNetwork(100), await host.addNetwork(200), await host.addNetwork(300)]
    const farRed = await other.addNetwork(100)
    const gateway = await host.addInstance(router, { interfaces }, { name: 'gateway' })
    const sources = { v4: { source: '10.8.0.0/13', pool: `${POOL.ip4}/32` }, v6: { source: 'fd08::/14', pool: `${POOL.ip6}/128` } }
    const translator = await host.addInstance(nat, { max_sessions: 4096, sources })
    const rules = await host.addChained(firewall, { max_sessions: 4096 })
    host.connect([gateway, 1], [translator, INSIDE])
    for (const [network, own, bridge_port] of [
      [red, OWN.red!, red.stitch(gateway, 0)],
      [blue, OWN.blue!, blue.stitch(gateway, 2)],
      [wan, { mac: OWN.wan!.mac, addresses: [...OWN.wan!.addresses, POOL.ip4, POOL.ip6] }, wan.stitch(translator, OUTSIDE)]
    ] as const)
      network.know({ mac: own.mac, addresses: [...own.addresses], bridge_port })
    red.leadToDevices()

    machine = await blue.addMachine('m', { ...placed(MACHINE), chain: [rules.number] })
    neighbour = await blue.addMachine('n', { ...placed(NEIGHBOUR), offloads: false })
    remote = await farRed.addMachine('r', placed(REMOTE))
    red.know({ mac: REMOTE.mac, addresses: [REMOTE.ip4, REMOTE.ip6], peer: red.span(other.vtep) })
    farRed.know({ mac: OWN.red!.mac, addresses: OWN.red!.addresses, peer: farRed.span(host.vtep) })

    const beyond = makeNamespace()
    configure(host.name, `link add eth1 type veth peer name eth1 netns ${beyond}`, 'link set eth1 up')
    host.net.sysctl('ipv6/conf/eth1/disable_ipv6', '1')
    const ifindex = host.net.link('eth1')!.ifindex
    const port_id = wan.addSegment(ifindex, 42)
    wan.know({ mac: OUTSIDE_MACHINE.mac, addresses: [OUTSIDE_MACHINE.ip4, OUTSIDE_MACHINE.ip6], port_id })
    host.attach(host.program('vlan', 'segment'), ifindex)
    outside = closing(await Card.open(beyond, 'tap', { mac: OUTSIDE_MACHINE.mac, offloads: false }))
    configure(beyond, 'link add br0 type bridge', 'link set br0 up')
    for (const device of ['eth1', 'tap']) configure(beyond, `link set ${device} up master br0`)
  })
  afterAll(() => {
    for (const host of hosts ?? []) host.close()
  })

  const one = (packets: Received[]) => packets.length > 0
  /** Both ends agree on a TCP session; the train is its first data. */
  async function open(flow: Flow, from: Card, at: Place): Promise<number> {
    const segment = (fields: object) => ipFrame(flow, at, toGateway(at, OUTSIDE_MACHINE)).tcp({ dport: 80, ...fields })
    from.send(segment({ seq: 1 }))
    const [syn] = await outside.received(one)
    const { sport } = syn!.tcp!
    const answer = { ...POOL, mac: OWN.wan!.mac }
    outside.send(tagged(flow, OUTSIDE_MACHINE, answer).tcp({ sport: 80, dport: sport, seq: 100, ack: 2, flags: 'SA' }))
    await from.received(one)
    from.send(segment({ seq: 2, ack: 101, flags: 'A' }))
    await outside.received(one)
    return sport
  }
  const tagged = (flow: Flow, from: Place, to: Place): Frame => {
    const start = eth({ src: from.mac, dst: to.mac }).vlan(42)
    return flow.family === 4 ? start.ipv4({ src: from.ip4, dst: to.ip4, df: true }) : start.ipv6({ src: from.ip6, dst: to.ip6 })
  }

  const senders = () => ({ machine: [machine, MACHINE], remote: [remote, REMOTE] }) as const
  test.each(FLOWS.flatMap(flow => (['machine', 'remote'] as const).map(who => ({ ...flow, flow, who }))))(
    '$name of the $who arrives whole in the VLAN, and its answer back',
    async ({ who, flow }) => {
      const [card, at] = senders()[who]
      if (flow.tcp) await open(flow, card, at)
      card.send(bigFrame(flow, at, toGateway(at, OUTSIDE_MACHINE), { dport: 80 }), MTU - headers(flow))
      const packets = await outside.received(allOf)
      expectWhole(packets, MTU, flow)
      const [first] = packets
      const pool = flow.family === 4 ? first!.ipv4!.src : first!.ipv6!.src
      expect([pool, first!.vlan]).toEqual([flow.family === 4 ? POOL.ip4 : POOL.ip6, expect.objectContaining({ id: 42 })])

      const { sport: dport } = (first!.tcp ?? first!.udp)!
      const back = tagged(flow, OUTSIDE_MACHINE, { ...POOL, mac: OWN.wan!.mac })
      const ack = 2 + LENGTH
      outside.send(
        (flow.tcp ? back.tcp({ sport: 80, dport, seq: 101, ack, flags: 'A' }) : back.udp({ sport: 80, dport })).payload(DATA),
        MTU - headers(flow)
      )
      expectWhole(await card.received(allOf), MTU, flow)
    }
  )

  test.each(FLOWS)('$name arrives whole from another host in another network', async flow => {
    remote.send(bigFrame(flow, REMOTE, toGateway(REMOTE, NEIGHBOUR)), MTU - headers(flow))
    expectWhole(await neighbour.received(allOf), MTU, flow)
  })

  test.each(FLOWS)('$name in pieces too large for the way ahead draws an error that names its MTU', async flow => {
    remote.send(bigFrame(flow, REMOTE, toGateway(REMOTE, NEIGHBOUR)), 1450 - headers(flow))
    const [error] = await remote.received(one)
    expect(error).toMatchObject(flow.family === 4 ? { icmp: { type: 3, code: 4, mtu: MTU } } : { icmpv6: { type: 2, mtu: MTU } })
  })
})
