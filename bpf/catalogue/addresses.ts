// SPDX-License-Identifier: Apache-2.0
// Addresses and prefixes as text and as bytes: the one owner of how they are read, compared and written, for catalogue, agent and provider.

import { createHash } from 'node:crypto'
import { isIPv4, isIPv6 } from 'node:net'

/** An address. IPv4 that came as a mapped address (`::ffff:10.0.0.1`) has family 4. */
export interface Ip {
  family: 4 | 6
  /** 32 or 128 bits. */
  value: bigint
}

/** An address with the length of its prefix. */
export interface Prefix extends Ip {
  length: number
}

const MAPPED = 0xffffn << 32n
const BITS = { 4: 32, 6: 128 } as const

/** Throws RangeError with a sentence when the text is no address. */
export function parseIp(text: string): Ip {
  if (isIPv4(text)) return { family: 4, value: parseV4(text) }
  if (!isIPv6(text) || text.includes('%')) throw new RangeError(`${JSON.stringify(text)} is not an IP address`)
  return fromMapped(parseV6(text))
}

/** The canonical text: dotted for family 4, RFC 5952 for family 6. */
export function formatIp({ family, value }: Ip): string {
  return family === 4 ? formatV4(value) : formatV6(value)
}

/** An address with a length, as `10.0.0.1/24`: host bits may be set. Throws RangeError. */
export function parseInterfaceAddress(text: string): Prefix {
  const [address, length, ...rest] = text.split('/')
  if (rest.length > 0 || !/^\d{1,3}$/.test(length ?? ''))
    throw new RangeError(`${JSON.stringify(text)} is not an address with a prefix length`)
  const ip = parseIp(address!)
  if (Number(length) > BITS[ip.family])
    throw new RangeError(`${text}: the length of an IPv${ip.family} prefix is at most ${BITS[ip.family]}`)
  return { ...ip, length: Number(length) }
}

/** A prefix whose host bits are zero, as `10.0.0.0/24`. Throws RangeError; where host bits are set it names the prefix that was meant. */
export function parseCidr(text: string): Prefix {
  const prefix = parseInterfaceAddress(text)
  const network = networkOf(prefix)
  if (network.value !== prefix.value) throw new RangeError(`${text} has host bits set; its network is ${formatPrefix(network)}`)
  return prefix
}

export function formatPrefix(prefix: Prefix): string {
  return `${formatIp(prefix)}/${prefix.length}`
}

/** The prefix with its host bits cleared. */
export function networkOf(prefix: Prefix): Prefix {
  return { ...prefix, value: prefix.value & ~hostMask(prefix) }
}

/** The network that an interface address lies in: `10.0.0.1/24` → `10.0.0.0/24`. */
export function cidrOf(interfaceAddress: string): string {
  return formatPrefix(networkOf(parseInterfaceAddress(interfaceAddress)))
}

/** Whether an address, or all of a smaller prefix, lies in a prefix. Families never contain each other. */
export function cidrContains(cidr: string, inner: string): boolean {
  const outer = parseInterfaceAddress(cidr)
  const { family, value, length } = parseEither(inner)
  return family === outer.family && length >= outer.length && networkOf({ ...outer, value }).value === networkOf(outer).value
}

/** Whether two prefixes have an address in common. */
export function cidrOverlaps(a: string, b: string): boolean {
  return cidrContains(a, b) || cidrContains(b, a)
}

/** The first address that a host may have: past the network's own, save in prefixes too short for that (/31 and /32, /127 and /128). */
export function firstHost(cidr: string): string {
  const network = networkOf(parseInterfaceAddress(cidr))
  return formatIp({ ...network, value: network.value + (isPointToPoint(network) ? 0n : 1n) })
}

/** Whether a host may have this address: it lies in the prefix and is neither the network's own nor, in IPv4, its broadcast address. */
export function isHostAddress(cidr: string, address: string): boolean {
  if (!cidrContains(cidr, address)) return false
  const network = networkOf(parseInterfaceAddress(cidr))
  const { value } = parseIp(address)
  if (isPointToPoint(network)) return true
  return value !== network.value && !(network.family === 4 && value === (network.value | hostMask(network)))
}

/** The canonical text of an address, interface address, prefix or MAC, so that equal things compare equal; any other text as it is. */
export function normalise(text: string): string {
  if (MAC.test(text)) return text.toLowerCase()
  try {
    return text.includes('/') ? formatPrefix(parseInterfaceAddress(text)) : formatIp(parseIp(text))
  } catch {
    return text
  }
}

const MAC = /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i

/** Six bytes. Throws RangeError. */
export function parseMac(text: string): Buffer {
  if (!MAC.test(text)) throw new RangeError(`${JSON.stringify(text)} is not a MAC address such as 02:00:00:00:00:01`)
  return Buffer.from(text.replaceAll(':', ''), 'hex')
}

export function formatMac(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += (text && ':') + OCTETS[byte]
  return text
}

const OCTETS = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/** A MAC that follows from names alone: the same on every host, unicast, from the locally administered range. */
export function derivedMac(...parts: string[]): string {
  const bytes = createHash('sha256').update(JSON.stringify(parts)).digest().subarray(0, 6)
  bytes[0] = (bytes[0]! & 0xfc) | 0x02
  return formatMac(bytes)
}

/** The link-local address that belongs to a MAC (RFC 4291, appendix A). */
export function linkLocal(mac: string): string {
  const [a, b, c, d, e, f] = parseMac(mac) as unknown as [number, number, number, number, number, number]
  const words = [((a ^ 2) << 8) | b, (c << 8) | 0xff, 0xfe00 | d, (e << 8) | f]
  return normalise(`fe80::${words.map(word => word.toString(16)).join(':')}`)
}

/** The 16 bytes of an address of either family, IPv4 mapped. */
export function ipBytes({ family, value }: Ip): Buffer {
  return toBytes(family === 4 ? MAPPED | value : value, 16)
}

/** The address in 4 bytes, or in 16, where a mapped one becomes IPv4. */
export function ipFromBytes(bytes: Uint8Array): Ip {
  const ip = ipFromOwnBytes(bytes)
  return ip.family === 4 ? ip : fromMapped(ip.value)
}

/** The 4 or 16 bytes of an address in its own family. */
export function ownBytes({ family, value }: Ip): Buffer {
  return toBytes(value, BITS[family] / 8)
}

/** The address in 4 or 16 bytes, a mapped one as it is. */
export function ipFromOwnBytes(bytes: Uint8Array): Ip {
  return { family: bytes.length === 4 ? 4 : 6, value: fromBytes(bytes) }
}

function parseEither(text: string): Prefix {
  if (text.includes('/')) return parseInterfaceAddress(text)
  const ip = parseIp(text)
  return { ...ip, length: BITS[ip.family] }
}

function isPointToPoint({ family, length }: Prefix): boolean {
  return BITS[family] - length <= 1
}

function hostMask({ family, length }: Prefix): bigint {
  return (1n << BigInt(BITS[family] - length)) - 1n
}

function fromMapped(value: bigint): Ip {
  return value >> 32n === 0xffffn ? { family: 4, value: value & 0xffffffffn } : { family: 6, value }
}

function parseV4(text: string): bigint {
  return BigInt(text.split('.').reduce((value, octet) => value * 256 + Number(octet), 0))
}

function formatV4(value: bigint): string {
  const whole = Number(value)
  return `${whole >>> 24}.${(whole >>> 16) & 255}.${(whole >>> 8) & 255}.${whole & 255}`
}

function parseV6(text: string): bigint {
  const hexadecimal = text.includes('.') ? text.replace(/[0-9.]+$/, tail => words(hex(parseV4(tail), 4)).join(':')) : text
  const [head, tail] = hexadecimal.split('::').map(half => (half === '' ? [] : half.split(':')))
  const zeros = tail ? Array<string>(8 - head!.length - tail.length).fill('0') : []
  return BigInt(`0x${[...head!, ...zeros, ...(tail ?? [])].map(word => word.padStart(4, '0')).join('')}`)
}

function formatV6(value: bigint): string {
  const text = words(hex(value, 16)).join(':')
  const longest = text.match(/\b0(:0)+\b/g)?.reduce((best, zeros) => (zeros.length > best.length ? zeros : best))
  return longest ? text.replace(new RegExp(`(^|:)\\b${longest}\\b(:|$)`), '::') : text
}

/** Groups of 16 bits, without leading zeros. */
function words(digits: string): string[] {
  return digits.match(/.{4}/g)!.map(word => parseInt(word, 16).toString(16))
}

function hex(value: bigint, length: number): string {
  return value.toString(16).padStart(2 * length, '0')
}

function toBytes(value: bigint, length: number): Buffer {
  return Buffer.from(hex(value, length), 'hex')
}

function fromBytes(bytes: Uint8Array): bigint {
  const { buffer, byteOffset, byteLength } = bytes
  const view = new DataView(buffer, byteOffset, byteLength)
  return byteLength === 4 ? BigInt(view.getUint32(0)) : (view.getBigUint64(0) << 64n) | view.getBigUint64(8)
}
