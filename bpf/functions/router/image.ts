// SPDX-License-Identifier: Apache-2.0
// The contents of the router's kernel tables, from its configuration and from what lies at its ports.

import { formatIp, formatPrefix, type Ip, linkLocal, networkOf, type Prefix, parseCidr, parseIp } from '../../catalogue/addresses'
import type { Entry, Image, Surroundings, Value } from '../../catalogue/define'
import { BUCKETS, hash, spread } from './ecmp'
import { contains, hostRoute, type Interface, interfacesOf, isLinkLocal, MULTICAST, subnetsOf } from './interfaces'
import type { RouterConfig } from './router'
import { byDestination, type Route, routesOf } from './routes'

/** Port numbers by the names of interfaces. */
type Ports = Map<string, number>
type Record = { [field: string]: Value }

/** The MTU of an interface that leads to no network and has none of its own. */
const DEFAULT_MTU = 1500

/** Destinations that are never forwarded, unless a longer route says otherwise (RFC 6890). IPv6 has its own in the program: they need no table. */
const MARTIANS = [...['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3'].map(parseCidr), MULTICAST]

/** Every route that goes nowhere in particular. */
const NOWHERE: Record = { address: '::', scope: 0, port: 0 }

export function routerImage(config: RouterConfig, surroundings: Surroundings): Image {
  const interfaces = interfacesOf(config, surroundings.name)
  const ports = new Map(interfaces.map(({ name }) => [name, surroundings.ports[name]!.number]))
  const routes = routesOf(config, interfaces)
  const { targets, nextHops } = targetsOf(interfaces, routes, ports)
  return {
    maps: {
      interfaces: interfaces.map(each => ({ key: ports.get(each.name)!, value: interfaceRecord(each, surroundings) })),
      neighbours: neighboursOf(interfaces, routes, surroundings),
      next_hops: nextHops,
      routes4: targets.filter(({ prefix }) => prefix.family === 4).map(entryOf),
      routes6: targets.filter(({ prefix }) => prefix.family === 6).map(entryOf)
    },
    labels: { interfaces: Object.fromEntries([...ports].map(([name, port]) => [String(port), name])) }
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
    autonomous: row.autonomous,
    stateless_dhcp: row.stateless_dhcp
  }
}

/** What the routing table says of a prefix. */
interface Target {
  prefix: Prefix
  value: Record
}

function entryOf({ prefix, value }: Target): Entry {
  return { key: { length: prefix.length, address: formatIp(prefix) }, value }
}

/** One for each prefix; routes come last, as they may say otherwise of what is never forwarded. */
function targetsOf(interfaces: Interface[], routes: Route[], ports: Ports): { targets: Target[]; nextHops: Entry[] } {
  const targets = new Map<string, Target>()
  const groups = new Groups()
  const add = (prefix: Prefix, kind: string, more: Record = {}) =>
    targets.set(formatPrefix(prefix), { prefix, value: { kind, group: 0, buckets: 0, next_hop: NOWHERE, ...more } })

  for (const prefix of MARTIANS) add(prefix, 'martian')
  for (const each of interfaces) {
    const next_hop = { ...NOWHERE, port: ports.get(each.name)! }
    for (const subnet of subnetsOf(each)) {
      add(networkOf(subnet), 'connected', { next_hop })
      for (const prefix of broadcasts(subnet)) add(prefix, 'martian')
      add(hostRoute(subnet), 'local', { next_hop })
    }
  }
  for (const set of byDestination(routes).values()) {
    const [{ row, destination, via }] = set as [Route]
    if (row.type !== 'unicast') add(destination, row.type)
    else if (set.length > 1) add(destination, 'multipath', groups.of(set, ports))
    else add(destination, via ? 'gateway' : 'connected', { next_hop: nextHop(set[0]!, ports) })
  }
  return { targets: [...targets.values()], nextHops: groups.entries }
}

/** The addresses of a subnet that are no host's: its own and its broadcast address (RFC 919; none in a /31, RFC 3021). */
function broadcasts(subnet: Prefix): Prefix[] {
  if (subnet.family === 6 || subnet.length > 30) return []
  const { value } = networkOf(subnet)
  return [value, value | ((1n << BigInt(32 - subnet.length)) - 1n)].map(address => ({ family: 4, value: address, length: 32 }))
}

/** The neighbour's name in `neighbours` and `learned`, and the port towards it. */
function nextHop({ via, out }: Route, ports: Ports): Record {
  const port = ports.get(out!.name)!
  return via ? { address: formatIp(via), scope: scopeOf(via, port), port } : { ...NOWHERE, port }
}

/** Link-local addresses are told apart by their link. */
function scopeOf(address: Ip, port: number): number {
  return isLinkLocal(address) ? port + 1 : 0
}

/** Sets of next hops, each held once however many routes share it. Its number follows from what it holds, so that a set never changes under a route. */
class Groups {
  readonly entries: Entry[] = []
  private readonly names = new Map<number, string>()

  of(routes: Route[], ports: Ports): Record {
    const hops = routes
      .map(route => ({ name: `${formatIp(route.via!)} ${route.out!.name}`, weight: route.row.weight, value: nextHop(route, ports) }))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
    const name = hops.map(({ name, weight, value }) => `${name} ${value.port} ${weight}`).join()
    let group = hash(name)
    while ((this.names.get(group) ?? name) !== name) group = (group + 1) >>> 0
    if (!this.names.has(group))
      this.entries.push(...spread(hops).map((hop, bucket) => ({ key: { group, bucket }, value: hops[hop]!.value })))
    this.names.set(group, name)
    return { group, buckets: BUCKETS }
  }
}

/** What the directory knows of the links: no packet to these ever waits for ARP or neighbour discovery. */
function neighboursOf(interfaces: Interface[], routes: Route[], { ports }: Surroundings): Entry[] {
  const neighbours = new Map<string, Entry>()
  for (const each of interfaces) {
    const { network, number: port } = ports[each.name]!
    const subnets = subnetsOf(each)
    const overrides = routes.map(({ destination }) => destination).filter(prefix => subnets.some(subnet => contains(subnet, prefix)))
    for (const { mac, addresses } of network?.endpoints ?? [])
      for (const address of parsed(addresses)) {
        const scope = scopeOf(address, port)
        if (mac === each.mac || !(scope > 0 || subnets.some(subnet => contains(subnet, address)))) continue
        const direct = scope === 0 && !overrides.some(prefix => contains(prefix, address))
        neighbours.set(`${scope} ${address.text}`, { key: { address: address.text, scope }, value: { mac, port, direct } })
      }
  }
  return [...neighbours.values()]
}

interface Address extends Ip {
  /** Canonical. */
  text: string
}

/** The same lists come again with every image. */
const lists = new WeakMap<string[], Address[]>()

function parsed(addresses: string[]): Address[] {
  const known = lists.get(addresses) ?? addresses.map(parseIp).map(ip => ({ ...ip, text: formatIp(ip) }))
  lists.set(addresses, known)
  return known
}
