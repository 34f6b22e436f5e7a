// SPDX-License-Identifier: Apache-2.0
// The contents of the router's kernel tables, from its configuration and from what lies at its ports.

import { formatIp, formatPrefix, type Ip, networkOf, normalise, type Prefix, parseCidr, parseIp } from '../../catalogue/addresses'
import type { Entry, Image, Surroundings, Value } from '../../catalogue/define'
import { hash, spread } from './ecmp'
import { contains, hostRoute, type Interface, interfacesOf, interfaceTowards, isLinkLocal, linkLocal, subnetsOf } from './interfaces'
import type { RouterConfig } from './router'

type Row = NonNullable<RouterConfig['routes']>[string]
type Record = { [field: string]: Value }

/** The MTU of an interface that leads to no network and has none of its own. */
const DEFAULT_MTU = 1500

/** Destinations that are never forwarded, unless a longer route says otherwise (RFC 6890). IPv6 has its own in the program: they need no table. */
const MARTIANS = ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3', 'ff00::/8'].map(parseCidr)

/** Every route that goes nowhere in particular. */
const NOWHERE: Record = { address: '::', scope: 0, port: 0 }

export function routerImage(config: RouterConfig, surroundings: Surroundings): Image {
  const interfaces = interfacesOf(config, surroundings.name)
  const ports = new Map(interfaces.map(({ name }) => [name, surroundings.ports[name]!.number]))
  const { routes, nextHops } = routesOf(config, interfaces, ports)
  return {
    maps: {
      interfaces: interfaces.map(each => ({ key: ports.get(each.name)!, value: interfaceRecord(each, surroundings) })),
      neighbours: neighboursOf(config, interfaces, surroundings),
      next_hops: nextHops,
      routes4: routes.filter(({ prefix }) => prefix.family === 4).map(entryOf),
      routes6: routes.filter(({ prefix }) => prefix.family === 6).map(entryOf)
    }
  }
}

function interfaceRecord({ name, mac, row, ipv4, ipv6 }: Interface, { ports }: Surroundings): Record {
  return {
    mac,
    mtu: row.mtu ?? ports[name]!.network?.mtu ?? DEFAULT_MTU,
    ...(ipv4 && { ipv4: formatIp(ipv4) }),
    ...(ipv6 && { ipv6: formatIp(ipv6) }),
    link_local: linkLocal(mac),
    ipv6_subnet: ipv6 ? formatPrefix(networkOf(ipv6)) : '::/0',
    advertise: row.advertise,
    autonomous: row.autonomous
  }
}

interface Route {
  prefix: Prefix
  value: Record
}

function entryOf({ prefix, value }: Route): Entry {
  return { key: { length: prefix.length, address: formatIp(prefix) }, value }
}

function routesOf(config: RouterConfig, interfaces: Interface[], ports: Map<string, number>): { routes: Route[]; nextHops: Entry[] } {
  const groups = new Groups()
  const routes = new Map<string, Route>()
  const add = (prefix: Prefix, kind: string, more: Record = {}) =>
    routes.set(`${prefix.family} ${prefix.value} ${prefix.length}`, {
      prefix,
      value: { kind, group: 0, buckets: 0, next_hop: NOWHERE, ...more }
    })

  for (const prefix of MARTIANS) add(prefix, 'martian')
  for (const each of interfaces) {
    const next_hop = { ...NOWHERE, port: ports.get(each.name)! }
    for (const subnet of subnetsOf(each)) {
      add(networkOf(subnet), 'connected', { next_hop })
      for (const prefix of broadcasts(subnet)) add(prefix, 'martian')
      add(hostRoute(subnet), 'local', { next_hop })
    }
  }
  for (const rows of byDestination(config)) {
    const prefix = parseCidr(rows[0]!.destination)
    if (rows[0]!.type !== 'unicast') add(prefix, rows[0]!.type)
    else if (rows.length > 1)
      add(prefix, 'multipath', groups.of(rows.map(row => ({ weight: row.weight, ...nextHop(row, interfaces, ports) }))))
    else add(prefix, rows[0]!.via === undefined ? 'connected' : 'gateway', { next_hop: nextHop(rows[0]!, interfaces, ports) })
  }
  return { routes: [...routes.values()], nextHops: groups.entries }
}

/** The rows of each destination, in an order that does not depend on their keys. */
function byDestination({ routes = {} }: RouterConfig): Row[][] {
  const rows = new Map<string, Row[]>()
  for (const row of Object.values(routes)) {
    const destination = normalise(row.destination)
    const others = rows.get(destination)
    if (others) others.push(row)
    else rows.set(destination, [row])
  }
  return [...rows.values()]
}

/** The addresses of a subnet that are no host's: its own and its broadcast address (RFC 919; none in a /31, RFC 3021). */
function broadcasts(subnet: Prefix): Prefix[] {
  if (subnet.family === 6 || subnet.length > 30) return []
  const { value } = networkOf(subnet)
  return [value, value | ((1n << BigInt(32 - subnet.length)) - 1n)].map(address => ({ family: 4, value: address, length: 32 }))
}

/** The neighbour's name in `neighbours` and `learned`, and the port towards it. Link-local addresses are told apart by their link. */
function nextHop(
  { via, interface: name }: Row,
  interfaces: Interface[],
  ports: Map<string, number>
): { address: string; scope: number; port: number } {
  if (via === undefined) return { address: '::', scope: 0, port: ports.get(name!)! }
  const address = parseIp(via)
  const port = ports.get(name ?? interfaceTowards(interfaces, address)!.name)!
  return { address: formatIp(address), scope: scopeOf(address, port), port }
}

function scopeOf(address: Ip, port: number): number {
  return isLinkLocal(address) ? port + 1 : 0
}

/** Sets of next hops, each held once however many routes share it. Its number follows from what it holds, so that a set never changes under a route. */
class Groups {
  readonly entries: Entry[] = []
  private readonly named = new Map<number, string>()

  of(hops: { address: string; scope: number; port: number; weight: number }[]): Record {
    const named = hops
      .map(({ weight, ...hop }) => ({ name: `${hop.address} ${hop.port}`, weight, hop }))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
    const name = named.map(({ name, weight }) => `${name} ${weight}`).join()
    let group = hash(name)
    while ((this.named.get(group) ?? name) !== name) group = (group + 1) >>> 0
    const buckets = spread(named)
    if (!this.named.has(group)) this.entries.push(...buckets.map((hop, bucket) => ({ key: { group, bucket }, value: named[hop]!.hop })))
    this.named.set(group, name)
    return { group, buckets: buckets.length }
  }
}

/** What the directory knows of the links: no packet to these ever waits for ARP or neighbour discovery. */
function neighboursOf(config: RouterConfig, interfaces: Interface[], { ports }: Surroundings): Entry[] {
  const neighbours = new Map<string, Entry>()
  const statics = Object.values(config.routes ?? {}).map(({ destination }) => parseCidr(destination))
  for (const each of interfaces) {
    const { network, number: port } = ports[each.name]!
    const subnets = subnetsOf(each)
    const overrides = statics.filter(prefix => subnets.some(subnet => contains(subnet, prefix)))
    for (const { mac, addresses } of network?.endpoints ?? [])
      for (const address of addresses.map(parseIp)) {
        const scope = scopeOf(address, port)
        if (mac === each.mac || !(scope > 0 || subnets.some(subnet => contains(subnet, address)))) continue
        const direct = scope === 0 && !overrides.some(prefix => contains(prefix, address))
        neighbours.set(`${scope} ${address.family} ${address.value}`, {
          key: { address: formatIp(address), scope },
          value: { mac, port, direct }
        })
      }
  }
  return [...neighbours.values()]
}
