// SPDX-License-Identifier: Apache-2.0
// Reads frames back into the words in which frame.ts builds them, and checks every checksum on the way.

import { formatIp, formatMac, ipFromOwnBytes } from '../catalogue/addresses'
import { internetChecksum, pseudoHeader } from './checksum'
import { TCP_FLAGS, VXLAN_PORT } from './frame'

/** One key for each header that is there, with the fields that the builder's method takes. */
export interface Parsed {
  eth: { src: string; dst: string; type: number }
  vlan?: { id: number; priority: number }
  ipv4?: {
    src: string
    dst: string
    ttl: number
    tos: number
    id: number
    df: boolean
    mf: boolean
    offset: number
    protocol: number
    length: number
    options: Buffer
  }
  ipv6?: { src: string; dst: string; hop_limit: number; traffic_class: number; next: number; length: number }
  /** Types of the IPv6 extension headers, in their order. */
  extensions?: number[]
  fragment?: { offset: number; mf: boolean; id: number }
  tcp?: { sport: number; dport: number; seq: number; ack: number; flags: string; window: number; options: Buffer }
  udp?: { sport: number; dport: number; length: number }
  sctp?: { sport: number; dport: number }
  icmp?: { type: number; code: number; id: number; seq: number; mtu: number }
  icmpv6?: { type: number; code: number; id: number; seq: number; mtu: number }
  solicitation?: { target: string; mac?: string }
  advertisement?: { target: string; mac?: string; flags: string }
  arp?: { operation: number; sender_mac: string; sender_ip: string; target_mac: string; target_ip: string }
  vxlan?: { vni: number; inner: Parsed }
  /** The packet that an ICMP error quotes, from its IP header on. */
  quoted?: Buffer
  /** What is behind the last header, within the length that IP gives. */
  payload: Buffer
  /** What follows the IP packet in the frame. */
  trailer: Buffer
}

export interface ParseOptions {
  /** Wrong checksums are no error. */
  unchecked?: boolean
}

/** The least behind UDP that is a tunnelled frame: VXLAN's header and Ethernet's. */
const TUNNELLED_MIN = 8 + 14

/** Throws when a header is cut short or a checksum is wrong. */
export function parse(bytes: Uint8Array, options: ParseOptions = {}): Parsed {
  return new Reader(Buffer.from(bytes), options).frame()
}

class Reader {
  private readonly parsed = { payload: Buffer.alloc(0), trailer: Buffer.alloc(0) } as unknown as Parsed
  private source: Buffer = Buffer.alloc(0)
  private destination: Buffer = Buffer.alloc(0)

  constructor(
    private readonly bytes: Buffer,
    private readonly options: ParseOptions
  ) {}

  frame(): Parsed {
    const { bytes, parsed } = this
    let [type, rest] = [bytes.readUInt16BE(12), bytes.subarray(14)]
    parsed.eth = { dst: formatMac(bytes.subarray(0, 6)), src: formatMac(bytes.subarray(6, 12)), type }
    if (type === 0x8100) {
      const tag = rest.readUInt16BE(0)
      parsed.vlan = { id: tag & 0xfff, priority: tag >> 13 }
      ;[type, rest] = [rest.readUInt16BE(2), rest.subarray(4)]
    }
    if (type === 0x0800) this.ipv4(rest)
    else if (type === 0x86dd) this.ipv6(rest)
    else if (type === 0x0806) this.arp(rest)
    else parsed.payload = rest
    return parsed
  }

  private check(what: string, bytes: Uint8Array): void {
    if (!this.options.unchecked && internetChecksum(bytes) !== 0)
      throw new Error(`the checksum of ${what} is wrong: ${this.bytes.toString('hex')}`)
  }

  private ipv4(bytes: Buffer): void {
    const header = bytes.subarray(0, (bytes[0]! & 15) * 4)
    const [length, fragment] = [bytes.readUInt16BE(2), bytes.readUInt16BE(6)]
    this.check('IPv4', header)
    this.source = header.subarray(12, 16)
    this.destination = header.subarray(16, 20)
    const [df, mf, offset] = [(fragment & 0x4000) !== 0, (fragment & 0x2000) !== 0, (fragment & 0x1fff) * 8]
    this.parsed.ipv4 = {
      src: addressIn(this.source),
      dst: addressIn(this.destination),
      ttl: header[8]!,
      tos: header[1]!,
      id: header.readUInt16BE(4),
      df,
      mf,
      offset,
      protocol: header[9]!,
      length,
      options: header.subarray(20)
    }
    this.parsed.trailer = bytes.subarray(length)
    this.transport(header[9]!, bytes.subarray(header.length, length), mf || offset > 0)
  }

  private ipv6(bytes: Buffer): void {
    const length = bytes.readUInt16BE(4)
    this.source = bytes.subarray(8, 24)
    this.destination = bytes.subarray(24, 40)
    this.parsed.ipv6 = {
      src: addressIn(this.source),
      dst: addressIn(this.destination),
      hop_limit: bytes[7]!,
      traffic_class: (bytes.readUInt16BE(0) >> 4) & 0xff,
      next: bytes[6]!,
      length
    }
    this.parsed.trailer = bytes.subarray(40 + length)
    this.extensions(bytes[6]!, bytes.subarray(40, 40 + length))
  }

  private extensions(first: number, bytes: Buffer): void {
    const { parsed } = this
    let [protocol, rest] = [first, bytes]
    while ([0, 43, 44, 60].includes(protocol)) {
      parsed.extensions = [...(parsed.extensions ?? []), protocol]
      if (protocol === 44) {
        const place = rest.readUInt16BE(2)
        parsed.fragment = { offset: place & 0xfff8, mf: (place & 1) === 1, id: rest.readUInt32BE(4) }
      }
      const size = protocol === 44 ? 8 : (rest[1]! + 1) * 8
      ;[protocol, rest] = [rest[0]!, rest.subarray(size)]
    }
    this.transport(protocol, rest, parsed.fragment !== undefined)
  }

  private transport(protocol: number, bytes: Buffer, isFragment: boolean): void {
    if (isFragment) this.parsed.payload = bytes
    else if (protocol === 1) this.icmp(bytes)
    else if (protocol === 6) this.tcp(bytes)
    else if (protocol === 17) this.udp(bytes)
    else if (protocol === 58) this.icmpv6(bytes)
    else if (protocol === 132) {
      this.parsed.sctp = { sport: bytes.readUInt16BE(0), dport: bytes.readUInt16BE(2) }
      this.parsed.payload = bytes.subarray(12)
    } else this.parsed.payload = bytes
  }

  private checkTransport(what: string, protocol: number, bytes: Buffer): void {
    this.check(what, Buffer.concat([pseudoHeader(this.source, this.destination, protocol, bytes.length), bytes]))
  }

  private tcp(bytes: Buffer): void {
    const header = bytes.subarray(0, (bytes[12]! >> 4) * 4)
    this.checkTransport('TCP', 6, bytes)
    this.parsed.tcp = {
      sport: header.readUInt16BE(0),
      dport: header.readUInt16BE(2),
      seq: header.readUInt32BE(4),
      ack: header.readUInt32BE(8),
      flags: tcpFlags(header[13]!),
      window: header.readUInt16BE(14),
      options: header.subarray(20)
    }
    this.parsed.payload = bytes.subarray(header.length)
  }

  private udp(bytes: Buffer): void {
    const { parsed } = this
    if (bytes.readUInt16BE(6) !== 0) this.checkTransport('UDP', 17, bytes)
    parsed.udp = { sport: bytes.readUInt16BE(0), dport: bytes.readUInt16BE(2), length: bytes.readUInt16BE(4) }
    parsed.payload = bytes.subarray(8)
    if (parsed.udp.dport === VXLAN_PORT && parsed.payload.length >= TUNNELLED_MIN)
      parsed.vxlan = { vni: bytes.readUIntBE(12, 3), inner: parse(bytes.subarray(16), this.options) }
  }

  private icmp(bytes: Buffer): void {
    this.check('ICMP', bytes)
    this.parsed.icmp = icmpFields(bytes)
    this.parsed.payload = bytes.subarray(8)
    if ([3, 4, 5, 11, 12].includes(bytes[0]!)) this.parsed.quoted = bytes.subarray(8)
  }

  private icmpv6(bytes: Buffer): void {
    const { parsed } = this
    this.checkTransport('ICMPv6', 58, bytes)
    parsed.icmpv6 = icmpFields(bytes)
    parsed.payload = bytes.subarray(8)
    if (bytes[0]! < 128) parsed.quoted = bytes.subarray(8)
    if (bytes[0] === 135) parsed.solicitation = neighbourFields(bytes)
    if (bytes[0] === 136)
      parsed.advertisement = { ...neighbourFields(bytes), flags: [...'RSO'].filter((_, n) => bytes[4]! & (0x80 >> n)).join('') }
  }

  private arp(bytes: Buffer): void {
    const [sender_mac, target_mac] = [formatMac(bytes.subarray(8, 14)), formatMac(bytes.subarray(18, 24))]
    const [sender_ip, target_ip] = [addressIn(bytes.subarray(14, 18)), addressIn(bytes.subarray(24, 28))]
    this.parsed.arp = { operation: bytes.readUInt16BE(6), sender_mac, sender_ip, target_mac, target_ip }
    this.parsed.trailer = bytes.subarray(28)
  }
}

function icmpFields(bytes: Buffer) {
  return { type: bytes[0]!, code: bytes[1]!, id: bytes.readUInt16BE(4), seq: bytes.readUInt16BE(6), mtu: bytes.readUInt32BE(4) }
}

function neighbourFields(bytes: Buffer) {
  return { target: addressIn(bytes.subarray(8, 24)), ...(bytes.length >= 32 && { mac: formatMac(bytes.subarray(26, 32)) }) }
}

function tcpFlags(bits: number): string {
  let flags = ''
  for (let n = 0; n < TCP_FLAGS.length; n++) if (bits & (1 << n)) flags += TCP_FLAGS[n]
  return flags
}

function addressIn(bytes: Buffer): string {
  return formatIp(ipFromOwnBytes(bytes))
}
