// SPDX-License-Identifier: Apache-2.0
// Builds frames as tests speak of them: eth({ src, dst }).ipv4({ src, dst }).tcp({ dport: 80, flags: 'S' }).payload('hello'). Lengths, types and checksums
// follow from what comes after; any of them may be given, to tell a lie.

import { ownBytes, parseIp, parseMac } from '../catalogue/addresses'
import { internetChecksum, pseudoHeader } from './checksum'

export interface EthFields {
  src?: string
  dst?: string
  type?: number
}

export interface Ipv4Fields {
  src?: string
  dst?: string
  ttl?: number
  tos?: number
  id?: number
  df?: boolean
  /** Another fragment follows. */
  mf?: boolean
  /** Of a fragment: in bytes, a multiple of 8. */
  offset?: number
  protocol?: number
  /** Raw options, a multiple of 4 bytes. */
  options?: Uint8Array
  version?: number
  ihl?: number
  length?: number
  checksum?: number
}

export interface Ipv6Fields {
  src?: string
  dst?: string
  hop_limit?: number
  traffic_class?: number
  flow?: number
  next?: number
  version?: number
  length?: number
}

/** `kind` is the header's own type: 0 hop-by-hop, 43 routing, 44 fragment, 60 destination options. */
export interface ExtensionFields {
  kind: number
  next?: number
  /** Without the first two bytes; 6 bytes, and 8 more for each unit of length. */
  data?: Uint8Array
}

export interface FragmentFields {
  offset?: number
  mf?: boolean
  id?: number
  next?: number
}

export interface TcpFields {
  sport?: number
  dport?: number
  seq?: number
  ack?: number
  /** Letters of CWR, ECE, URG, ACK, PSH, RST, SYN, FIN: any of `CEUAPRSF`. */
  flags?: string
  window?: number
  options?: Uint8Array
  checksum?: number
}

export interface PortFields {
  sport?: number
  dport?: number
  length?: number
  checksum?: number
}

export interface IcmpFields {
  type?: number
  code?: number
  id?: number
  seq?: number
  /** Of fragmentation needed and packet too big. */
  mtu?: number
  checksum?: number
}

export interface ArpFields {
  /** 1 asks, 2 answers. */
  operation?: number
  sender_mac?: string
  sender_ip?: string
  target_mac?: string
  target_ip?: string
}

export interface NeighbourFields {
  target: string
  /** The link address that it offers; none if left out. */
  mac?: string
  /** Of an advertisement: any of `RSO`, router, solicited, override. */
  flags?: string
}

const ETHERTYPES: Record<string, number> = { ipv4: 0x0800, arp: 0x0806, vlan: 0x8100, ipv6: 0x86dd }
const PROTOCOLS: Record<string, number> = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58, sctp: 132, none: 59 }
export const VXLAN_PORT = 4789
/** From the least significant bit on. */
export const TCP_FLAGS = 'FSRPAUEC'
export const DEFAULTS = {
  src: { mac: '02:00:00:00:00:01', ipv4: '10.0.0.1', ipv6: 'fd00::1' },
  dst: { mac: '02:00:00:00:00:02', ipv4: '10.0.0.2', ipv6: 'fd00::2' }
}
const NO_MAC = '00:00:00:00:00:00'

/** What a layer must know of the others: addresses of the IP header before it, and the name and protocol number of the layer behind it. */
interface Context {
  source?: Buffer
  destination?: Buffer
  next: string
  nextProtocol?: number
}

interface Layer {
  name: string
  /** The number of an IPv6 extension header, which names itself. */
  protocol?: number
  addresses?: { source: Buffer; destination: Buffer }
  encode(rest: Buffer, context: Context): Buffer
}

export class Frame {
  constructor(private readonly layers: readonly Layer[]) {}

  /** An 802.1Q tag. */
  vlan(id: number, priority = 0): Frame {
    return this.with('vlan', (rest, { next }) => {
      const header = Buffer.alloc(4)
      header.writeUInt16BE((priority << 13) | id, 0)
      header.writeUInt16BE(ETHERTYPES[next] ?? 0, 2)
      return Buffer.concat([header, rest])
    })
  }

  ipv4(fields: Ipv4Fields = {}): Frame {
    const addresses = addressPair(fields.src ?? DEFAULTS.src.ipv4, fields.dst ?? DEFAULTS.dst.ipv4)
    return this.with('ipv4', (rest, context) => encodeIpv4(fields, addresses, rest, context), { addresses })
  }

  ipv6(fields: Ipv6Fields = {}): Frame {
    const addresses = addressPair(fields.src ?? DEFAULTS.src.ipv6, fields.dst ?? DEFAULTS.dst.ipv6)
    return this.with('ipv6', (rest, context) => encodeIpv6(fields, addresses, rest, context), { addresses })
  }

  /** An IPv6 extension header. */
  extension(fields: ExtensionFields): Frame {
    const { kind, next, data = Buffer.alloc(6) } = fields
    const encode = (rest: Buffer, context: Context) =>
      Buffer.concat([Buffer.from([next ?? protocolOf(context), (data.length - 6) / 8]), data, rest])
    return this.with('extension', encode, { protocol: kind })
  }

  /** IPv6's fragment header. */
  fragment(fields: FragmentFields = {}): Frame {
    const { offset = 0, mf = false, id = 1, next } = fields
    const encode = (rest: Buffer, context: Context) => {
      const header = Buffer.alloc(8)
      header[0] = next ?? protocolOf(context)
      header.writeUInt16BE(offset | Number(mf), 2)
      header.writeUInt32BE(id, 4)
      return Buffer.concat([header, rest])
    }
    return this.with('extension', encode, { protocol: 44 })
  }

  tcp(fields: TcpFields = {}): Frame {
    return this.with('tcp', (rest, context) => encodeTcp(fields, rest, context))
  }

  udp(fields: PortFields = {}): Frame {
    return this.with('udp', (rest, context) => encodeUdp(fields, rest, context))
  }

  sctp(fields: PortFields = {}): Frame {
    return this.with('sctp', rest => {
      const header = Buffer.alloc(12)
      header.writeUInt16BE(fields.sport ?? 40_000, 0)
      header.writeUInt16BE(fields.dport ?? 80, 2)
      return Buffer.concat([header, rest])
    })
  }

  /** ICMP; an echo request if nothing is said. */
  icmp(fields: IcmpFields = {}): Frame {
    return this.with('icmp', rest => encodeIcmp({ type: 8, ...fields }, rest))
  }

  /** ICMPv6; an echo request if nothing is said. */
  icmpv6(fields: IcmpFields = {}): Frame {
    return this.with('icmpv6', (rest, context) => encodeIcmp({ type: 128, ...fields }, rest, context))
  }

  /** An ICMPv6 neighbour solicitation. */
  solicitation(fields: NeighbourFields): Frame {
    return this.icmpv6({ type: 135 }).payload(neighbourBody(fields, 1))
  }

  /** An ICMPv6 neighbour advertisement. */
  advertisement(fields: NeighbourFields): Frame {
    const flags = [...'RSO'].reduce((bits, letter, n) => bits | (fields.flags?.includes(letter) ? 0x8000 >>> n : 0), 0)
    return this.icmpv6({ type: 136, id: flags }).payload(neighbourBody(fields, 2))
  }

  /** ARP; a request if nothing is said. */
  arp(fields: ArpFields = {}): Frame {
    return this.with('arp', rest => {
      const { operation = 1, sender_ip = DEFAULTS.src.ipv4, target_ip = DEFAULTS.dst.ipv4 } = fields
      const { sender_mac = DEFAULTS.src.mac, target_mac = NO_MAC } = fields
      const ends = [parseMac(sender_mac), ownBytes(parseIp(sender_ip)), parseMac(target_mac), ownBytes(parseIp(target_ip))]
      return Buffer.concat([Buffer.from([0, 1, 8, 0, 6, 4, 0, operation]), ...ends, rest])
    })
  }

  /** VXLAN's header; the inner frame follows: `.vxlan(100).eth()…`. */
  vxlan(vni: number): Frame {
    return this.with('vxlan', rest => {
      const header = Buffer.from([8, 0, 0, 0, 0, 0, 0, 0])
      header.writeUIntBE(vni, 4, 3)
      return Buffer.concat([header, rest])
    })
  }

  eth(fields: EthFields = {}): Frame {
    return this.with('eth', (rest, { next }) => {
      const { src = DEFAULTS.src.mac, dst = DEFAULTS.dst.mac, type = ETHERTYPES[next] ?? 0x88b5 } = fields
      return Buffer.concat([parseMac(dst), parseMac(src), Buffer.from([type >> 8, type & 0xff]), rest])
    })
  }

  /** Text, bytes, or a number of bytes. */
  payload(data: string | Uint8Array | number): Frame {
    const bytes = typeof data === 'number' ? Buffer.alloc(data, 'x') : Buffer.from(data)
    return this.with('payload', rest => Buffer.concat([bytes, rest]))
  }

  /** The packet that an ICMP error is about: another frame's bytes from its IP header on, cut to `length`. */
  quote(frame: Frame | Uint8Array, length?: number): Frame {
    const bytes = frame instanceof Frame ? frame.bytes() : frame
    return this.payload(bytes.subarray(14, length === undefined ? undefined : 14 + length))
  }

  bytes(): Buffer {
    const { layers } = this
    return layers.reduceRight<Buffer>((rest, layer, n) => {
      const { source, destination } = this.addressesBefore(n) ?? {}
      const { name: next = 'none', protocol: nextProtocol } = layers[n + 1] ?? {}
      return layer.encode(rest, { source, destination, next, nextProtocol })
    }, Buffer.alloc(0))
  }

  /** Those of the IP header that a layer stands behind. */
  private addressesBefore(layer: number): Layer['addresses'] {
    while (--layer >= 0) if (this.layers[layer]!.addresses) return this.layers[layer]!.addresses
    return undefined
  }

  /** The first bytes only. */
  cut(length: number): Buffer {
    return this.bytes().subarray(0, length)
  }

  private with(name: string, encode: Layer['encode'], more: Partial<Layer> = {}): Frame {
    return new Frame([...this.layers, { name, encode, ...more }])
  }
}

/** A frame from a workload to another, where nothing else is said. */
export function eth(fields: EthFields = {}): Frame {
  return new Frame([]).eth(fields)
}

/** The fragments of a frame with an IP header without options or extensions: `size` bytes of payload in each but the last. */
export function fragments(frame: Frame, size: number): Buffer[] {
  const whole = frame.bytes()
  const ipv4 = whole.readUInt16BE(12) === ETHERTYPES.ipv4
  const payload = whole.subarray(ipv4 ? 34 : 54)
  const count = Math.ceil(payload.length / size)
  return Array.from({ length: count }, (_, n) => {
    const piece = payload.subarray(n * size, (n + 1) * size)
    return (ipv4 ? ipv4Fragment : ipv6Fragment)(whole, piece, n * size, n < count - 1)
  })
}

function ipv4Fragment(whole: Buffer, piece: Buffer, offset: number, mf: boolean): Buffer {
  const headers = Buffer.from(whole.subarray(0, 34))
  headers.writeUInt16BE(20 + piece.length, 16)
  headers.writeUInt16BE((Number(mf) << 13) | (offset >> 3), 20)
  headers.writeUInt16BE(0, 24)
  headers.writeUInt16BE(internetChecksum(headers.subarray(14)), 24)
  return Buffer.concat([headers, piece])
}

function ipv6Fragment(whole: Buffer, piece: Buffer, offset: number, mf: boolean): Buffer {
  const headers = Buffer.from(whole.subarray(0, 54))
  const extension = Buffer.from([headers[20]!, 0, offset >> 8, (offset & 0xf8) | Number(mf), 0, 0, 0, 1])
  headers[20] = 44
  headers.writeUInt16BE(8 + piece.length, 18)
  return Buffer.concat([headers, extension, piece])
}

function addressPair(source: string, destination: string) {
  return { source: ownBytes(parseIp(source)), destination: ownBytes(parseIp(destination)) }
}

function protocolOf({ next, nextProtocol }: Context): number {
  return nextProtocol ?? PROTOCOLS[next] ?? 253
}

function encodeIpv4(fields: Ipv4Fields, { source, destination }: Required<Layer>['addresses'], rest: Buffer, context: Context): Buffer {
  const { options = Buffer.alloc(0) } = fields
  const header = Buffer.alloc(20 + options.length)
  header[0] = ((fields.version ?? 4) << 4) | (fields.ihl ?? header.length / 4)
  header[1] = fields.tos ?? 0
  header.writeUInt16BE(fields.length ?? header.length + rest.length, 2)
  header.writeUInt16BE(fields.id ?? 0, 4)
  header.writeUInt16BE((Number(fields.df ?? false) << 14) | (Number(fields.mf ?? false) << 13) | ((fields.offset ?? 0) >> 3), 6)
  header[8] = fields.ttl ?? 64
  header[9] = fields.protocol ?? protocolOf(context)
  header.set(source, 12)
  header.set(destination, 16)
  header.set(options, 20)
  header.writeUInt16BE(fields.checksum ?? internetChecksum(header), 10)
  return Buffer.concat([header, rest])
}

function encodeIpv6(fields: Ipv6Fields, { source, destination }: Required<Layer>['addresses'], rest: Buffer, context: Context): Buffer {
  const header = Buffer.alloc(40)
  const { version = 6, traffic_class = 0, flow = 0 } = fields
  header.writeUInt32BE(((version << 28) | (traffic_class << 20) | flow) >>> 0, 0)
  header.writeUInt16BE(fields.length ?? rest.length, 4)
  header[6] = fields.next ?? protocolOf(context)
  header[7] = fields.hop_limit ?? 64
  header.set(source, 8)
  header.set(destination, 24)
  return Buffer.concat([header, rest])
}

/** The checksum over pseudo header and message, of a transport whose own checksum field is zero still. */
function transportChecksum(protocol: string, message: Buffer, { source, destination }: Context): number {
  if (!source || !destination) throw new Error(`${protocol} without an IP header before it`)
  return internetChecksum(Buffer.concat([pseudoHeader(source, destination, PROTOCOLS[protocol]!, message.length), message]))
}

function encodeTcp(fields: TcpFields, rest: Buffer, context: Context): Buffer {
  const { options = Buffer.alloc(0), flags = 'S' } = fields
  const header = Buffer.alloc(20 + options.length)
  header.writeUInt16BE(fields.sport ?? 40_000, 0)
  header.writeUInt16BE(fields.dport ?? 80, 2)
  header.writeUInt32BE((fields.seq ?? 1) >>> 0, 4)
  header.writeUInt32BE((fields.ack ?? 0) >>> 0, 8)
  header[12] = (header.length / 4) << 4
  header[13] = [...TCP_FLAGS].reduce((bits, letter, n) => bits | (flags.includes(letter) ? 1 << n : 0), 0)
  header.writeUInt16BE(fields.window ?? 65_535, 14)
  header.set(options, 20)
  const segment = Buffer.concat([header, rest])
  segment.writeUInt16BE(fields.checksum ?? transportChecksum('tcp', segment, context), 16)
  return segment
}

function encodeUdp(fields: PortFields, rest: Buffer, context: Context): Buffer {
  const datagram = Buffer.concat([Buffer.alloc(8), rest])
  const { sport = 40_000, dport = context.next === 'vxlan' ? VXLAN_PORT : 53 } = fields
  datagram.writeUInt16BE(sport, 0)
  datagram.writeUInt16BE(dport, 2)
  datagram.writeUInt16BE(fields.length ?? datagram.length, 4)
  datagram.writeUInt16BE(fields.checksum ?? (transportChecksum('udp', datagram, context) || 0xffff), 6)
  return datagram
}

function encodeIcmp(fields: IcmpFields, rest: Buffer, context?: Context): Buffer {
  const { type = 0, code = 0, id = 1, seq = 1, mtu } = fields
  const isEcho = [0, 8, 128, 129].includes(type)
  const message = Buffer.concat([Buffer.from([type, code, 0, 0, 0, 0, 0, 0]), rest])
  if (mtu !== undefined) message.writeUInt32BE(mtu, 4)
  else if (isEcho || fields.id !== undefined) message.writeUInt32BE(((id << 16) | (isEcho ? seq : 0)) >>> 0, 4)
  message.writeUInt16BE(fields.checksum ?? (context ? transportChecksum('icmpv6', message, context) : internetChecksum(message)), 2)
  return message
}

function neighbourBody({ target, mac }: NeighbourFields, option: number): Buffer {
  return Buffer.concat([ownBytes(parseIp(target)), ...(mac ? [Buffer.from([option, 1]), parseMac(mac)] : [])])
}
