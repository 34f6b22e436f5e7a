// SPDX-License-Identifier: Apache-2.0
// Packets in, packets out: what is found in payloads, and which way a packet goes that holds it.

import { afterAll, describe, expect, test } from '@jest/globals'
import { validateConfig } from '../../catalogue/validate'
import { INSTANCE_FIRST, slotOf } from '../../core/graph'
import { eth, fragments } from '../../packets/frame'
import { loadFunction, type TestedFunction } from '../../testing/harness'
import { inspect } from './inspect'
import { clientHello, dnsOverTcp, dnsQuery, FAMILIES, hits, ip, type Side, tcp, udp } from './testing'

let tested: TestedFunction

/** Loading takes longer than a test: one function for all configurations of one size, emptied before it is used again. */
const loaded = new Map<string, TestedFunction>()
afterAll(() => {
  for (const each of loaded.values()) each.close()
})

type Rows = Record<string, Record<string, unknown>>

async function load(rules: Rows, patterns: Rows, more: Record<string, unknown> = {}): Promise<TestedFunction> {
  const config = { rules, patterns, max_sessions: 1024, ...more }
  const size = JSON.stringify(inspect.sizes!(validateConfig(inspect, config).config as never))
  tested = loaded.get(size) ?? (await loadFunction(inspect, config))
  loaded.set(size, tested)
  for (const name of ['sessions4', 'sessions6', 'pattern_hits'])
    for (const { key } of tested.table(name).entries()) tested.table(name).delete(key)
  for (const port of [0, 1, 2])
    tested.table('stitches').put(slotOf(INSTANCE_FIRST, port), { target: INSTANCE_FIRST + 1, port, kind: 'ATTACHED_FUNCTION' })
  tested.apply(config)
  return tested
}

/** What lies behind one of its ports, until it is loaded again. */
function stitch(port: number, kind: string): void {
  tested.table('stitches').put(slotOf(INSTANCE_FIRST, port), { target: 0, port: 0, kind })
}

/** One rule that drops what holds a pattern. */
const dropping = (patterns: Rows, rule: Record<string, unknown> = {}, more = {}) =>
  load(
    { bad: { action: 'drop', ...rule } },
    Object.fromEntries(Object.entries(patterns).map(([key, pattern]) => [key, { rule: 'bad', ...pattern }])),
    more
  )

const passed = (from: Side = 'inside') => ({ went: 'port', port: from === 'inside' ? 'outside' : 'inside', counted: {} })
const dropped = { went: 'nowhere', counted: { matched: 1, dropped: 1 } }
const diverted = { went: 'port', port: 'matched', counted: { matched: 1, diverted: 1 } }
const found = (frame: Parameters<TestedFunction['send']>[0]) => tested.send(frame).went === 'nowhere'

describe.each(FAMILIES)('over IPv%i', family => {
  test('a packet that holds a pattern is dropped and counted, any other passes both ways', async () => {
    await dropping({ evil: { text: 'evil' } })
    expect(tested.send(tcp('the evil one', { family }))).toMatchObject(dropped)
    expect(tested.send(udp('evil', { family, from: 'outside' }), { port: 'outside' })).toMatchObject(dropped)
    expect(tested.send(tcp('the good one', { family }))).toMatchObject(passed())
    expect(tested.send(tcp('', { family, from: 'outside' }), { port: 'outside' })).toMatchObject(passed('outside'))
    expect(tested.send(ip('inside', family).sctp().payload('evil'))).toMatchObject(dropped)
    expect(hits(tested, { evil: { text: 'evil' } })).toEqual({ evil: 3 })
  })

  test('a packet that is cut short is dropped, as one in which nothing can be found', async () => {
    await dropping({ evil: { text: 'evil' } })
    expect(tested.send(tcp('evil', { family }).bytes().subarray(0, -2))).toMatchObject({ went: 'nowhere', counted: { malformed: 1 } })
  })

  test('later fragments pass unseen and are counted, if a rule means them; the first is looked into', async () => {
    await dropping({ evil: { text: 'evil' } }, { protocol: 'udp' })
    const [first, later] = fragments(udp(`evil${' '.repeat(60)}evil`, { family }), 40)
    expect(tested.send(first!)).toMatchObject(dropped)
    expect(tested.send(later!)).toMatchObject({ went: 'port', port: 'outside', counted: { fragment: 1 } })
  })
})

describe('a pattern', () => {
  test('is found wherever it lies down to the depth, and not below', async () => {
    await dropping({ evil: { text: 'evil' } }, {}, { depth: 1400 })
    for (const at of [0, 1, 507, 508, 509, 510, 511, 512, 1023, 1395, 1396])
      expect([at, found(tcp(`${'-'.repeat(at)}evil`))]).toEqual([at, true])
    for (const at of [1397, 1400, 1440]) expect([at, found(tcp(`${'-'.repeat(at)}evil`))]).toEqual([at, false])
  })

  test('with an offset begins there or later, and within a number of bytes ends there', async () => {
    await dropping({ evil: { text: 'evil', offset: 4, within: 6 } })
    expect([3, 4, 5, 6, 7].map(at => found(tcp(`${'-'.repeat(at)}evil`)))).toEqual([false, true, true, true, false])
    expect(found(tcp('evilevil'))).toBe(true)
  })

  test('may be bytes of any value', async () => {
    await dropping({ end: { hex: '00 ff 0d0a' }, zero: { hex: '00000000' } })
    expect(found(udp(Buffer.from([1, 0, 255, 13, 10])))).toBe(true)
    expect(found(udp(Buffer.from([1, 0, 255, 13, 13])))).toBe(false)
    expect(found(udp(Buffer.alloc(4)))).toBe(true)
    expect(found(udp(Buffer.alloc(3)))).toBe(false)
  })

  test('ignores case where it is told so, beside others that do not', async () => {
    await dropping({ any: { text: 'Any[z]', ignore_case: true }, one: { text: 'OnE' }, umlaut: { text: 'Ö', ignore_case: true } })
    expect(['any[z]', 'ANY[Z]', 'aNY[Z]', 'any{z}', 'OnE', 'one', 'Ö', 'ö'].map(text => found(tcp(text)))).toEqual([
      true,
      true,
      true,
      false,
      true,
      false,
      true,
      false
    ])
  })

  test('is found beside others that overlap it, each counted once for a packet', async () => {
    const patterns = { he: { text: 'he' }, she: { text: 'she' }, hers: { text: 'hers' }, again: { text: 'she' }, none: { text: 'sheep' } }
    await load(
      { all: { action: 'count' } },
      Object.fromEntries(Object.entries(patterns).map(([key, pattern]) => [key, { rule: 'all', ...pattern }]))
    )
    expect(tested.send(tcp('ushers ushers'))).toMatchObject({ went: 'port', port: 'outside', counted: { matched: 1 } })
    expect(hits(tested, patterns)).toEqual({ he: 1, she: 1, hers: 1, again: 1 })
    tested.send(tcp('the'))
    expect(hits(tested, patterns)).toMatchObject({ he: 2, she: 1 })
  })

  test('is looked for behind options and extension headers, and in no header', async () => {
    await dropping({ evil: { text: 'evil' } })
    expect(
      found(
        eth()
          .ipv4({ options: Buffer.from('evil') })
          .tcp({ options: Buffer.from('evil') })
          .payload('good')
      )
    ).toBe(false)
    expect(
      found(
        eth()
          .ipv4({ options: Buffer.alloc(4) })
          .tcp({ options: Buffer.alloc(8, 1) })
          .payload('evil')
      )
    ).toBe(true)
    expect(found(eth().ipv6().extension({ kind: 60 }).udp().payload('evil'))).toBe(true)
    expect(found(eth().arp().payload('evil'))).toBe(false)
  })

  test('is found among a thousand', async () => {
    const name = (n: number) => `signature-${(n * 7919).toString(36)}`
    const patterns = Object.fromEntries(Array.from({ length: 1024 }, (_, n) => [`p${n}`, { text: name(n) }]))
    await dropping(patterns)
    for (const n of [0, 1, 511, 512, 1023]) expect([n, found(tcp(`${'x'.repeat(1300)}${name(n)}.`))]).toEqual([n, true])
    expect(found(tcp('signature-'.repeat(100)))).toBe(false)
    expect(Object.values(hits(tested, patterns)).reduce((sum, packets) => sum + packets, 0)).toBeGreaterThanOrEqual(5)
  })
})

describe('a rule', () => {
  test('looks into packets of its direction, protocol and ports only', async () => {
    await dropping({ evil: { text: 'evil' } }, { direction: 'egress', protocol: 'tcp', ports: '80-81', source_ports: '40000' })
    const sent = [{ dport: 80 }, { dport: 81 }, { dport: 79 }, { dport: 82 }, { dport: 80, sport: 40_001 }].map(ports =>
      found(tcp('evil', ports))
    )
    expect(sent).toEqual([true, true, false, false, false])
    expect(tested.send(tcp('evil', { from: 'outside', dport: 80 }), { port: 'outside' })).toMatchObject(passed('outside'))
    expect(found(udp('evil', { dport: 80 }))).toBe(false)
  })

  test('has patterns that are not found for another', async () => {
    await load(
      { in: { direction: 'ingress', action: 'drop' }, out: { direction: 'egress', action: 'drop' } },
      { a: { rule: 'in', text: 'a' }, b: { rule: 'out', text: 'b' } }
    )
    expect(['a', 'b'].map(text => found(tcp(text)))).toEqual([false, true])
    expect(['a', 'b'].map(text => tested.send(tcp(text), { port: 'outside' }).went)).toEqual(['nowhere', 'port'])
  })

  test('that is stronger decides, whichever is found first', async () => {
    await load(
      { seen: { action: 'count' }, away: { action: 'divert' }, never: { action: 'drop' } },
      { a: { rule: 'seen', text: 'a' }, b: { rule: 'away', text: 'b' }, c: { rule: 'never', text: 'c' } }
    )
    expect(tested.send(tcp('a b'))).toMatchObject(diverted)
    expect(tested.send(tcp('b a'))).toMatchObject(diverted)
    expect(tested.send(tcp('c b a'))).toMatchObject(dropped)
    expect(tested.send(tcp('a'))).toMatchObject({ went: 'port', port: 'outside', counted: { matched: 1 } })
  })
})

describe('a DNS name', () => {
  test('is found in queries for it and for names below it, in any case, over UDP and TCP', async () => {
    await dropping({ bank: { dns_name: 'bank.example' } })
    for (const name of ['bank.example', 'www.bank.example', 'a.b.BANK.Example']) {
      expect([name, found(udp(dnsQuery(name)))]).toEqual([name, true])
      expect([name, found(tcp(dnsOverTcp(name)))]).toEqual([name, true])
    }
    for (const name of ['mybank.example', 'bank.example.org', 'example', '', 'bank.exampl', 'x.bank-example'])
      expect([name, found(udp(dnsQuery(name)))]).toEqual([name, false])
  })

  test('is not found in answers, in other messages, or in a label with a dot', async () => {
    await dropping({ bank: { dns_name: 'bank.example' } })
    expect(found(udp(dnsQuery('bank.example', { flags: 0x8180 })))).toBe(false)
    expect(found(udp(dnsQuery('bank.example', { questions: 2 })))).toBe(false)
    expect(found(udp(dnsQuery('bank.example').subarray(0, 20)))).toBe(false)
    expect(found(udp('bank.example'))).toBe(false)
    const label = Buffer.from('\x0ex.bank.example\x00', 'latin1')
    expect(found(udp(Buffer.concat([dnsQuery('').subarray(0, 12), label, Buffer.from([0, 1, 0, 1])])))).toBe(false)
  })

  test('of the greatest length is read to its end', async () => {
    await dropping({ bank: { dns_name: 'bank.example' } })
    const long = `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(48)}.bank.example`
    expect(long.length).toBe(253)
    expect(found(udp(dnsQuery(long)))).toBe(true)
  })
})

describe('a TLS server name', () => {
  test('is found in a ClientHello, wherever its extension stands', async () => {
    await dropping({ bank: { tls_name: 'bank.example' } }, { protocol: 'tcp' })
    for (const shape of [{}, { before: 600 }, { session: 0 }, { before: 1217 }]) {
      expect(found(tcp(clientHello('bank.example', shape)))).toBe(true)
      expect(found(tcp(clientHello('WWW.bank.example', shape)))).toBe(true)
      expect(found(tcp(clientHello('mybank.example', shape)))).toBe(false)
      expect(found(tcp(clientHello(undefined, shape)))).toBe(false)
    }
  })

  test('is not found in other records, in other messages, or where it is cut off', async () => {
    await dropping({ bank: { tls_name: 'bank.example' } })
    const hello = clientHello('bank.example')
    const changed = (at: number, byte: number) => hello.map((value, n) => (n === at ? byte : value))
    expect(found(tcp(changed(0, 23)))).toBe(false)
    expect(found(tcp(changed(5, 2)))).toBe(false)
    expect(found(udp(hello))).toBe(false)
    for (let length = 0; length < hello.indexOf('bank.example') + 12; length += 3)
      expect([length, found(tcp(hello.subarray(0, length)))]).toEqual([length, false])
  })
})

describe('what leaves by `matched`', () => {
  test('is a packet that is diverted', async () => {
    await load({ away: { action: 'divert' } }, { evil: { rule: 'away', text: 'evil' } })
    expect(tested.send(tcp('evil'))).toMatchObject(diverted)
    expect(tested.send(tcp('evil', { from: 'outside' }), { port: 'outside' })).toMatchObject(diverted)
  })

  test('is a copy, and the packet passes', async () => {
    await load({ copies: { action: 'mirror' } }, { evil: { rule: 'copies', text: 'evil' } })
    stitch(2, 'ATTACHED_DEVICE')
    const outcome = tested.send(tcp('evil'), { mark: 7 })
    expect(outcome).toMatchObject({ went: 'port', port: 'outside', mark: 7, counted: { matched: 1, mirrored: 1 } })
  })

  test('is nothing where a copy has nowhere to go: the packet passes', async () => {
    await load({ copies: { action: 'mirror' } }, { evil: { rule: 'copies', text: 'evil' } })
    stitch(2, 'ATTACHED_NOTHING')
    expect(tested.send(tcp('evil'))).toMatchObject({ went: 'port', port: 'outside', counted: { matched: 1, unstitched: 1 } })
  })

  test('comes back by it to the end that has sent it, if its rule follows flows', async () => {
    await load({ away: { action: 'divert', follow: true } }, { evil: { rule: 'away', text: 'evil' } })
    expect(tested.send(udp('evil'))).toMatchObject(diverted)
    const reply = ip('outside').udp({ sport: 53, dport: 40_000 }).payload('answer')
    expect(tested.send(reply, { port: 'matched' })).toMatchObject({ went: 'port', port: 'inside', counted: {} })
    const other = ip('outside').udp({ sport: 53, dport: 40_001 }).payload('answer')
    expect(tested.send(other, { port: 'matched' })).toMatchObject({ went: 'nowhere', counted: { stray: 1 } })
    expect(tested.send(eth().arp(), { port: 'matched' })).toMatchObject({ went: 'nowhere', counted: { stray: 1 } })
  })

  test('goes on to where it was sent, be it the packet that has begun its connection', async () => {
    await load({ away: { action: 'divert', follow: true } }, { evil: { rule: 'away', text: 'evil' } })
    const opening = tcp('evil', { flags: 'S', sport: 40_000, dport: 80 })
    expect(tested.send(opening)).toMatchObject(diverted)
    expect(tested.send(opening, { port: 'matched' })).toMatchObject({ went: 'port', port: 'outside', counted: {} })
    expect(tested.send(tcp('good', { sport: 40_000, dport: 80 })).counted).toEqual({ followed: 1, diverted: 1 })
  })
})

describe.each(FAMILIES)('a flow over IPv%i that a rule follows', family => {
  const packet = (payload: string, from: Side = 'inside', flags = 'PA') =>
    tested.send(
      from === 'inside'
        ? tcp(payload, { family, flags, sport: 40_000, dport: 80 })
        : tcp(payload, { from, family, flags, sport: 80, dport: 40_000 }),
      { port: from }
    )

  test('is dropped from the packet with the pattern on, both ways, until another begins in its place', async () => {
    await dropping({ evil: { text: 'evil' } }, { follow: true })
    expect(packet('good')).toMatchObject(passed())
    expect(packet('evil')).toMatchObject(dropped)
    expect(packet('good')).toMatchObject({ went: 'nowhere', counted: { followed: 1, dropped: 1 } })
    expect(packet('good', 'outside')).toMatchObject({ went: 'nowhere', counted: { followed: 1, dropped: 1 } })
    expect(tested.send(tcp('good', { family, sport: 40_001 }))).toMatchObject(passed())
    expect(packet('', 'inside', 'S')).toMatchObject(passed())
    expect(packet('good', 'outside')).toMatchObject(passed('outside'))
  })

  test('is diverted until something stronger is found in it', async () => {
    await load(
      { away: { action: 'divert', follow: true }, never: { action: 'drop', follow: true } },
      { evil: { rule: 'away', text: 'evil' }, worse: { rule: 'never', text: 'worse' } }
    )
    expect(packet('evil')).toMatchObject(diverted)
    expect(packet('good')).toMatchObject({ went: 'port', port: 'matched', counted: { followed: 1, diverted: 1 } })
    expect(packet('worse')).toMatchObject(dropped)
    expect(packet('evil')).toMatchObject({ went: 'nowhere', counted: { followed: 1, dropped: 1 } })
  })

  test('is forgotten after its timeout', async () => {
    await dropping({ evil: { text: 'evil' } }, { follow: true }, { tcp_transient_timeout: '10s' })
    expect(packet('evil')).toMatchObject(dropped)
    const sessions = tested.table(`sessions${family}`)
    const [{ key, value }] = sessions.entries() as [{ key: never; value: { last_seen: bigint } }]
    sessions.put(key, { ...value, last_seen: value.last_seen - 11_000_000_000n })
    expect(packet('good')).toMatchObject(passed())
  })

  test('keeps apart the workloads that share the function', async () => {
    await dropping({ evil: { text: 'evil' } }, { follow: true })
    stitch(0, 'ATTACHED_CHAIN')
    tested.addWorkload(7)
    tested.addWorkload(8)
    tested.send(tcp('evil', { family }), { workload: 7 })
    expect(tested.send(tcp('good', { family }), { workload: 7 }).counted).toMatchObject({ followed: 1 })
    expect(tested.send(tcp('good', { family }), { workload: 8 }).counted).toEqual({})
  })
})

describe('a change of patterns', () => {
  test('takes effect whole, and hits of patterns that stay are kept', async () => {
    const rules = { bad: { action: 'drop' } }
    const one = { keep: { rule: 'bad', text: 'keep' }, old: { rule: 'bad', text: 'old' } }
    const two = { fresh: { rule: 'bad', text: 'fresh', ignore_case: true }, keep: { rule: 'bad', text: 'keep' } }
    await load(rules, one)
    expect(['keep', 'old', 'fresh'].map(text => found(tcp(text)))).toEqual([true, true, false])
    for (const patterns of [two, one, two]) {
      tested.apply({ rules, patterns })
      expect(['keep', 'old', 'fresh'].map(text => found(tcp(text)))).toEqual([true, patterns === one, patterns === two])
    }
    expect(hits(tested, { ...one, ...two })).toMatchObject({ keep: 4 })
  })

  test('is seen by no packet before it is whole, and then by every one', async () => {
    const rules = { bad: { action: 'drop' } }
    const patterns = { keep: { rule: 'bad', text: 'keep' }, fresh: { rule: 'bad', text: 'fresh', ignore_case: true } }
    await load(rules, { keep: patterns.keep, old: { rule: 'bad', text: 'old' } })
    const now = () => ['keep', 'old', 'fresh'].map(text => found(tcp(text)))
    const next = Number(tested.table('generation').get(0)) + 1
    const { config } = validateConfig(inspect, { rules, patterns })
    const { maps, commit } = inspect.image!(config as never, { generation: next } as never)
    const puts = Object.entries(maps).flatMap(([map, entries]) => entries.map(entry => ({ map, ...entry })))
    for (const { map, key, value } of puts) {
      tested.table(map).put(key, value)
      expect([map, key, now()]).toEqual([map, key, [true, true, false]])
    }
    for (const { key, value } of commit!.entries) tested.table(commit!.map).put(key, value)
    expect(now()).toEqual([true, false, true])
  })

  test('may leave none: all packets pass', async () => {
    await dropping({ evil: { text: 'evil' } })
    tested.apply({ rules: {}, patterns: {} })
    expect(tested.send(tcp('evil'))).toMatchObject(passed())
  })
})
