// SPDX-License-Identifier: Apache-2.0
// The programs of examples/terraform/own-function packet by packet, compiled as their users compile them.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from '@jest/globals'
import { type Program, readProgram } from '../catalogue/program'
import { eth, type Frame, fragments } from '../packets/frame'
import { parse } from '../packets/parse'
import { type Arrival, loadFunction, type Outcome, type TestedFunction } from '../testing/harness'
import { compileProgram } from '../testing/program'

const EXAMPLES = join(__dirname, '../../examples/terraform/own-function')
const INSIDE = { port: 'inside' }
const OUTSIDE = { port: 'outside' }

const programs = new Map<string, Program>()
let tested: TestedFunction
afterEach(() => tested?.close())

async function load(name: string, given: { config?: Record<string, string>; tables?: Record<string, { rows: Record<string, string> }> }) {
  if (!programs.has(name)) programs.set(name, readProgram(name, compileProgram(readFileSync(join(EXAMPLES, `${name}.bpf.c`), 'utf8'))))
  tested = await loadFunction(programs.get(name)!.kind, given)
}

const ipv4 = () => eth().ipv4()
const ipv6 = () => eth().ipv6()

describe('the tagger', () => {
  const [INSIDE, OUTSIDE] = ['inside', 'outside'].map(port => ({ port, summed: false })) as [Arrival, Arrival]

  const FRAMES: [string, Frame][] = [
    ['IPv4', ipv4().tcp().payload('hello')],
    ['IPv6', ipv6().udp().payload('hello')],
    ['ARP', eth().arp()],
    ['a protocol that nobody knows', eth({ type: 0x88b6 }).payload('hello')]
  ]

  test.each(FRAMES)('puts its tag behind the addresses of %s, and takes it off again', async (_, frame) => {
    await load('tagger', { config: { colour: '513' } })
    const bytes = frame.bytes()
    const out = tested.send(bytes, INSIDE)
    expect(out).toMatchObject({ went: 'port', port: 'outside', counted: { tagged: 1 } })
    expect(out.bytes).toEqual(Buffer.concat([bytes.subarray(0, 12), Buffer.from('88b50201', 'hex'), bytes.subarray(12)]))
    const back = tested.send(out.bytes, OUTSIDE)
    expect(back).toMatchObject({ went: 'port', port: 'inside', bytes, counted: { untagged: 1 } })
  })

  test('tags a train of segments once', async () => {
    await load('tagger', { config: { colour: '1' } })
    const train = ipv4().tcp({ flags: 'A' }).payload(3000)
    const out = tested.send(train, { ...INSIDE, gso_size: 1000 })
    expect(out).toMatchObject({ went: 'port', counted: { tagged: 1 } })
    const back = tested.send(out.bytes, { ...OUTSIDE, gso_size: 1000 })
    expect(back).toMatchObject({ went: 'port', bytes: train.bytes() })
  })

  test('drops and counts what has no tag or another one', async () => {
    await load('tagger', { config: { colour: '513' } })
    const tagged = tested.send(ipv4().udp(), INSIDE).bytes
    expect(tested.send(ipv4().udp(), OUTSIDE)).toMatchObject({ went: 'nowhere', counted: { no_tag: 1 } })
    expect(tested.send(tagged.subarray(0, 16), OUTSIDE)).toMatchObject({ went: 'nowhere', counted: { no_tag: 1 } })
    tagged.writeUInt16BE(514, 14)
    expect(tested.send(tagged, OUTSIDE)).toMatchObject({ went: 'nowhere', counted: { wrong_colour: 1 } })
  })
})

describe('the meter', () => {
  interface Meter {
    packets: bigint
    bytes: bigint
    second: bigint
    second_bytes: bigint
    last_rate: bigint
    peak_rate: bigint
  }
  const rates = (tenant: number) => tested.table('rates').get(tenant) as unknown as Record<'sent' | 'got', Meter>
  const tables = { tenants: { rows: { '10.0.0.0/24': '7', '10.0.0.1/32': '8', 'fd00::/64': '7' } } }

  test('counts both directions of the tenant with the longest prefix, and strangers', async () => {
    await load('meter', { tables })
    for (const frame of [ipv4().udp().payload(100), ipv6().udp().payload(100)])
      expect(tested.send(frame, INSIDE)).toMatchObject({ went: 'port', port: 'outside', counted: { metered: 1 } })
    expect(tested.send(ipv4().udp().payload(200), OUTSIDE)).toMatchObject({ went: 'port', port: 'inside', counted: { metered: 1 } })
    expect(tested.send(eth().ipv4({ src: '10.9.0.1' }).udp(), INSIDE)).toMatchObject({ went: 'port', counted: { strangers: 1 } })
    expect(tested.send(eth().arp(), INSIDE)).toMatchObject({ went: 'port', counted: {} })
    expect(rates(8)).toMatchObject({ sent: { packets: 1n, bytes: 128n }, got: { packets: 0n } })
    expect(rates(7)).toMatchObject({ sent: { packets: 1n, bytes: 148n }, got: { packets: 1n, bytes: 228n } })
  })

  test('tells the rate of the second before, and the highest', async () => {
    await load('meter', { tables })
    const frame = ipv4().udp().payload(972)
    const second = (bytes: bigint) => {
      const tenant = rates(8)
      tested.table('rates').put(8, { ...tenant, sent: { ...tenant.sent, second: 1n, second_bytes: bytes } } as never)
      tested.send(frame, INSIDE)
    }
    second(5000n)
    expect(rates(8).sent).toMatchObject({ last_rate: 40_000n, peak_rate: 40_000n, second_bytes: 1000n })
    second(2000n)
    expect(rates(8).sent).toMatchObject({ last_rate: 16_000n, peak_rate: 40_000n, second_bytes: 1000n })
  })

  test('counts a train of segments by what it becomes on the wire', async () => {
    await load('meter', { tables })
    tested.send(ipv4().tcp({ flags: 'A' }).payload(3000), { ...INSIDE, gso_size: 1000 })
    expect(rates(8).sent).toMatchObject({ packets: 3n, bytes: 3120n })
  })
})

describe('the rewriter', () => {
  const config = { find: 'monday', put: 'FRIDAY' }
  const text = (outcome: Outcome) => outcome.parsed().payload.toString()

  const TRANSPORTS: [string, Frame][] = [
    ['TCP over IPv4', ipv4().tcp({ flags: 'A' })],
    ['TCP over IPv6', ipv6().tcp({ flags: 'A', options: Buffer.alloc(12, 1) })],
    ['UDP over IPv4', ipv4().udp()],
    ['UDP over IPv6', ipv6().extension({ kind: 60 }).udp()]
  ]

  test.each(TRANSPORTS)('replaces every text at odd and even places in %s, and the checksum is right', async (_, headers) => {
    await load('rewriter', { config })
    for (const arrival of [INSIDE, OUTSIDE, { ...INSIDE, summed: false }])
      for (const before of ['', 'x', 'x'.repeat(58), 'x'.repeat(61), 'monda', 'm', 'x'.repeat(1301)]) {
        const outcome = tested.send(headers.payload(`${before}monday, mondaymonday mon`), arrival)
        expect(outcome).toMatchObject({ went: 'port', counted: { replaced: 3 } })
        expect(text(outcome)).toBe(`${before}FRIDAY, FRIDAYFRIDAY mon`)
      }
  })

  test('finds a text anywhere in a train of segments, beyond what lies in one piece', async () => {
    await load('rewriter', { config })
    const frame = ipv6().tcp({ flags: 'A' })
    const outcome = tested.send(frame.payload(`${'x'.repeat(3001)}monday`), { ...INSIDE, gso_size: 1000 })
    expect(outcome).toMatchObject({ went: 'port', counted: { replaced: 1 } })
    expect(text(outcome)).toMatch(/xFRIDAY$/)
  })

  test('leaves alone what is behind the packet, other protocols and other ports', async () => {
    await load('rewriter', { config: { ...config, port: '80' } })
    const sent = (frame: Frame | Buffer) => tested.send(frame, INSIDE)
    expect(sent(ipv4().tcp({ dport: 80 }).payload('monday')).counted).toEqual({ replaced: 1 })
    expect(sent(ipv4().tcp({ sport: 80, dport: 9 }).payload('monday')).counted).toEqual({ replaced: 1 })
    for (const frame of [ipv4().tcp({ dport: 81 }), ipv4().icmp(), ipv4().sctp()])
      expect(sent(frame.payload('monday'))).toMatchObject({ went: 'port', counted: {} })
    const padded = Buffer.concat([ipv4().tcp().payload('mon').bytes(), Buffer.from('day')])
    expect(sent(padded)).toMatchObject({ went: 'port', counted: {}, bytes: padded })
  })

  test('leaves a UDP checksum out where its sender has', async () => {
    await load('rewriter', { config })
    const { bytes } = tested.send(ipv4().udp({ checksum: 0 }).payload('monday'), INSIDE)
    expect([bytes.readUInt16BE(40), bytes.subarray(42).toString()]).toEqual([0, 'FRIDAY'])
  })

  test('replaces in the first fragment, whose checksum is that of the whole, and counts the others', async () => {
    await load('rewriter', { config })
    const whole = ipv4()
      .udp()
      .payload(`monday${'x'.repeat(50)}monday`)
    const pieces = fragments(whole, 32).map(piece => tested.send(piece, INSIDE))
    expect(pieces.map(({ counted }) => counted)).toEqual([{ replaced: 1 }, { fragments: 1 }, { fragments: 1 }])
    const wanted = ipv4()
      .udp()
      .payload(`FRIDAY${'x'.repeat(50)}monday`)
    expect(parse(pieces[0]!.bytes, { unchecked: true }).ipv4).toMatchObject({ mf: true })
    expect(pieces[0]!.bytes).toEqual(fragments(wanted, 32)[0])
  })

  test('takes texts of 1 to 15 bytes, of digits too', async () => {
    await load('rewriter', { config: { find: '123456789012345', put: '543210987654321' } })
    expect(text(tested.send(ipv4().udp().payload('a123456789012345b'), INSIDE))).toBe('a543210987654321b')
    tested.apply({ config: { find: 'a', put: 'b' } })
    expect(text(tested.send(ipv4().udp().payload('banana'), INSIDE))).toBe('bbnbnb')
  })

  test('passes and counts what it cannot search, as the texts differ in length', async () => {
    await load('rewriter', { config: { find: 'monday', put: 'friday!' } })
    expect(tested.send(ipv4().udp().payload('monday'), INSIDE)).toMatchObject({ went: 'port', counted: { unequal: 1 } })
  })
})
