// SPDX-License-Identifier: Apache-2.0
// The firewall's rules: which one decides, what is counted, and how one set of rules takes the place of another.

import { afterEach, describe, expect, test } from '@jest/globals'
import type { Entry, Image } from '../../catalogue/define'
import { validateConfig } from '../../catalogue/validate'
import { eth, type Frame } from '../../packets/frame'
import { loadFunction, type TestedFunction } from '../../testing/harness'
import { Random, SEED } from '../../testing/random'
import { firewall } from './firewall'
import { decide, type ModelRule, type Opening } from './firewall.model'
import { forgetAll, other, type Side, Traffic } from './testing'

let tested: TestedFunction
afterEach(() => tested.close())

type Config = Record<string, unknown>

async function load(config: Config): Promise<TestedFunction> {
  tested = await loadFunction(firewall, { max_sessions: 1024, ...config })
  return tested
}

const passed = (from: Side) => ({ went: 'port', port: other(from) })
const dropped = (counter: string) => ({ went: 'nowhere', counted: { [counter]: 1 } })

/** What rules have decided, by their keys. */
function hits(config: Config): Record<string, { packets: number; bytes: number }> {
  const { labels } = imageOf(config, 0)
  return Object.fromEntries(
    tested
      .table('rule_hits')
      .entries()
      .map(({ key, value }) => {
        const each = value as { packets: bigint; bytes: bigint }[]
        const sum = (field: 'packets' | 'bytes') => Number(each.reduce((total, cpu) => total + cpu[field], 0n))
        return [labels!.rule_hits![String(key)], { packets: sum('packets'), bytes: sum('bytes') }]
      })
  )
}

function imageOf(config: Config, generation: number): Image {
  const { config: valid, problems } = validateConfig(firewall, { max_sessions: 1024, ...config })
  expect(problems).toEqual([])
  return firewall.image!(valid as never, { generation } as never)
}

describe('a rule', () => {
  const web = { direction: 'ingress', protocol: 'tcp', ports: '80' }

  test('opens what is closed by default, and nothing beside', async () => {
    await load({ rules: { web } })
    for (const family of [4, 6] as const) {
      const t = new Traffic(tested, family)
      expect(t.tcp('outside', 'S', { dport: 80 })).toMatchObject({ ...passed('outside'), counted: { sessions_opened: 1 } })
      expect(t.tcp('outside', 'S', { dport: 81 })).toMatchObject(dropped('denied'))
      expect(t.udp('outside', { dport: 80 })).toMatchObject(dropped('denied'))
    }
  })

  test('of lower priority number decides', async () => {
    await load({ rules: { web, none: { ...web, priority: 999, action: 'deny' } } })
    expect(new Traffic(tested, 4).tcp('outside', 'S', { dport: 80 })).toMatchObject(dropped('denied'))
    tested.apply({ rules: { web: { ...web, priority: 998 }, none: { ...web, priority: 999, action: 'deny' } } })
    expect(new Traffic(tested, 4).tcp('outside', 'S', { dport: 80 })).toMatchObject(passed('outside'))
  })

  test('counts what it decides by its own key: packets that open sessions, and all that are refused', async () => {
    const config = { rules: { web, probe: { ...web, ports: '23', action: 'deny' } } }
    await load(config)
    const t = new Traffic(tested, 4)
    const length = t.segment('outside').bytes().length - 14
    t.tcp('outside', 'S', { dport: 80, seq: 1 })
    t.tcp('inside', 'SA', { sport: 80, dport: 80, seq: 1, ack: 2 })
    for (let n = 0; n < 3; n++) t.tcp('outside', 'S', { dport: 23 })
    t.udp('inside')
    expect(hits(config)).toMatchObject({
      web: { packets: 1, bytes: length },
      probe: { packets: 3, bytes: 3 * length },
      'default egress': { packets: 1 }
    })
    const renamed = { rules: { ...config.rules, another: { ...web, ports: '24' } } }
    tested.apply(renamed)
    t.tcp('outside', 'S', { dport: 23 })
    expect(hits(renamed)).toMatchObject({ web: { packets: 1 }, probe: { packets: 4 } })
  })

  test('for 0.0.0.0/0 means no IPv6 packet, and one for ::/0 no IPv4 packet', async () => {
    await load({
      rules: {
        v4: { direction: 'ingress', source: '0.0.0.0/0', protocol: 'udp', ports: '1' },
        v6: { direction: 'ingress', source: '::/0', protocol: 'udp', ports: '2' }
      }
    })
    const [v4, v6] = [new Traffic(tested, 4), new Traffic(tested, 6)]
    expect(v4.udp('outside', { dport: 1 })).toMatchObject(passed('outside'))
    expect(v4.udp('outside', { dport: 2 })).toMatchObject(dropped('denied'))
    expect(v6.udp('outside', { dport: 1 })).toMatchObject(dropped('denied'))
    expect(v6.udp('outside', { dport: 2 })).toMatchObject(passed('outside'))
  })

  test('for an ICMP type admits no other type, and one for a code no other code', async () => {
    const icmp = { direction: 'ingress', protocol: 'icmp' }
    await load({
      rules: {
        ping: { ...icmp, icmp_type: 8 },
        stamp: { ...icmp, icmp_type: 13, icmp_code: 0 },
        mask: { ...icmp, icmp_type: 17, icmp_code: 5 }
      }
    })
    const t = new Traffic(tested, 4)
    const send = (type: number, code = 0) => t.send('outside', t.ip('outside').icmp({ type, code }))
    expect(send(8)).toMatchObject(passed('outside'))
    expect(send(8, 1)).toMatchObject(passed('outside'))
    expect(send(13)).toMatchObject(passed('outside'))
    expect(send(13, 1)).toMatchObject(dropped('denied'))
    expect(send(17)).toMatchObject(dropped('denied'))
    expect(send(17, 5)).toMatchObject(passed('outside'))
    expect(send(15)).toMatchObject(dropped('denied'))
  })
})

describe('a change of rules', () => {
  const only = (ports: string) => ({ rules: { only: { direction: 'ingress', protocol: 'tcp', ports } } })

  test('takes effect in one step: no packet meets some old rules and some new', async () => {
    const [before, after] = [only('80-1000'), only('2000-3000')]
    await load({ default_ingress: 'reject', ...before })
    const t = new Traffic(tested, 4)
    const verdicts = () => {
      const allowed = [80, 1000, 2000, 3000].map(dport => t.tcp('outside', 'S', { dport }).port === 'inside')
      forgetAll(tested)
      return allowed
    }
    const old = imageOf({ default_ingress: 'reject', ...before }, 1)
    const next = imageOf({ default_ingress: 'deny', ...after }, 2)
    const each = (image: Image, act: (map: string, entry: Entry) => void, expected: boolean[]) => {
      for (const [map, entries] of Object.entries(image.maps))
        for (const entry of entries) {
          act(map, entry)
          expect(verdicts()).toEqual(expected)
        }
    }
    each(next, (map, { key, value }) => tested.table(map).put(key, value), [true, true, false, false])
    for (const { key, value } of next.commit!.entries) tested.table(next.commit!.map).put(key, value)
    expect(verdicts()).toEqual([false, false, true, true])
    each(old, (map, { key }) => expect(tested.table(map).delete(key)).toBe(true), [false, false, true, true])
  })

  test('leaves established sessions alone', async () => {
    await load(only('80'))
    const t = new Traffic(tested, 4)
    t.tcp('outside', 'S', { dport: 80, seq: 1 })
    tested.apply(only('81'))
    expect(t.tcp('inside', 'SA', { sport: 80, dport: 80, seq: 1, ack: 2 })).toMatchObject(passed('inside'))
    expect(t.tcp('outside', 'S', { dport: 80, sport: 82 })).toMatchObject(dropped('denied'))
  })

  test.each([4, 6] as const)('ends the sessions that it forbids if the operator says so, at their next packet (IPv%i)', async family => {
    const config = (ports: string, ping: string) => ({
      rejudge: true,
      rules: {
        ...only(ports).rules,
        udp: { direction: 'ingress', protocol: 'udp', ports },
        ping: { direction: 'ingress', protocol: family === 4 ? 'icmp' : 'icmpv6', action: ping }
      }
    })
    await load(config('80', 'allow'))
    const t = new Traffic(tested, family)
    const opened = () => {
      t.tcp('outside', 'S', { dport: 80, seq: 1 })
      t.udp('outside', { dport: 80 })
      t.ping('outside')
    }
    opened()
    tested.apply(config('80', 'allow'))
    expect(t.tcp('inside', 'SA', { sport: 80, dport: 80, seq: 1, ack: 2 })).toMatchObject({ ...passed('inside'), counted: {} })
    expect(t.udp('inside', { sport: 80, dport: 80 })).toMatchObject({ ...passed('inside'), counted: {} })
    expect(t.pong('inside')).toMatchObject({ ...passed('inside'), counted: {} })
    tested.apply(config('81', 'deny'))
    expect(t.tcp('inside', 'SA', { sport: 80, dport: 80, seq: 1, ack: 2 })).toMatchObject({
      went: 'nowhere',
      counted: { denied: 1, sessions_ended: 1 }
    })
    expect(t.udp('outside', { dport: 80 })).toMatchObject({ went: 'nowhere', counted: { denied: 1, sessions_ended: 1 } })
    expect(t.pong('inside')).toMatchObject({ went: 'nowhere', counted: { denied: 1, sessions_ended: 1 } })
    expect(t.sessions()).toHaveLength(0)
  })
})

describe('ten thousand rules', () => {
  const rule = (n: number) => ({
    direction: 'ingress',
    priority: n % 60_000,
    protocol: n % 2 ? 'tcp' : 'udp',
    source:
      n % 3
        ? `10.${n % 200}.${n % 256}.0/${22 + (n % 3)}`.replace(
            /\.(\d+)\.0\/(\d+)$/,
            (_, third, length) => `.${Number(third) & ~3}.0/${length}`
          )
        : `fd00:${n.toString(16)}::/${32 + (n % 2) * 16}`,
    ports: n % 5 ? `${1 + n}` : `${1 + n}-${1 + n + 15}`
  })
  const many = { rules: Object.fromEntries(Array.from({ length: 10_000 }, (_, n) => [`rule-${n}`, rule(n)])) }

  test('hold, are found, and cost a known session nothing', async () => {
    await load({ rules: { web: { direction: 'ingress', protocol: 'tcp', ports: '80' } } })
    const t = new Traffic(tested, 4)
    const cost = () => {
      t.udp('inside')
      return Math.min(...Array.from({ length: 10 }, () => tested.measure(t.datagram('inside'), { port: 'inside' }, 20_000)))
    }
    const few = cost()
    tested.apply(many)
    expect(tested.table('rules').entries().length).toBeGreaterThan(10_000)
    const lots = cost()
    expect(lots).toBeLessThan(1.5 * few)
    const { ports } = rule(1)
    const frame = eth()
      .ipv4({ src: '10.1.0.9', dst: '10.0.0.1' })
      .tcp({ dport: Number(ports) })
    expect(tested.send(frame, { port: 'outside' })).toMatchObject(passed('outside'))
    expect(hits(many)['rule-1']).toMatchObject({ packets: 1 })
  })
})

describe('compared with a plain model', () => {
  interface ModelPacket extends Opening {
    family: 4 | 6
  }

  const PORTS = [1, 22, 53, 80, 443, 1023, 1024, 8000, 8080, 32_768, 65_535]
  const ADDRESSES = {
    4: ['10.0.0.1', '10.0.0.2', '10.0.1.1', '10.1.0.1', '172.16.5.4', '192.0.2.255', '223.255.255.255'],
    6: ['fd00::1', 'fd00::2', 'fd00:0:0:1::1', 'fd00:1::1', '2001:db8::1', 'fe80::1', '::1']
  }

  function prefix(random: Random, family: 4 | 6): string {
    const address = random.pick(ADDRESSES[family])
    const length = random.pick(family === 4 ? [0, 1, 8, 15, 16, 23, 24, 25, 31, 32] : [0, 1, 16, 32, 48, 63, 64, 65, 96, 127, 128])
    const masks = { 4: (n: number) => (n === 0 ? 0 : (-1 << (32 - n)) >>> 0) }
    if (family === 4) {
      const value = address.split('.').reduce((sum, octet) => sum * 256 + Number(octet), 0)
      const network = (value & masks[4](length)) >>> 0
      return `${[24, 16, 8, 0].map(shift => (network >>> shift) & 255).join('.')}/${length}`
    }
    return `${maskedV6(address, length)}/${length}`
  }

  function maskedV6(address: string, length: number): string {
    const [head, tail = ''] = address.split('::')
    const [left, right] = [head, tail].map(half => (half ? half.split(':') : []))
    const words = [...left!, ...Array(8 - left!.length - right!.length).fill('0'), ...right!].map(word => Number.parseInt(word, 16))
    return words.map((word, n) => (word & (0xffff << Math.min(16, Math.max(0, 16 * (n + 1) - length))) & 0xffff).toString(16)).join(':')
  }

  function range(random: Random): string {
    const [a, b] = [random.pick(PORTS), random.pick(PORTS)]
    return random.below(2) ? String(a) : `${Math.min(a, b)}-${Math.max(a, b)}`
  }

  function defined<T extends object>(fields: T): T {
    return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as T
  }

  function generateRule(random: Random): ModelRule {
    const family = random.pick([4, 6] as const)
    const protocol = random.maybe(() => random.pick(['tcp', 'udp', 'sctp', '47', family === 4 ? 'icmp' : 'icmpv6']))
    const ports = protocol === 'tcp' || protocol === 'udp' || protocol === 'sctp'
    const icmp = protocol?.startsWith('icmp') ? random.maybe(() => random.pick([8, 13, 17, 128, 150])) : undefined
    return defined({
      direction: random.pick(['ingress', 'egress'] as const),
      priority: random.below(40),
      action: random.pick(['allow', 'deny', 'reject']),
      protocol,
      source: random.maybe(() => prefix(random, family)),
      destination: random.maybe(() => prefix(random, family)),
      ports: ports ? random.maybe(() => range(random)) : undefined,
      source_ports: ports && random.below(4) === 0 ? range(random) : undefined,
      icmp_type: icmp,
      icmp_code: icmp === undefined ? undefined : random.maybe(() => random.below(2))
    })
  }

  /** Rules that contradict each other are left out: no model says which of them decides. */
  function generateRules(random: Random): Record<string, ModelRule> {
    const rules: Record<string, ModelRule> = {}
    for (let n = random.below(40); n >= 0; n--) {
      const more = { ...rules, [`r${n}`]: generateRule(random) }
      if (validateConfig(firewall, { rules: more }).problems.length === 0) Object.assign(rules, more)
    }
    return rules
  }

  function generatePacket(random: Random): ModelPacket {
    const family = random.pick([4, 6] as const)
    const protocol = random.pick(['tcp', 'udp', 'sctp', '47', family === 4 ? 'icmp' : 'icmpv6'])
    const ports = protocol === 'tcp' || protocol === 'udp' || protocol === 'sctp'
    return {
      ...{ direction: random.pick(['ingress', 'egress'] as const), family, protocol },
      ...{ src: random.pick(ADDRESSES[family]), dst: random.pick(ADDRESSES[family]) },
      ...{ sport: ports ? random.pick(PORTS) : -1, dport: ports ? random.pick(PORTS) : -1 },
      ...{ type: random.pick(family === 4 ? [8, 13, 17] : [128, 150]), code: random.below(3) }
    }
  }

  function frameOf({ family, protocol, src, dst, sport, dport, type, code }: ModelPacket): Frame {
    const ip =
      family === 4
        ? eth().ipv4({ src, dst, protocol: protocol === '47' ? 47 : undefined })
        : eth().ipv6({ src, dst, next: protocol === '47' ? 47 : undefined })
    if (protocol === 'tcp') return ip.tcp({ sport, dport })
    if (protocol === 'udp') return ip.udp({ sport, dport })
    if (protocol === 'sctp') return ip.sctp({ sport, dport }).payload(Buffer.from([1, 0, 0, 4]))
    if (protocol === '47') return ip.payload(16)
    return family === 4 ? ip.icmp({ type, code }) : ip.icmpv6({ type, code })
  }

  /** What the firewall did, in the model's words. What must not be answered is denied where it is rejected. */
  function observed(packet: ModelPacket): string {
    const from: Side = packet.direction === 'ingress' ? 'outside' : 'inside'
    const { went, port } = tested.send(frameOf(packet), { port: from })
    if (went === 'nowhere') return 'deny'
    if (port === from) return 'reject'
    forgetAll(tested)
    return 'allow'
  }

  const SETS = 60
  const PACKETS = 80

  test(`${SETS} sets of rules decide about ${PACKETS} packets each as rules asked one by one do`, async () => {
    const random = new Random(SEED)
    await load({ allow_dhcp: false })
    for (let set = 0; set < SETS; set++) {
      const rules = generateRules(random)
      const [ingress, egress] = [random.pick(['allow', 'deny', 'reject']), random.pick(['allow', 'deny', 'reject'])]
      tested.apply({ allow_dhcp: false, default_ingress: ingress, default_egress: egress, rules })
      for (let n = 0; n < PACKETS; n++) {
        const packet = generatePacket(random)
        const expected = decide(Object.values(rules), { ingress, egress }, packet)
        const seen = observed(packet)
        if (seen !== expected)
          throw new Error(
            `SEED=${SEED}: ${expected} was expected and ${seen} seen of ${JSON.stringify({ packet, rules, ingress, egress }, null, 1)}`
          )
      }
    }
  }, 120_000)
})
