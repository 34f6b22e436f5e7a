// SPDX-License-Identifier: Apache-2.0
// Generated packets through the mirror and its model: copies of the same ones are made, unchanged, and all packets go on unchanged.

import { type Netlink, type Netns, native } from '@inkev/native'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { eth, type Frame } from '../../packets/frame'
import { loadFunction, type TestedFunction } from '../../testing/harness'
import { makeNamespace, removeNamespaces } from '../../testing/namespaces'
import { Random, SEED } from '../../testing/random'
import { Wire } from '../../testing/wire'
import { mirror } from './mirror'
import { isChosen, type ModelConfig, type ModelPacket } from './mirror.model'

const BATCHES = 5
/** As many as a wire keeps, in the worst case, until it is asked. */
const CONFIGS = 250
const PACKETS = 8
const COPY_SLOT = (16 << 8) | 2

let tested: TestedFunction
let netns: Netns
let net: Netlink
/** Where copies arrive. */
let wire: Wire

beforeAll(async () => {
  netns = native.net.openNetns(`/run/netns/${makeNamespace()}`)
  net = native.net.open(netns)
  const device = net.createVeth({ name: 'copies', peerName: 'collector', mtu: 1600 })
  for (const name of ['copies', 'collector']) {
    net.sysctl(`ipv6/conf/${name}/disable_ipv6`, '1')
    net.setLink(net.link(name)!.ifindex, { up: true })
  }
  wire = await Wire.at(netns, net.link('collector')!.ifindex)
  tested = await loadFunction(mirror, {})
  tested.table('stitches').put(COPY_SLOT, { target: device, port: 0, kind: 'ATTACHED_DEVICE' })
})
afterAll(() => {
  tested?.close()
  wire?.close()
  net?.close()
  netns?.close()
  removeNamespaces()
})

const HOSTS = { 4: ['10.0.0.1', '10.0.1.1', '192.0.2.1'], 6: ['fd00::1', 'fd00:0:0:1::1', '2001:db8::1'] }
const PREFIXES = { 4: ['10.0.0.0/24', '10.0.0.0/15', '10.0.0.1/32', '0.0.0.0/0'], 6: ['fd00::/64', 'fd00::/48', 'fd00::1/128', '::/0'] }
const PORTED = ['tcp', 'udp', 'sctp'] as const

function generateConfig(random: Random): ModelConfig & { one_in: number } {
  const family = random.pick([4, 6] as const)
  const prefix = () => random.maybe(() => random.maybe(() => random.pick(PREFIXES[family])))
  const protocol = random.maybe(() => random.maybe(() => random.pick(PORTED)))
  return {
    enabled: random.below(16) > 0,
    direction: random.pick(['both', 'both', 'ingress', 'egress']),
    local: prefix(),
    remote: prefix(),
    protocol,
    port: protocol && random.maybe(() => 80),
    one_in: random.pick([1, 1, 1, 3])
  }
}

interface Generated {
  frame: Frame
  packet: ModelPacket
}

function generatePacket(random: Random): Generated {
  const from = random.pick(['inside', 'outside'] as const)
  const kind = random.below(16)
  if (kind === 0) return { frame: eth().arp(), packet: { from } }
  if (kind === 1) return { frame: eth().vlan(5).ipv4().tcp().payload(random.below(1400)), packet: { from } }
  if (kind === 2) return { frame: eth().ipv4({ ihl: 4 }).udp(), packet: { from } }
  return generateIp(random, from, kind === 3)
}

function generateIp(random: Random, from: ModelPacket['from'], fragment: boolean): Generated {
  const family = random.pick([4, 6] as const)
  const [src, dst] = [random.pick(HOSTS[family]), random.pick(HOSTS[family])]
  const ip = () => (family === 4 ? eth().ipv4({ src, dst }) : eth().ipv6({ src, dst }))
  const named = (protocol: string, ports: number[]) => ({ from, ip: { source: src, destination: dst, protocol, ports } })
  const payload = random.below(1400)
  if (fragment) {
    const [data, offset, protocol] = [8 * (1 + random.below(150)), 8 * (1 + random.below(100)), 17]
    const later = family === 4 ? eth().ipv4({ src, dst, offset, protocol }) : ip().fragment({ offset, next: protocol })
    return { frame: later.payload(data), packet: named('udp', []) }
  }
  if (random.below(5) === 0) {
    const echo = family === 4 ? ip().icmp({ type: 8, id: 80 }) : ip().icmpv6({ type: 128, id: 80 })
    return { frame: echo.payload(payload), packet: named('icmp', []) }
  }
  const [protocol, sport, dport] = [random.pick(PORTED), random.pick([80, 81]), random.pick([80, 81])]
  return { frame: ip()[protocol]({ sport, dport }).payload(payload), packet: named(protocol, [sport, dport]) }
}

/** What has become of the packets of one batch. */
interface Batch {
  /** The frames of which copies must arrive, in order. */
  copied: Buffer[]
  /** Packets of which one in three was wanted, and how many of these were taken. */
  sampled: { chosen: number; taken: number }
}

function sendBatch(random: Random): Batch {
  const batch: Batch = { copied: [], sampled: { chosen: 0, taken: 0 } }
  for (let c = 0; c < CONFIGS; c++) {
    const config = generateConfig(random)
    tested.apply(JSON.parse(JSON.stringify(config)))
    for (let n = 0; n < PACKETS; n++) {
      const { frame, packet } = generatePacket(random)
      const outcome = tested.send(frame, { port: packet.from, mark: 7, netns })
      const [expected, taken] = [isChosen(config, packet), outcome.counted.chosen === 1]
      const told = () => `SEED=${SEED}: ${JSON.stringify({ config, packet, counted: outcome.counted })}`
      if (config.one_in === 1 ? taken !== expected : taken && !expected) throw new Error(`${expected} was expected: ${told()}`)
      const goesOn = outcome.went === 'port' && outcome.port === (packet.from === 'inside' ? 'outside' : 'inside')
      if (!goesOn || outcome.mark !== 7 || !outcome.bytes.equals(frame.bytes())) throw new Error(`it does not go on as it was: ${told()}`)
      if (taken) batch.copied.push(frame.bytes())
      if (config.one_in > 1 && expected) {
        batch.sampled.chosen++
        batch.sampled.taken += Number(taken)
      }
    }
  }
  return batch
}

test(`${BATCHES * CONFIGS * PACKETS} packets are copied as by the model`, async () => {
  const random = new Random(SEED)
  const sampled = { chosen: 0, taken: 0 }
  await wire.captured()
  for (let n = 0; n < BATCHES; n++) {
    const batch = sendBatch(random)
    const arrived = (await wire.captured()).map(({ bytes }) => bytes)
    const changed = batch.copied.findIndex((bytes, n) => !arrived[n]?.equals(bytes))
    if (changed >= 0 || arrived.length !== batch.copied.length)
      throw new Error(`SEED=${SEED}: of ${batch.copied.length} copies ${arrived.length} arrive; that numbered ${changed} is not as it was`)
    sampled.chosen += batch.sampled.chosen
    sampled.taken += batch.sampled.taken
  }
  /* Five times the deviation that chance has. */
  const deviation = Math.sqrt(sampled.chosen * (1 / 3) * (2 / 3))
  expect(Math.abs(sampled.taken - sampled.chosen / 3)).toBeLessThan(5 * deviation)
}, 180_000)
