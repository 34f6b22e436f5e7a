// SPDX-License-Identifier: Apache-2.0
// Generated sequences: packets to everywhere, while routes change and neighbours are declared, heard and forgotten; the loaded program does as the model says.

import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { eth } from '../../packets/frame'
import { loadFunction, type Outcome, type TestedFunction } from '../../testing/harness'
import { Random, SEED } from '../../testing/random'
import { router } from './router'
import { type Fate, type ModelConfig, type ModelRoute, RouterModel, type Sent, type Station } from './router.model'

/** Each of some packets: 10,000 sequences. */
const CONFIGURATIONS = 100
const SEQUENCES = 100
/** Seconds, beyond `neighbour_timeout`. */
const PAUSE = 500

const INTERFACES = {
  web: { address: '10.0.1.1/24', ipv6_address: 'fd00:1::1/64' },
  db: { address: '10.0.2.1/24', ipv6_address: 'fd00:2::1/64' }
}
const LINKS = {
  web: { cidrs: ['10.0.1.0/24', 'fd00:1::/64'], mtu: 1450 },
  db: { cidrs: ['10.0.2.0/24', 'fd00:2::/64'], mtu: 1400 }
}
type Link = keyof typeof LINKS
const OWN = router.presents!({ interfaces: INTERFACES } as never, 'tested')

/** The same in both families: the last number of an address on a link, and who has it. */
const station = (link: Link, last: number): Station[] => {
  const mac = `02:00:00:00:0${link === 'web' ? 1 : 2}:${String(last).padStart(2, '0')}`
  const network = link === 'web' ? 1 : 2
  return [
    { address: `10.0.${network}.${last}`, mac, link },
    { address: `fd00:${network}::${last}`, mac, link }
  ]
}
/** Next hops are always known. */
const NEXT_ROUTERS = [...station('db', 8), ...station('db', 9)]
const STATIONS = [...station('web', 11), ...station('web', 70), ...station('db', 22), ...station('db', 70), ...station('db', 66)]
const PREFIXES = {
  4: [
    '0.0.0.0/0',
    '198.51.0.0/16',
    '198.51.100.0/24',
    '198.51.100.128/25',
    '198.51.100.7/32',
    '10.0.2.64/26',
    '10.0.2.70/32',
    '10.0.1.64/26'
  ],
  6: [
    '2000::/3',
    '2001:db8::/32',
    '2001:db8:1::/48',
    '2001:db8:1:8000::/49',
    '2001:db8:1::7/128',
    'fd00:2::60/123',
    'fd00:2::70/128',
    'fd00:1::60/123'
  ]
}
const DESTINATIONS = [
  ...STATIONS.map(({ address }) => address),
  ...['10.0.2.99', '203.0.113.5', '198.51.7.1', '198.51.100.7', '198.51.100.9', '198.51.100.130'],
  ...['fd00:2::99', '2001:db9::5', '2001:db8:2::1', '2001:db8:1::7', '2001:db8:1::9', '2001:db8:1:8000::1', 'fd01::1']
]
const SENDERS = {
  4: ['10.0.1.11', '10.0.1.11', '198.51.100.200', '127.0.0.1', '240.0.0.1'],
  6: ['fd00:1::11', 'fd00:1::11', '2001:db8:1::200', '::1']
}

let tested: TestedFunction
beforeAll(async () => {
  tested = await loadFunction(router, { interfaces: INTERFACES })
  tested.table('host').put(0, { ...(tested.table('host').get(0) as object), replica: 1 })
})
afterAll(() => tested?.close())

const familyOf = (address: string) => (address.includes(':') ? 6 : 4)

function configOf(random: Random): ModelConfig {
  const prefixes = [...PREFIXES[4], ...PREFIXES[6]].filter(() => random.below(2))
  const routes = prefixes.flatMap((destination): ModelRoute[] => {
    const type = random.pick(['unicast', 'unicast', 'unicast', 'blackhole', 'unreachable', 'prohibit'] as const)
    if (type !== 'unicast') return [{ destination, type }]
    const vias = NEXT_ROUTERS.map(({ address }) => address).filter(address => familyOf(address) === familyOf(destination))
    return random.below(2) ? [{ destination, type, via: random.pick(vias) }] : vias.map(via => ({ destination, type, via }))
  })
  return { links: LINKS, routes, declared: [...NEXT_ROUTERS, ...STATIONS.filter(() => random.below(2))] }
}

function apply({ routes, declared }: ModelConfig): void {
  const network = (link: Link, vni: number) => {
    const endpoints = declared.filter(each => each.link === link).map(({ mac, address }) => ({ mac, addresses: [address] }))
    return { name: link, vni, mtu: LINKS[link].mtu, cidrs: [], endpoints }
  }
  const ports = { web: { number: 0, network: network('web', 1) }, db: { number: 1, network: network('db', 2) } }
  const rows = Object.fromEntries(routes.map((route, n) => [`r${n}`, route]))
  tested.apply({ interfaces: INTERFACES, routes: rows, control_rate: 1_000_000 }, { name: 'tested', ports })
}

class Sequences {
  private readonly model: RouterModel
  private history: string[] = []
  /** The next hop of each flow under the routes that stand. */
  private readonly chosen = new Map<string, string>()

  constructor(
    private readonly random: Random,
    config: ModelConfig
  ) {
    this.model = new RouterModel(config)
  }

  configure(config: ModelConfig): void {
    apply(config)
    this.model.configure(config)
    this.chosen.clear()
    this.history = [...this.history.slice(-10), JSON.stringify(config)]
  }

  /** Nobody waits for an answer any longer, either. */
  pause(): void {
    const [learned, pending] = [tested.table('learned'), tested.table('pending')]
    for (const { key, value } of learned.entries()) {
      const neighbour = value as { confirmed: bigint; asked: bigint }
      learned.put(key, { ...neighbour, confirmed: BigInt.asUintN(64, neighbour.confirmed - BigInt(PAUSE) * 1_000_000_000n) })
    }
    for (const { key } of pending.entries()) pending.delete(key)
    this.model.wait()
    this.history.push(`${PAUSE} s pass`)
  }

  run(): void {
    const { random } = this
    const dst = random.pick(DESTINATIONS)
    const src = random.pick(SENDERS[familyOf(dst)])
    for (let n = 1 + random.below(3); n > 0; n--) {
      if (random.below(6) === 0) this.ask(random.pick(STATIONS), random.below(8) ? undefined : '02:00:00:00:99:99')
      const payload = random.pick([0, 100, 1352, 1353, 1372, 1373])
      const length = payload + (familyOf(dst) === 4 ? 28 : 48)
      const sent = { src, dst, ttl: random.pick([64, 64, 64, 2, 1, 0]), length, isOurs: random.below(12) > 0 }
      this.say(random.pick(['web', 'db'] as const), sent, random.below(3), payload)
    }
  }

  /** A station asks for the router's address on its link. */
  private ask({ address, mac, link }: Station, other = mac): void {
    const { addresses } = OWN[link]!
    const target = addresses.find(own => familyOf(own) === familyOf(address))!
    const frame =
      familyOf(address) === 4
        ? eth({ src: other, dst: 'ff:ff:ff:ff:ff:ff' }).arp({ sender_mac: other, sender_ip: address, target_ip: target })
        : eth({ src: other, dst: '33:33:ff:00:00:01' })
            .ipv6({ src: address, dst: 'ff02::1:ff00:1', hop_limit: 255 })
            .solicitation({ target, mac: other })
    const learns = this.model.hear({ address, mac: other, link })
    const outcome = tested.send(frame, { port: link })
    const counted = learns ? ['answered', 'learned'] : ['answered']
    const seen = { port: outcome.port, counted: Object.keys(outcome.counted).sort() }
    this.agree(`${address} at ${other} asks`, seen, { port: link, counted })
  }

  private say(link: Link, sent: Sent, port: number, payload: number): void {
    const { src, dst, ttl, isOurs } = sent
    const ethernet = eth({ src: '02:00:00:00:77:77', dst: isOurs ? OWN[link]!.mac : '02:00:00:00:88:88' })
    const header = familyOf(dst) === 4 ? ethernet.ipv4({ src, dst, ttl, df: true }) : ethernet.ipv6({ src, dst, hop_limit: ttl })
    const frame = header
      .udp({ sport: 1000 + port, dport: 53 })
      .payload(payload)
      .bytes()
    const fate = this.model.fateOf(sent)
    const seen = observed(tested.send(frame, { port: link }), link, frame)
    const said = `${link} ${JSON.stringify(sent)} ${port}`
    this.agree(
      said,
      'macs' in seen && 'macs' in fate ? { ...seen, macs: this.rightOf(seen.macs, fate.macs, `${src} ${dst} ${port}`) } : seen,
      fate
    )
  }

  /** `right`, where the packet went to one of them, and as all of its flow did. */
  private rightOf(macs: string[], right: string[], flow: string): string[] {
    const [mac = ''] = macs
    const before = this.chosen.get(flow) ?? mac
    if (right.length > 1) this.chosen.set(flow, mac)
    return right.includes(mac) && before === mac ? right : macs
  }

  private agree(said: string, what: unknown, expected: unknown): void {
    this.history.push(said)
    if (JSON.stringify(what) === JSON.stringify(expected)) return
    expect(`SEED=${SEED}\n${this.history.slice(-40).join('\n')}\n${JSON.stringify(what)}`).toBe(JSON.stringify(expected))
  }
}

/** What the kernel did, in the words of the model. A packet waits in the replica device, or is turned into the question. */
function observed({ went, port, counted, bytes }: Outcome, from: Link, sent: Buffer): Fate | { changed: string } {
  const names = Object.keys(counted).sort()
  if (went === 'device' || counted.requests || counted.unresolved) return { goes: 'later' }
  if (went === 'nowhere') return { goes: 'nowhere', counted: names }
  if (port === from && counted.errors) return { goes: 'back', counted: names }
  const [link, mac] = [String(port), bytes.subarray(0, 6).toString('hex').match(/../g)!.join(':')]
  const expected = forwarded(sent, OWN[link]!.mac, mac)
  return bytes.equals(expected) ? { goes: 'on', link, macs: [mac] } : { changed: bytes.toString('hex') }
}

/** The frame with other MACs and one hop less; the checksum of IPv4 follows (RFC 1624). */
function forwarded(sent: Buffer, source: string, destination: string): Buffer {
  const frame = Buffer.from(sent)
  Buffer.from((destination + source).replaceAll(':', ''), 'hex').copy(frame)
  const isIpv4 = frame.readUInt16BE(12) === 0x0800
  frame[isIpv4 ? 22 : 21]!--
  if (!isIpv4) return frame
  const sum = frame.readUInt16BE(24) + 0x0100
  frame.writeUInt16BE((sum & 0xffff) + (sum >> 16), 24)
  return frame
}

test(`${CONFIGURATIONS * SEQUENCES} sequences go as the model says (SEED=${SEED})`, () => {
  const random = new Random(SEED)
  const sequences = new Sequences(random, configOf(random))
  for (let n = 0; n < CONFIGURATIONS; n++) {
    sequences.configure(configOf(random))
    for (let m = 0; m < SEQUENCES; m++) {
      sequences.run()
      if (random.below(40) === 0) sequences.pause()
    }
  }
}, 180_000)
