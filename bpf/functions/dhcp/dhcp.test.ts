// SPDX-License-Identifier: Apache-2.0
// The DHCP server, message by message, through the loaded program.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { linkLocal } from '../../catalogue/addresses'
import { eth } from '../../packets/frame'
import { loadFunction, now, type TestedFunction } from '../../testing/harness'
import { dhcp } from './dhcp'
import { CONFIG, MACS, read, request, SERVER, send, surroundings, told } from './testing'

let tested: TestedFunction
beforeAll(async () => {
  tested = await loadFunction(dhcp, CONFIG, { surroundings })
})
afterAll(() => tested?.close())
beforeEach(() => {
  for (const { key } of tested.table('leases').entries()) tested.table('leases').delete(key)
})

describe('a client of this host', () => {
  test('that looks for a server is offered its address and all else that the network knows', () => {
    const outcome = send(tested, request({ type: 'discover' }))
    expect(outcome).toMatchObject({ went: 'port', port: 'network', counted: { offered: 1 } })
    expect(outcome.parsed()).toMatchObject({
      eth: { src: SERVER.mac, dst: MACS.alice },
      ipv4: { src: SERVER.address, dst: '10.0.1.11', ttl: 64 },
      udp: { sport: 67, dport: 68 }
    })
    expect(read(outcome)).toMatchObject({ type: 'offer', yours: '10.0.1.11', client: '0.0.0.0', hardware: MACS.alice, transaction: 0x1234 })
    expect(told(outcome)).toEqual({
      ...{ 1: 'ffffff00', 3: '0a000101', 6: '0a000135', 15: Buffer.from('example.internal').toString('hex'), 26: '05aa' },
      ...{ 42: '0a00017b', 51: '00000e10', 53: '02', 54: '0a000102' },
      121: '18c000020a0001fe' + '000a000101'
    })
  })

  test('that takes the offer gets its lease, which the table of leases tells', () => {
    const outcome = send(tested, request({ type: 'request', requested: '10.0.1.11', server: SERVER.address }))
    expect(outcome).toMatchObject({ went: 'port', counted: { acknowledged: 1 } })
    expect(read(outcome)).toMatchObject({ type: 'ack', yours: '10.0.1.11' })
    const lease = tested.table('leases').get(MACS.alice) as { expires: bigint; since: bigint }
    expect(lease).toMatchObject({ state: 'bound', address: '10.0.1.11' })
    expect(lease.expires - lease.since).toBe(3_600_000_000_000n)
    expect(now() - lease.since).toBeLessThan(10_000_000_000n)
  })

  test('that asks to be answered by broadcast is, in a frame of its own', () => {
    const outcome = send(tested, request({ type: 'discover', broadcast: true }))
    expect(outcome.parsed()).toMatchObject({ eth: { dst: MACS.alice }, ipv4: { dst: '255.255.255.255' } })
  })

  test('that takes the offer of another server is left to that', () => {
    const outcome = send(tested, request({ type: 'request', requested: '10.0.1.11', server: '10.0.1.3' }))
    expect(outcome).toMatchObject({ went: 'nowhere', counted: { not_chosen: 1 } })
  })

  test('that was away gets its address again', () => {
    expect(read(send(tested, request({ type: 'request', requested: '10.0.1.11' })))).toMatchObject({ type: 'ack', yours: '10.0.1.11' })
  })

  test('that comes from another network with its old address is refused, by broadcast', () => {
    const outcome = send(tested, request({ type: 'request', requested: '192.168.7.7' }))
    expect(outcome).toMatchObject({ went: 'port', counted: { refused: 1 } })
    expect(outcome.parsed()).toMatchObject({ eth: { dst: MACS.alice }, ipv4: { dst: '255.255.255.255' } })
    expect(read(outcome)).toMatchObject({ type: 'nak', yours: '0.0.0.0', client: '0.0.0.0' })
    expect(Object.keys(told(outcome)).map(Number)).toEqual([53, 54, 56])
    expect(tested.table('leases').entries()).toEqual([])
  })

  test.each([SERVER.address, '255.255.255.255'])('that has the address asks for longer, at %s', to => {
    const outcome = send(tested, request({ type: 'request', client: '10.0.1.11', to }))
    expect(outcome.parsed()).toMatchObject({ ipv4: { dst: '10.0.1.11' } })
    expect(read(outcome)).toMatchObject({ type: 'ack', client: '10.0.1.11', yours: '10.0.1.11' })
    expect(read(send(tested, request({ type: 'request', client: '10.0.1.99', to })))).toMatchObject({ type: 'nak' })
  })

  test('that has an address from elsewhere is told the rest, and gets no lease', () => {
    const outcome = send(tested, request({ type: 'inform', client: '10.0.1.77' }))
    expect(outcome).toMatchObject({ counted: { informed: 1 } })
    expect(outcome.parsed()).toMatchObject({ ipv4: { dst: '10.0.1.77' } })
    expect(read(outcome)).toMatchObject({ type: 'ack', client: '10.0.1.77', yours: '0.0.0.0' })
    expect(told(outcome)).toMatchObject({ 3: '0a000101' })
    expect(told(outcome)[51]).toBeUndefined()
    expect(tested.table('leases').entries()).toEqual([])
  })

  test('gives its address back', () => {
    send(tested, request({ type: 'request', requested: '10.0.1.11' }))
    const release = { type: 'release', client: '10.0.1.11', server: SERVER.address, to: SERVER.address } as const
    expect(send(tested, request(release))).toMatchObject({ went: 'nowhere', counted: { released: 1 } })
    expect(tested.table('leases').get(MACS.alice)).toMatchObject({ state: 'released', expires: 0n })
    expect(send(tested, request({ ...release, client: '10.0.1.12' })).counted).toEqual({ ignored: 1 })
  })

  test('that finds its address in use says so', () => {
    const outcome = send(tested, request({ type: 'decline', requested: '10.0.1.11', server: SERVER.address }))
    expect(outcome).toMatchObject({ went: 'nowhere', counted: { declined: 1 } })
    expect(tested.table('leases').get(MACS.alice)).toMatchObject({ state: 'declined', address: '10.0.1.11' })
  })

  test.each([1, 7, 19, 64])('has its identifier of %i bytes repeated', length => {
    const id = 'ab'.repeat(length)
    const options = told(send(tested, request({ type: 'discover', options: { 61: id } })))
    expect(options[61]).toBe(id)
    expect(options[3]).toBe('0a000101')
  })

  test('with an identifier that is too long is answered without', () => {
    expect(told(send(tested, request({ type: 'discover', options: { 61: 'ab'.repeat(65) } })))[61]).toBeUndefined()
  })
})

describe('not answered is', () => {
  test('who has no address here', () => {
    for (const mac of [MACS.bob, MACS.stranger, MACS.onlyIpv6])
      expect(send(tested, request({ type: 'discover', mac }))).toMatchObject({ went: 'nowhere', counted: { unknown: 1 } })
  })

  test('who asks on behalf of another', () => {
    const outcomes = [request({ type: 'discover', relay: '10.0.9.1' }), request({ type: 'discover', hardware: MACS.bound })]
    for (const question of outcomes) expect(send(tested, question)).toMatchObject({ went: 'nowhere', counted: { on_behalf: 1 } })
  })

  test.each([
    ['a message cut short', request({ type: 'discover' }).cut(200)],
    ['a message without a type', request({})],
    ['an option that is longer than the message', request({ type: 'discover', raw: '0cff41' })],
    ['a request for no address', request({ type: 'request' })],
    ['a reply', request({ type: 'discover', operation: 2 })],
    ['a message of another protocol', request({ type: 'discover', cookie: 0 })],
    ['an address of no length', request({ type: 'request', raw: '3200' })]
  ])('%s', (_, frame) => {
    expect(send(tested, frame)).toMatchObject({ went: 'nowhere', counted: { malformed: 1 } })
  })

  test.each([
    ['a flood', eth({ dst: 'ff:ff:ff:ff:ff:ff' }).ipv4({ dst: '10.0.1.255' }).udp({ dport: 137 })],
    ['an ARP request for another', eth({ dst: 'ff:ff:ff:ff:ff:ff' }).arp({ target_ip: '10.0.1.77' })],
    ['an answer to a client', request({ type: 'discover', sport: 67, dport: 68 })],
    ['a question to another server', request({ type: 'discover', to: '10.0.1.3' })],
    ['a message that only servers send', request({ type: 'offer' })],
    ['a solicitation for another', eth().ipv6({ hop_limit: 255 }).solicitation({ target: 'fe80::1' })]
  ])('%s', (_, frame) => {
    expect(send(tested, frame)).toMatchObject({ went: 'nowhere', counted: { ignored: 1 } })
  })
})

describe('a binding', () => {
  test('gives an address to a client that no port declares', () => {
    expect(read(send(tested, request({ type: 'discover', mac: MACS.bound })))).toMatchObject({ yours: '10.0.1.50' })
  })

  test('counts before what its port says, and not where its client lives on another host', () => {
    const bindings = { mine: { mac: MACS.alice, address: '10.0.1.60' }, other: { mac: MACS.bob, address: '10.0.1.61' } }
    tested.apply({ ...CONFIG, bindings }, surroundings)
    expect(read(send(tested, request({ type: 'discover' })))).toMatchObject({ yours: '10.0.1.60' })
    expect(send(tested, request({ type: 'discover', mac: MACS.bob })).counted).toEqual({ unknown: 1 })
    tested.apply(CONFIG, surroundings)
  })

  test("never gives one station's address to another", () => {
    tested.apply({ ...CONFIG, bindings: { wrong: { mac: MACS.bound, address: '10.0.1.12' } } }, surroundings)
    expect(send(tested, request({ type: 'discover', mac: MACS.bound })).counted).toEqual({ unknown: 1 })
    tested.apply(CONFIG, surroundings)
  })
})

describe('DHCPv6', () => {
  const DUID = '000300010200000001aa'
  const option = (code: number, value: string) =>
    code.toString(16).padStart(4, '0') + (value.length / 2).toString(16).padStart(4, '0') + value
  const ask = (body: string, { mac = MACS.alice, type = '0b', dst = 'ff02::1:2' } = {}) =>
    eth({ src: mac, dst: '33:33:00:01:00:02' })
      .ipv6({ src: linkLocal(mac), dst })
      .udp({ sport: 546, dport: 547 })
      .payload(Buffer.from(`${type}abcdef${body}`, 'hex'))
  const own = `00030001${SERVER.mac.replaceAll(':', '')}`
  const answer = (
    option(2, own) +
    option(23, 'fd000001000000000000000000000053') +
    option(24, Buffer.from('\x07example\x08internal\0').toString('hex')) +
    option(32, '00000e10')
  ).toLowerCase()

  test('tells a client that has an address the rest', () => {
    const outcome = send(tested, ask(option(1, DUID) + option(6, '00170018')))
    expect(outcome).toMatchObject({ went: 'port', port: 'network', counted: { informed: 1 } })
    expect(outcome.parsed()).toMatchObject({
      eth: { src: SERVER.mac, dst: MACS.alice },
      ipv6: { src: linkLocal(SERVER.mac), dst: linkLocal(MACS.alice) },
      udp: { sport: 547, dport: 546 }
    })
    expect(outcome.parsed().payload.toString('hex')).toBe(`07abcdef${answer}${option(1, DUID)}`)
  })

  test.each(['', option(1, '0002'), option(1, `0002${'ab'.repeat(128)}`), option(1, 'abcdef')])(
    'repeats whatever name the client has',
    name => {
      expect(send(tested, ask(name)).parsed().payload.toString('hex')).toBe(`07abcdef${answer}${name}`)
    }
  )

  test('answers a client that has no IPv4 address, and none of another host', () => {
    expect(send(tested, ask('', { mac: MACS.onlyIpv6 }))).toMatchObject({ went: 'port' })
    expect(send(tested, ask('', { mac: MACS.bob }))).toMatchObject({ went: 'nowhere', counted: { unknown: 1 } })
  })

  test('heeds who is asked, and for what', () => {
    expect(send(tested, ask(option(2, own)))).toMatchObject({ went: 'port' })
    expect(send(tested, ask(option(2, DUID))).counted).toEqual({ not_chosen: 1 })
    expect(send(tested, ask(option(3, '00'.repeat(12)))).counted).toEqual({ malformed: 1 })
    expect(send(tested, ask(option(1, 'ab'.repeat(131)))).counted).toEqual({ malformed: 1 })
    expect(send(tested, ask('0001ffff00')).counted).toEqual({ malformed: 1 })
    expect(send(tested, ask('', { type: '01' })).counted).toEqual({ ignored: 1 })
    expect(send(tested, ask('', { dst: linkLocal(SERVER.mac) })).counted).toEqual({ ignored: 1 })
  })

  test('is silent where it is not wanted', () => {
    tested.apply({ ...CONFIG, dhcpv6: false }, surroundings)
    expect(send(tested, ask('')).counted).toEqual({ ignored: 1 })
    tested.apply(CONFIG, surroundings)
  })
})

describe('the server itself', () => {
  test('answers ARP requests for its address', () => {
    const outcome = send(
      tested,
      eth({ src: MACS.alice, dst: 'ff:ff:ff:ff:ff:ff' }).arp({ sender_mac: MACS.alice, target_ip: SERVER.address })
    )
    expect(outcome).toMatchObject({ went: 'port', counted: { answered: 1 } })
    expect(outcome.parsed()).toMatchObject({ arp: { operation: 2, sender_mac: SERVER.mac, sender_ip: SERVER.address } })
  })

  test('answers solicitations for its link-local address', () => {
    const target = linkLocal(SERVER.mac)
    const outcome = send(tested, eth({ src: MACS.alice }).ipv6({ hop_limit: 255 }).solicitation({ target, mac: MACS.alice }))
    expect(outcome.parsed()).toMatchObject({ advertisement: { target, mac: SERVER.mac, flags: 'SO' } })
  })

  test('answers pings', () => {
    const outcome = send(tested, eth({ src: MACS.alice, dst: SERVER.mac }).ipv4({ src: '10.0.1.11', dst: SERVER.address }).icmp())
    expect(outcome.parsed()).toMatchObject({ eth: { src: SERVER.mac }, ipv4: { src: SERVER.address }, icmp: { type: 0 } })
  })
})

test('a client that is gone is answered no more', () => {
  const { network } = surroundings.ports.network
  const [, ...endpoints] = network.endpoints
  tested.apply(CONFIG, { ...surroundings, ports: { network: { number: 0, network: { ...network, endpoints } } } })
  expect(send(tested, request({ type: 'discover' })).counted).toEqual({ unknown: 1 })
  tested.apply(CONFIG, surroundings)
})
