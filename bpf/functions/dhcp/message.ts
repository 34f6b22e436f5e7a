// SPDX-License-Identifier: Apache-2.0
// The messages of the server, as far as they are the same for every client: the program copies them and adds what is the client's own.

import { networkOf, ownBytes, type Prefix, parseCidr, parseInterfaceAddress, parseIp, parseMac } from '../../catalogue/addresses'
import { nanoseconds } from '../../catalogue/fields'
import type { DhcpConfig } from './dhcp'

/** A DHCPv4 message that every client can take (RFC 2131 2), without the headers of IP and UDP; MESSAGE_LENGTH in tables.h. */
export const MESSAGE_LENGTH = 548
/** The longest client identifier that is repeated; ID_MAX in tables.h. */
const ID_MAX = 64
/** Where the options begin: behind the fields that BOOTP has, and the cookie. */
const OPTIONS = 240
/** Message type, server identifier and lease time; then the client's identifier, and the end. */
const FRAMING = 3 + 6 + 6 + (2 + ID_MAX) + 1

/** The bytes that the options of a configuration may have. */
export const OPTIONS_MAX = MESSAGE_LENGTH - OPTIONS - FRAMING

const COOKIE = [99, 130, 83, 99]
const REPLY = 2
const ETHERNET = 1

export const OPTION = {
  ...{ subnet_mask: 1, router: 3, dns_servers: 6, domain: 15, mtu: 26, lease_time: 51, type: 53, server: 54, message: 56, routes: 121 }
}
/** Options that are the protocol's own, or follow from other fields of the configuration. */
export const RESERVED_OPTIONS = [0, ...Object.values(OPTION), 50, 52, 55, 57, 61, 82, 255]

/** DHCPv6: RFC 8415, RFC 3646. */
const OPTION6 = { server: 2, dns_servers: 23, domains: 24, refresh_time: 32 }
const REPLY6 = 7
const DUID_LL = 3
/** RFC 8415 7.6: IRT_MINIMUM. */
const REFRESH_MIN = 600

/** A message up to where the client's identifier goes. */
export interface Answer {
  length: number
  bytes: Uint8Array
}

/** The answers by the name that they have in C, `enum answer_kind`. */
export function answersOf(
  config: DhcpConfig,
  mac: string,
  networkMtu: number
): Record<'lease' | 'information' | 'refusal' | 'information6', Answer> {
  const server = parseInterfaceAddress(config.address)
  const begin = [option(OPTION.type, [0]), option(OPTION.server, ownBytes(server))]
  const told = optionsOf(config, networkMtu)
  const lease = option(OPTION.lease_time, u32Bytes(seconds(config)))
  return {
    lease: message(...begin, lease, told),
    information: message(...begin, told),
    refusal: message(...begin, option(OPTION.message, Buffer.from('not your address'))),
    information6: message6(config, mac)
  }
}

/** What the configuration has clients told by DHCPv4. */
export function optionsOf(config: DhcpConfig, networkMtu: number): Buffer {
  const { gateway, domain, mtu = networkMtu, options = {} } = config
  const routes = routesOf(config)
  return Buffer.concat([
    option(OPTION.subnet_mask, maskOf(parseInterfaceAddress(config.address))),
    ...(gateway ? [option(OPTION.router, ownBytes(parseIp(gateway)))] : []),
    option(OPTION.dns_servers, addresses(config.dns_servers, 4)),
    ...(domain ? [option(OPTION.domain, Buffer.from(domain))] : []),
    option(OPTION.mtu, u16Bytes(mtu)),
    option(OPTION.routes, Buffer.concat(routes.map(routeBytes))),
    ...Object.values(options).map(({ code, type, value }) => option(code, optionBytes(type, value)))
  ])
}

export function seconds({ lease_time }: DhcpConfig): number {
  return Number(nanoseconds(lease_time) / 1_000_000_000n)
}

/** The bytes of an option by number. Throws RangeError with a sentence. */
export function optionBytes(type: string, value: string): Buffer {
  switch (type) {
    case 'ip':
      return Buffer.concat(value.split(',').map(part => ipv4Bytes(part.trim())))
    case 'hex':
      if (!/^([0-9a-f]{2})+$/i.test(value)) throw new RangeError(`${JSON.stringify(value)} is not bytes in hexadecimal`)
      return Buffer.from(value, 'hex')
    case 'text':
      if (value === '') throw new RangeError('an option says at least one character')
      return Buffer.from(value)
    default:
      return numberBytes(value, Number(type.slice(1)) / 8)
  }
}

function ipv4Bytes(text: string): Buffer {
  const address = parseIp(text)
  if (address.family !== 4) throw new RangeError(`${text} is not an IPv4 address`)
  return ownBytes(address)
}

function numberBytes(text: string, size: number): Buffer {
  const number = Number(text)
  if (!/^[0-9]+$/.test(text) || number >= 256 ** size)
    throw new RangeError(`${JSON.stringify(text)} is not a number from 0 to ${256 ** size - 1}`)
  const bytes = Buffer.alloc(size)
  bytes.writeUIntBE(number, 0, size)
  return bytes
}

/** A client that is told routes no longer heeds the default gateway (RFC 3442): so that is one of them. */
function routesOf({ gateway, routes = {} }: DhcpConfig): { destination: Prefix; via: string }[] {
  const rows = Object.values(routes).map(({ destination, via }) => ({ destination: parseCidr(destination), via }))
  const isDefaultTold = rows.some(({ destination }) => destination.length === 0)
  if (rows.length === 0 || !gateway || isDefaultTold) return rows
  return [...rows, { destination: parseCidr('0.0.0.0/0'), via: gateway }]
}

/** RFC 3442: the length, the bytes of the prefix that count, the router. */
function routeBytes({ destination, via }: { destination: Prefix; via: string }): Buffer {
  const significant = ownBytes(destination).subarray(0, Math.ceil(destination.length / 8))
  return Buffer.concat([Buffer.from([destination.length]), significant, ownBytes(parseIp(via))])
}

function maskOf({ length }: Prefix): Buffer {
  return ownBytes(networkOf({ family: 4, value: 0xffffffffn, length }))
}

function message(...options: Buffer[]): Answer {
  const head = Buffer.alloc(OPTIONS)
  head.set([REPLY, ETHERNET, 6])
  head.set(COOKIE, OPTIONS - COOKIE.length)
  const bytes = Buffer.concat([head, ...options])
  return { length: bytes.length, bytes }
}

/** Nothing, where there is nothing to say. */
function option(code: number, value: Uint8Array | number[]): Buffer {
  return value.length === 0 ? Buffer.alloc(0) : Buffer.from([code, value.length, ...value])
}

/** The server's name is its MAC: a DUID of type LL (RFC 8415 11.4). */
function message6(config: DhcpConfig, mac: string): Answer {
  const bytes = Buffer.concat([
    Buffer.from([REPLY6, 0, 0, 0]),
    option6(OPTION6.server, Buffer.concat([u16Bytes(DUID_LL), u16Bytes(ETHERNET), parseMac(mac)])),
    option6(OPTION6.dns_servers, addresses(config.dns_servers, 6)),
    option6(OPTION6.domains, config.domain ? domainBytes(config.domain) : Buffer.alloc(0)),
    option6(OPTION6.refresh_time, u32Bytes(Math.max(seconds(config), REFRESH_MIN)))
  ])
  return { length: bytes.length, bytes }
}

function option6(code: number, value: Buffer): Buffer {
  return value.length === 0 ? value : Buffer.concat([u16Bytes(code), u16Bytes(value.length), value])
}

/** RFC 1035 3.1. */
function domainBytes(domain: string): Buffer {
  const labels = domain.split('.').map(label => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]))
  return Buffer.concat([...labels, Buffer.from([0])])
}

function addresses(all: string[], family: 4 | 6): Buffer {
  return Buffer.concat(
    all
      .map(parseIp)
      .filter(address => address.family === family)
      .map(ownBytes)
  )
}

function u16Bytes(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff])
}

function u32Bytes(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
