// SPDX-License-Identifier: Apache-2.0
// What the tests of the DHCP server share: questions as bytes, answers as words.

import { formatIp, formatMac, ipFromBytes, ownBytes, parseIp, parseMac } from '../../catalogue/addresses'
import { eth, type Frame } from '../../packets/frame'
import type { Outcome, TestedFunction } from '../../testing/harness'

/** By their numbers, from 1. */
const MESSAGES = ['discover', 'offer', 'request', 'decline', 'ack', 'nak', 'release', 'inform'] as const
export type Message = (typeof MESSAGES)[number]

export const SERVER = { mac: '02:00:00:00:00:fe', address: '10.0.1.2' }
export const MACS = {
  ...{ alice: '02:00:00:00:00:01', bob: '02:00:00:00:00:02', carol: '02:00:00:00:00:03' },
  ...{ onlyIpv6: '02:00:00:00:00:06', bound: '02:00:00:00:00:50', stranger: '02:00:00:00:00:99' }
}
export const CONFIG = {
  ...{ address: `${SERVER.address}/24`, mac: SERVER.mac, gateway: '10.0.1.1', domain: 'example.internal' },
  dns_servers: ['10.0.1.53', 'fd00:1::53'],
  routes: { lab: { destination: '192.0.2.0/24', via: '10.0.1.254' } },
  options: { time: { code: 42, type: 'ip', value: '10.0.1.123' } },
  bindings: { printer: { mac: MACS.bound, address: '10.0.1.50' } }
}
const endpoints = [
  { mac: MACS.alice, addresses: ['fd00:1::11', '10.0.1.11'], port_id: 1 },
  { mac: MACS.bob, addresses: ['10.0.1.12'], peer: 1 },
  { mac: MACS.carol, addresses: ['172.16.0.1', '10.0.1.13'], port_id: 2 },
  { mac: MACS.onlyIpv6, addresses: ['fd00:1::6'], port_id: 3 },
  { mac: SERVER.mac, addresses: [SERVER.address], bridge_port: 2 }
]
export const surroundings = {
  name: 'tested',
  ports: { network: { number: 0, network: { name: 'web', vni: 100, mtu: 1450, cidrs: ['10.0.1.0/24'], endpoints } } }
}

export interface Question {
  type?: Message
  mac?: string
  /** The hardware address that the message names; the frame's where left out. */
  hardware?: string
  /** The address that the client has. */
  client?: string
  requested?: string
  server?: string
  relay?: string
  broadcast?: boolean
  /** Where the packet goes. */
  to?: string
  /** Code → value in hexadecimal. */
  options?: Record<number, string>
  /** What stands behind the other options, in hexadecimal, instead of the end. */
  raw?: string
  operation?: number
  cookie?: number
  sport?: number
  dport?: number
}

export function request(question: Question): Frame {
  const { mac = MACS.alice, to = '255.255.255.255', client = '0.0.0.0', sport = 68, dport = 67 } = question
  return eth({ src: mac, dst: to === '255.255.255.255' ? 'ff:ff:ff:ff:ff:ff' : SERVER.mac })
    .ipv4({ src: client, dst: to })
    .udp({ sport, dport })
    .payload(messageOf({ ...question, mac, client }))
}

function messageOf({
  type,
  mac,
  hardware = mac,
  client,
  requested,
  server,
  relay,
  broadcast,
  options,
  raw = 'ff',
  ...head
}: Question): Buffer {
  const message = Buffer.alloc(240)
  message.set([head.operation ?? 1, 1, 6, 3])
  message.writeUInt32BE(0x1234, 4)
  message.writeUInt16BE(7, 8)
  message.writeUInt16BE(broadcast ? 0x8000 : 0, 10)
  message.set(ownBytes(parseIp(client!)), 12)
  if (relay) message.set(ownBytes(parseIp(relay)), 24)
  message.set(parseMac(hardware!), 28)
  message.writeUInt32BE(head.cookie ?? 0x63825363, 236)
  const values = {
    ...(type && { 53: Buffer.from([MESSAGES.indexOf(type) + 1]) }),
    ...(requested && { 50: ownBytes(parseIp(requested)) }),
    ...(server && { 54: ownBytes(parseIp(server)) }),
    ...Object.fromEntries(Object.entries(options ?? {}).map(([code, value]) => [code, Buffer.from(value, 'hex')]))
  }
  const encoded = Object.entries(values).map(([code, value]) => Buffer.from([Number(code), value.length, ...value]))
  return Buffer.concat([message, ...encoded, Buffer.from(raw, 'hex')])
}

export function send(tested: TestedFunction, frame: Frame | Uint8Array): Outcome {
  return tested.send(frame, { port: 'network' })
}

/** The head of an answer. */
export function read(outcome: Outcome) {
  const { payload } = outcome.parsed()
  const ip = (offset: number) => formatIp(ipFromBytes(payload.subarray(offset, offset + 4)))
  if (payload.length !== 548 || payload[0] !== 2 || payload[3] !== 0) throw new Error(`no answer: ${payload.toString('hex')}`)
  return {
    type: MESSAGES[Number(told(outcome)[53]) - 1]!,
    transaction: payload.readUInt32BE(4),
    client: ip(12),
    yours: ip(16),
    hardware: formatMac(payload.subarray(28, 34))
  }
}

/** The options of an answer, in hexadecimal. Throws where they are not well formed. */
export function told(outcome: Outcome): Record<number, string> {
  const { payload } = outcome.parsed()
  const options: Record<number, string> = {}
  let at = 240
  while (payload[at] !== 255) {
    const [code, length] = [payload[at]!, payload[at + 1]!]
    if (code === 0 || code in options) throw new Error(`option ${code} at ${at}`)
    options[code] = payload.subarray(at + 2, at + 2 + length).toString('hex')
    at += 2 + length
  }
  if (payload.subarray(at + 1).some(byte => byte !== 0)) throw new Error('something stands behind the end')
  return options
}
