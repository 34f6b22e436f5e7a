// SPDX-License-Identifier: Apache-2.0
// From a NAT's tables, as an operator writes them, to those of the kernel.

import { derivedMac, formatIp, type Ip, type Prefix, parseCidr, parseIp } from '../../catalogue/addresses'
import type { Entry, Image, Surroundings } from '../../catalogue/define'
import { parsePortRange, protocolNumber } from '../../catalogue/fields'
import { gatewayTables, ownPorts } from './gateways'
import type { NatConfig } from './nat'

/** Ports of all forwards together. */
export const FORWARDED_PORTS_MAX = 65_536

export type Forward = NonNullable<NatConfig['forwards']>[string]
export type Source = NonNullable<NatConfig['sources']>[string]

export function natImage(config: NatConfig, { name, host }: Surroundings): Image {
  const floating = Object.values(config.floating ?? {})
  const prefixes = Object.values(config.prefixes ?? {})
  const forwards = Object.values(config.forwards ?? {}).flatMap(forwardEntries)
  return {
    maps: {
      sources: Object.values(config.sources ?? {}).map(row => sourceEntry(row, ownPorts(config, host, parsePortRange(row.ports)))),
      forwards,
      forwarded: config.gateways ? forwards.map(forwardedEntry) : [],
      ...gatewayTables(config, name, host),
      floating: floating.flatMap(({ inside, outside }) => [
        { key: { address: inside, arrived: 0 }, value: outside },
        { key: { address: outside, arrived: 1 }, value: inside }
      ]),
      prefixes_in: prefixes.map(({ inside, outside }) => prefixEntry(inside, outside)),
      prefixes_out: prefixes.map(({ inside, outside }) => prefixEntry(outside, inside)),
      outside_ips: outsideAddresses(config).map(address => ({ key: address, value: 1 })),
      identity: [{ key: 0, value: derivedMac('nat', name) }]
    }
  }
}

/** The outside addresses, each once; not those of prefixes, which routers lead here. */
export function outsideAddresses({ sources = {}, forwards = {}, floating = {} }: NatConfig): string[] {
  const pools = Object.values(sources).flatMap(({ pool }) => addressesOf(parseCidr(pool)))
  const others = [...Object.values(forwards).map(({ address }) => address), ...Object.values(floating).map(({ outside }) => outside)]
  return [...new Set([...pools, ...others.map(parseIp)].map(formatIp))]
}

export function sizeOf({ family, length }: Prefix): number {
  return 2 ** ((family === 4 ? 32 : 128) - length)
}

function addressesOf(prefix: Prefix): Ip[] {
  return Array.from({ length: sizeOf(prefix) }, (_, n) => ({ family: prefix.family, value: prefix.value + BigInt(n) }))
}

function sourceEntry({ source, pool, endpoint_independent }: Source, [first_port, last_port] = [0, -1]): Entry {
  const prefix = parseCidr(pool)
  const value = { first: formatIp(prefix), addresses: sizeOf(prefix), first_port, ports: last_port - first_port + 1, endpoint_independent }
  return { key: source, value }
}

interface ForwardEntry {
  key: { address: string; port: number; protocol: number }
  value: { address: string; port: number }
}

function forwardEntries({ address, protocol, ports, to_address, to_port }: Forward): ForwardEntry[] {
  if (protocol === undefined || ports === undefined)
    return [{ key: { address, port: 0, protocol: 0 }, value: { address: to_address, port: 0 } }]
  const [first, last] = parsePortRange(ports)
  return Array.from({ length: last - first + 1 }, (_, n) => ({
    key: { address, port: first + n, protocol: protocolNumber(protocol) },
    value: { address: to_address, port: (to_port ?? first) + n }
  }))
}

/** The inside end of a forward. */
function forwardedEntry({ key, value }: ForwardEntry): Entry {
  return { key: { ...value, protocol: key.protocol }, value: 1 }
}

/** RFC 6296 3.1: what the new prefix adds to the sum of an address is taken away elsewhere in it. */
function prefixEntry(from: string, to: string): Entry {
  const [old, prefix] = [parseCidr(from), parseCidr(to)]
  const adjustment = (sumOf(old) + (0xffff - sumOf(prefix))) % 0xffff
  return { key: from, value: { prefix: formatIp(prefix), length: prefix.length, adjustment } }
}

/** The ones' complement sum of an address's words. */
function sumOf({ value }: Ip): number {
  return Number(value % 0xffffn)
}
