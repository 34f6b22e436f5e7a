// SPDX-License-Identifier: Apache-2.0
// What is wrong with a NAT's configuration, beyond what its schema can say.

import { cidrContains, cidrOverlaps, formatIp, formatPrefix, parseCidr, parseIp } from '../../catalogue/addresses'
import type { Problem } from '../../catalogue/define'
import { parsePortRange } from '../../catalogue/fields'
import { FORWARDED_PORTS_MAX, type Forward, type Source, sizeOf } from './image'
import type { NatConfig } from './nat'

const POOL_MAX = 256
const PREFIX_MAX = 64

export function checkNat(config: NatConfig): Problem[] {
  const problems = [
    ...checkSources(config),
    ...checkForwards(config),
    ...checkFloating(config),
    ...checkPrefixes(config),
    ...checkGateways(config)
  ]
  return problems.length > 0 ? problems : checkSharing(config)
}

/** In a chain there is no network outside that could bring a gateway's frames to it. */
export function checkChainedNat({ gateways = {} }: NatConfig): Problem[] {
  if (Object.keys(gateways).length === 0) return []
  return [
    {
      path: 'gateways',
      message: 'has no meaning in the chain of a port',
      hint: 'Stitch the function between a router and the network outside, or leave gateways out.'
    }
  ]
}

/** Each row that says the same as one before it, in the words of `name`. */
function twins<R>(rows: [key: string, row: R][], name: (row: R) => string[]): { key: string; other: string; name: string }[] {
  const seen = new Map<string, string>()
  return rows.flatMap(([key, row]) => {
    const found = name(row).flatMap(each => {
      const other = seen.get(each)
      seen.set(each, other ?? key)
      return other === undefined ? [] : [{ key, other, name: each }]
    })
    return found.slice(0, 1)
  })
}

function checkSources({ sources = {} }: NatConfig): Problem[] {
  const rows = Object.entries(sources)
  const faults = rows.flatMap(([key, { source, pool }]): Problem[] => {
    const [inside, outside] = [parseCidr(source), parseCidr(pool)]
    const path = `sources.${key}.pool`
    if (inside.family !== outside.family) return [{ path, message: `${pool} is not of the IP version of ${source}` }]
    if (sizeOf(outside) > POOL_MAX)
      return [{ path, message: `has ${sizeOf(outside)} addresses, of which ${POOL_MAX} can be used`, hint: 'Choose a longer prefix.' }]
    return []
  })
  const again = twins(rows, ({ source }) => [formatPrefix(parseCidr(source))])
  return [
    ...faults,
    ...again.map(({ key, other, name }) => ({ path: `sources.${key}.source`, message: `${name} is in sources.${other} already` }))
  ]
}

function checkForwards({ forwards = {} }: NatConfig): Problem[] {
  const rows = Object.entries(forwards)
  const faults = rows.flatMap(([key, row]) => checkForward(row).map(fault => ({ ...fault, path: `forwards.${key}.${fault.path}` })))
  if (faults.length > 0) return faults
  if (rows.reduce((sum, [, row]) => sum + namesOf(row).length, 0) > FORWARDED_PORTS_MAX)
    return [{ path: 'forwards', message: `more than ${FORWARDED_PORTS_MAX} ports are forwarded`, hint: 'Forward a whole address instead.' }]
  return twins(rows, namesOf).map(({ key, other, name }) => ({
    path: `forwards.${key}.${forwards[key]!.ports === undefined ? 'address' : 'ports'}`,
    message: `${name} is forwarded by forwards.${other} already`
  }))
}

function checkForward({ address, protocol, ports, to_address, to_port }: Forward): Problem[] {
  if (parseIp(address).family !== parseIp(to_address).family)
    return [{ path: 'to_address', message: `${to_address} is not of the IP version of ${address}` }]
  if (ports === undefined && protocol !== undefined)
    return [{ path: 'ports', message: 'is missing', hint: 'Name the ports, or leave out `protocol` to forward the whole address.' }]
  if (protocol === undefined && ports !== undefined) return [{ path: 'protocol', message: 'is missing', hint: 'Ports are of tcp or udp.' }]
  if (ports === undefined)
    return to_port === undefined ? [] : [{ path: 'to_port', message: 'has no meaning where a whole address is forwarded' }]
  const [first, last] = parsePortRange(ports)
  return to_port !== undefined && to_port + last - first > 0xffff
    ? [{ path: 'to_port', message: `${last - first + 1} ports from ${to_port} on go beyond 65535` }]
    : []
}

/** Every outside port that a row takes. */
function namesOf({ address, protocol, ports }: Forward): string[] {
  const ip = formatIp(parseIp(address))
  if (protocol === undefined || ports === undefined) return [ip]
  const [first, last] = parsePortRange(ports)
  return Array.from({ length: last - first + 1 }, (_, n) => `${ip} ${protocol} port ${first + n}`)
}

function checkFloating({ floating = {}, sources = {}, forwards = {} }: NatConfig): Problem[] {
  const rows = Object.entries(floating)
  const pools = Object.entries(sources).map(([key, { pool }]) => [`sources.${key}`, pool] as const)
  const addresses = Object.entries(forwards).map(([key, { address }]) => [`forwards.${key}`, address] as const)
  const faults = rows.flatMap(([key, { inside, outside }]): Problem[] => {
    const path = `floating.${key}.outside`
    if (parseIp(inside).family !== parseIp(outside).family) return [{ path, message: `${outside} is not of the IP version of ${inside}` }]
    const [taken] = [
      ...pools.filter(([, pool]) => cidrContains(pool, outside)),
      ...addresses.filter(([, address]) => formatIp(parseIp(address)) === formatIp(parseIp(outside)))
    ]
    return taken ? [{ path, message: `${outside} is an address of ${taken[0]}`, hint: 'A floating address serves one host alone.' }] : []
  })
  const again = (field: 'inside' | 'outside') =>
    twins(rows, row => [formatIp(parseIp(row[field]))]).map(({ key, other, name }) => ({
      path: `floating.${key}.${field}`,
      message: `${name} is in floating.${other} already`
    }))
  return [...faults, ...again('inside'), ...again('outside')]
}

function checkPrefixes({ prefixes = {} }: NatConfig): Problem[] {
  const rows = Object.entries(prefixes)
  return rows.flatMap(([key, { inside, outside }], n): Problem[] => {
    const [from, to] = [parseCidr(inside), parseCidr(outside)]
    const path = `prefixes.${key}`
    if (from.family === 4 || to.family === 4)
      return [{ path: `${path}.${from.family === 4 ? 'inside' : 'outside'}`, message: 'only IPv6 prefixes are translated (RFC 6296)' }]
    if (from.length > PREFIX_MAX) return [{ path: `${path}.inside`, message: `is longer than ${PREFIX_MAX} bits` }]
    if (from.length !== to.length) return [{ path: `${path}.outside`, message: `is not as long as ${inside}` }]
    const earlier = rows.slice(0, n)
    for (const field of ['inside', 'outside'] as const) {
      const other = earlier.find(([, row]) => cidrOverlaps(row[field], field === 'inside' ? inside : outside))
      if (other) return [{ path: `${path}.${field}`, message: `overlaps prefixes.${other[0]}` }]
    }
    return []
  })
}

function checkGateways({ gateways = {}, sources = {} }: NatConfig): Problem[] {
  const rows = Object.entries(gateways)
  return rows.flatMap(([host, { ports }], n): Problem[] => {
    const path = `gateways.${host}.ports`
    const other = rows.slice(0, n).find(([, earlier]) => overlap(earlier.ports, ports))
    if (other) return [{ path, message: `${ports} are in part those of gateways.${other[0]}`, hint: 'Give each gateway ports of its own.' }]
    const idle = Object.entries(sources).find(([, row]) => !overlap(row.ports, ports))
    return idle ? [{ path, message: `${ports} has none of the ports of sources.${idle[0]}, ${idle[1].ports}` }] : []
  })
}

/** Ports that are the same to everybody cannot be shared by destination as well. */
function checkSharing({ sources = {} }: NatConfig): Problem[] {
  const rows = Object.entries(sources)
  return rows.flatMap(([key, row], n): Problem[] => {
    const other = rows
      .slice(0, n)
      .find(([, earlier]) => earlier.endpoint_independent !== row.endpoint_independent && sharePorts(earlier, row))
    if (!other) return []
    return [
      {
        path: `sources.${key}.endpoint_independent`,
        message: `differs from that of sources.${other[0]}, with which it shares outside ports`,
        hint: 'Give them different pools or different ports.'
      }
    ]
  })
}

function sharePorts(a: Source, b: Source): boolean {
  return cidrOverlaps(a.pool, b.pool) && overlap(a.ports, b.ports)
}

function overlap(a: string, b: string): boolean {
  const [[first, last], [begin, end]] = [parsePortRange(a), parsePortRange(b)]
  return first <= end && begin <= last
}
