// SPDX-License-Identifier: Apache-2.0
// What is wrong with a DHCP server's configuration, beyond what its schema can say.

import { cidrOf, formatIp, isHostAddress, normalise, parseInterfaceAddress, parseMac } from '../../catalogue/addresses'
import type { Problem } from '../../catalogue/define'
import type { DhcpConfig } from './dhcp'
import { OPTIONS_MAX, optionBytes, optionsOf, RESERVED_OPTIONS, seconds } from './message'

const LEASE_MIN = 60
/** RFC 2131 3.3: more is infinity. */
const LEASE_MAX = 0xffffffff - 1
const OPTION_MAX = 255
const LABEL = /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i

export function checkDhcp(config: DhcpConfig): Problem[] {
  const { address } = config
  if (parseInterfaceAddress(address).family !== 4)
    return [
      {
        path: 'address',
        message: `${address} is no IPv4 address`,
        hint: 'DHCPv6 needs none: the server speaks from its link-local address.'
      }
    ]
  const problems = [
    ...checkServer(config),
    ...checkLease(config),
    ...checkRoutes(config),
    ...checkOptions(config),
    ...checkBindings(config)
  ]
  return problems.length > 0 ? problems : checkLength(config)
}

function checkServer({ address, mac, gateway, domain }: DhcpConfig): Problem[] {
  const server = parseInterfaceAddress(address)
  const subnet = cidrOf(address)
  const problems: Problem[] = []
  if (!isHostAddress(subnet, formatIp(server)))
    problems.push({ path: 'address', message: `${address} is no address of a host in ${subnet}` })
  if (mac !== undefined && isMulticast(mac)) problems.push({ path: 'mac', message: `${mac} is a multicast address` })
  if (gateway !== undefined && !isHostAddress(subnet, gateway))
    problems.push({ path: 'gateway', message: `${gateway} is no address of a host in ${subnet}, the subnet of address` })
  if (gateway === formatIp(server))
    problems.push({ path: 'gateway', message: `${gateway} is the server's own address, and it forwards nothing` })
  if (domain !== undefined && !domain.split('.').every(label => LABEL.test(label)))
    problems.push({ path: 'domain', message: `${JSON.stringify(domain)} is not a domain name such as example.internal` })
  return problems
}

function checkLease(config: DhcpConfig): Problem[] {
  const lease = seconds(config)
  if (lease >= LEASE_MIN && lease <= LEASE_MAX) return []
  return [{ path: 'lease_time', message: `${config.lease_time} is not from ${LEASE_MIN} s to ${LEASE_MAX} s` }]
}

function checkRoutes({ address, routes = {} }: DhcpConfig): Problem[] {
  const seen = new Map<string, string>()
  return Object.entries(routes).flatMap(([key, { destination, via }]) => {
    const path = (field: string) => `routes.${key}.${field}`
    if (destination.includes(':')) return [{ path: path('destination'), message: `${destination} is not an IPv4 prefix` }]
    if (seen.has(destination))
      return [{ path: path('destination'), message: `${destination} is the destination of ${seen.get(destination)} too` }]
    seen.set(destination, key)
    if (!isHostAddress(cidrOf(address), via))
      return [{ path: path('via'), message: `${via} is no address of a host in ${cidrOf(address)}, the subnet of address` }]
    return []
  })
}

function checkOptions({ options = {} }: DhcpConfig): Problem[] {
  const seen = new Map<number, string>()
  return Object.entries(options).flatMap(([key, { code, type, value }]) => {
    if (RESERVED_OPTIONS.includes(code))
      return [
        {
          path: `options.${key}.code`,
          message: `option ${code} is the server's own`,
          hint: 'It follows from other fields, or from the protocol.'
        }
      ]
    if (seen.has(code)) return [{ path: `options.${key}.code`, message: `option ${code} is in ${seen.get(code)} too` }]
    seen.set(code, key)
    try {
      if (optionBytes(type, value).length <= OPTION_MAX) return []
      return [{ path: `options.${key}.value`, message: `an option has at most ${OPTION_MAX} bytes` }]
    } catch (error) {
      return [{ path: `options.${key}.value`, message: (error as Error).message }]
    }
  })
}

function checkBindings({ address, mac, bindings = {} }: DhcpConfig): Problem[] {
  const subnet = cidrOf(address)
  const taken = new Map<string, string>([
    [formatIp(parseInterfaceAddress(address)), 'address'],
    ...(mac ? [[normalise(mac), 'mac'] as const] : [])
  ])
  const claim = (field: string, value: string, owner: string): Problem[] => {
    const other = taken.get(value)
    taken.set(value, owner)
    return other === undefined ? [] : [{ path: `${owner}.${field}`, message: `${value} is that of ${other} too` }]
  }
  return Object.entries(bindings).flatMap(([key, row]) => {
    const owner = `bindings.${key}`
    if (isMulticast(row.mac)) return [{ path: `${owner}.mac`, message: `${row.mac} is a multicast address` }]
    if (!isHostAddress(subnet, row.address))
      return [{ path: `${owner}.address`, message: `${row.address} is no address of a host in ${subnet}, the subnet of address` }]
    return [...claim('mac', normalise(row.mac), owner), ...claim('address', row.address, owner)]
  })
}

/** The whole must fit the smallest message that a client may limit a server to. */
function checkLength(config: DhcpConfig): Problem[] {
  const { length } = optionsOf(config, 0)
  if (length <= OPTIONS_MAX) return []
  const path = ['options', 'routes', 'domain'].find(field => config[field as keyof DhcpConfig] !== undefined) ?? 'dns_servers'
  return [
    {
      path,
      message: `all that clients are told has ${length} bytes, and ${OPTIONS_MAX} fit a message that every client can take (576 bytes, RFC 2131)`,
      hint: 'Leave some options or routes out.'
    }
  ]
}

function isMulticast(mac: string): boolean {
  return (parseMac(mac)[0]! & 1) === 1
}
