// SPDX-License-Identifier: Apache-2.0
// From a described packet to its bytes, what is left out filled in; and from bytes to fields, to tell what was rewritten.

import { isIPv6 } from 'node:net'
import { cidrContains, normalise, parseIp } from '@inkev/bpf/catalogue/addresses'
import type { Endpoint } from '@inkev/bpf/catalogue/define'
import { eth, type Frame } from '@inkev/bpf/packets/frame'
import { parse } from '@inkev/bpf/packets/parse'
import { InkevError } from '../../api/errors'
import type { TraceRequest } from '../../api/trace'
import type { ResolvedNetwork } from '../model/graph'

type Described = TraceRequest['packet']

/** What is known where the packet starts. */
export interface Origin {
  /** Of the workload that sends it; a remote host sends for many. */
  mac?: string
  addresses: string[]
  network?: { name: string; subnets: ResolvedNetwork['subnets']; endpoints: Endpoint[] }
}

const BROADCAST = 'ff:ff:ff:ff:ff:ff'

/** Throws INKEV_ERR_SCHEMA with the path of what is missing or contradicts. */
export function frameOf(described: Described, origin: Origin): Buffer {
  requireSound(described)
  const frame = described.arp ? arpFrame(described, described.arp, origin) : ipFrame(described, described.ip!, origin)
  return frame.payload(described.payload_length).bytes()
}

function requireSound({ ip, arp, tcp, udp, icmp, segment_size, payload_length }: Described): void {
  if (!ip === !arp) throw wrong('packet', 'give one of ip and arp')
  const transports = Object.entries({ tcp, udp, icmp }).filter(([, header]) => header)
  if (transports.length > 1) throw wrong('packet', `${transports.map(([name]) => name).join(' and ')} exclude each other`)
  if (arp && transports.length > 0) throw wrong(`packet.${transports[0]![0]}`, 'ARP has no transport header')
  if (ip?.fragment) requireFragment(ip.fragment)
  if (segment_size === undefined) return
  if (ip?.fragment) throw wrong('packet.segment_size', 'fragments are not sent as trains')
  if (!tcp && !udp) throw wrong('packet.segment_size', 'only TCP and UDP are sent as trains')
  if (segment_size >= payload_length) throw wrong('packet.segment_size', `a train has more payload (payload_length) than one segment`)
}

function requireFragment({ offset, more_fragments }: NonNullable<NonNullable<Described['ip']>['fragment']>): void {
  if (offset % 8 !== 0) throw wrong('packet.ip.fragment.offset', 'fragments begin at multiples of 8 bytes')
  if (offset === 0 && !more_fragments) throw wrong('packet.ip.fragment', 'one that begins at 0 and that no other follows is a whole packet')
}

function arpFrame({ ethernet }: Described, arp: NonNullable<Described['arp']>, origin: Origin): Frame {
  const { operation, target_ip, target_mac } = arp
  const sender_ip = arp.sender_ip ?? ownAddress(origin, false, 'packet.arp.sender_ip')
  for (const [field, address] of Object.entries({ sender_ip, target_ip }))
    if (isIPv6(address)) throw wrong(`packet.arp.${field}`, 'ARP is for IPv4 addresses')
  const src = ethernet?.source ?? sourceMac(origin, sender_ip)
  const dst = ethernet?.destination ?? target_mac ?? BROADCAST
  const fields = { sender_mac: src, sender_ip, target_ip, ...(target_mac && { target_mac }) }
  return eth({ src, dst }).arp({ operation: operation === 'reply' ? 2 : 1, ...fields })
}

function ipFrame({ ethernet, tcp, udp, icmp }: Described, ip: NonNullable<Described['ip']>, origin: Origin): Frame {
  const { destination } = ip
  const isV6 = isIPv6(destination)
  const source = ip.source ?? ownAddress(origin, isV6, 'packet.ip.source')
  if (isIPv6(source) !== isV6) throw wrong('packet.ip.source', `${source} and ${destination} are of two IP versions`)
  const ends = { src: source, dst: destination }
  const link = eth({
    src: ethernet?.source ?? sourceMac(origin, source),
    dst: ethernet?.destination ?? destinationMac(origin, destination)
  })
  if (ip.fragment?.offset) return ipHeaders(link, ends, ip, tcp ? 6 : udp ? 17 : icmp ? (isV6 ? 58 : 1) : undefined)
  const frame = ipHeaders(link, ends, ip)
  if (tcp) return frame.tcp({ ...portsOf(tcp), flags: flagsOf(tcp.flags), seq: tcp.sequence, ack: tcp.acknowledgement })
  if (udp) return frame.udp(portsOf(udp))
  if (!icmp) return frame
  const { type, code, identifier: id, sequence: seq } = icmp
  const fields = { code, id, seq, ...(type !== undefined && { type }) }
  return isV6 ? frame.icmpv6(fields) : frame.icmp(fields)
}

/** `protocol`: of a later fragment, behind whose headers no transport's comes. */
function ipHeaders(link: Frame, ends: { src: string; dst: string }, ip: NonNullable<Described['ip']>, protocol?: number): Frame {
  const { ttl, tos, dont_fragment: df, fragment } = ip
  const { identification: id = 0, offset, more_fragments: mf } = fragment ?? {}
  if (!isIPv6(ends.dst)) return link.ipv4({ ...ends, ttl, tos, ...(fragment ? { id: id & 0xffff, offset, mf, protocol } : { df }) })
  const frame = link.ipv6({ ...ends, hop_limit: ttl, traffic_class: tos })
  return fragment ? frame.fragment({ id, offset, mf, next: protocol }) : frame
}

function portsOf({ source_port, destination_port }: NonNullable<Described['udp']>) {
  return { sport: source_port, dport: destination_port }
}

function flagsOf(flags: string): string {
  if (/[^FSRPAUEC]/.test(flags)) throw wrong('packet.tcp.flags', `${JSON.stringify(flags)} has letters other than F S R P A U E C`)
  return flags
}

function ownAddress({ addresses }: Origin, isV6: boolean, path: string): string {
  const own = addresses.find(address => isIPv6(address) === isV6)
  if (own === undefined) throw wrong(path, `is required: the sender has no IPv${isV6 ? 6 : 4} address that is known`)
  return own
}

function sourceMac({ mac, network }: Origin, source: string): string {
  const known = mac ?? ownerOf(network, source)
  if (known === undefined) throw wrong('packet.ethernet.source', `is required: nobody is known to have ${source}`)
  return known
}

/** As a workload finds out whom to send to: the group's address, a neighbour's, or that of the gateway. */
function destinationMac({ network }: Origin, destination: string): string {
  const known = multicastMac(destination) ?? ownerOf(network, nextHop(network, destination))
  if (known !== undefined) return known
  throw wrong(
    'packet.ethernet.destination',
    `is required: nobody${network ? ` in network ${network.name}` : ''} is known to lead to ${destination}`
  )
}

function nextHop(network: Origin['network'], destination: string): string {
  const subnets = network?.subnets ?? []
  if (subnets.some(({ cidr }) => cidrContains(cidr, destination))) return destination
  return subnets.find(({ gateway }) => isIPv6(gateway) === isIPv6(destination))?.gateway ?? destination
}

function ownerOf(network: Origin['network'], address: string): string | undefined {
  return network?.endpoints.find(({ addresses }) => addresses.map(normalise).includes(normalise(address)))?.mac
}

/** RFC 1112, section 6.4; RFC 2464, section 7. */
function multicastMac(address: string): string | undefined {
  const { family, value } = parseIp(address)
  if (family === 4 && value === 0xffffffffn) return BROADCAST
  if (family === 4 && value >> 28n === 0xen) return macOf(0x01005e000000n | (value & 0x7fffffn))
  return family === 6 && value >> 120n === 0xffn ? macOf(0x333300000000n | (value & 0xffffffffn)) : undefined
}

function macOf(value: bigint): string {
  return value.toString(16).padStart(12, '0').match(/../g)!.join(':')
}

function wrong(path: string, message: string): InkevError {
  return new InkevError('INKEV_ERR_SCHEMA', `${path}: ${message}`, path)
}

/** What differs between two frames, by the names of their fields. */
export function changesOf(before: Buffer, after: Buffer): Record<string, string> {
  if (before.equals(after)) return {}
  const [was, is] = [fieldsOf(before), fieldsOf(after)]
  const names = [...new Set([...Object.keys(was), ...Object.keys(is)])]
  return Object.fromEntries(
    names.filter(name => was[name] !== is[name]).map(name => [name, `${was[name] ?? 'none'} -> ${is[name] ?? 'none'}`])
  )
}

function fieldsOf(bytes: Buffer): Record<string, string> {
  const headers = Object.entries(parse(bytes, { unchecked: true })).filter(([, fields]) => fields.constructor === Object)
  return Object.fromEntries(
    headers.flatMap(([header, fields]) =>
      Object.entries(fields as object).flatMap(([field, value]) =>
        Buffer.isBuffer(value) || typeof value === 'object' ? [] : [[`${header}.${field}`, String(value)]]
      )
    )
  )
}
