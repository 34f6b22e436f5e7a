// SPDX-License-Identifier: Apache-2.0
// What is wrong with a router's configuration, beyond what its schema can say.

import { formatIp, formatPrefix, type Ip, isHostAddress, networkOf, type Prefix, parseCidr, parseMac } from '../../catalogue/addresses'
import type { Problem } from '../../catalogue/define'
import { BUCKETS, GROUPS_MAX } from './ecmp'
import { contains, EMBEDDING, hostRoute, type Interface, interfacesOf, isLinkLocal, LINK_LOCAL, MULTICAST, subnetsOf } from './interfaces'
import type { RouterConfig } from './router'
import { byDestination, type Route, type Row, routesOf } from './routes'

/** No host lives there and no route leads there: this host, loopback, multicast and reserved; in IPv6 also link-local and what embeds IPv4. */
const RESERVED = [...['0.0.0.0/8', '127.0.0.0/8', '224.0.0.0/3'].map(parseCidr), EMBEDDING, LINK_LOCAL, MULTICAST]

export function checkRouter(config: RouterConfig): Problem[] {
  const interfaces = interfacesOf(config, '')
  return [...interfaces.flatMap(checkInterface), ...checkOverlaps(interfaces), ...checkRoutes(config, interfaces)]
}

function checkInterface(each: Interface): Problem[] {
  const { name, row, ipv4, ipv6 } = each
  const problems: Problem[] = []
  const complain = (field: string, message: string, hint?: string) => problems.push({ path: `interfaces.${name}.${field}`, message, hint })

  if (row.ipv6_address !== undefined && (!ipv4 || !ipv6))
    complain(
      'ipv6_address',
      'is the IPv6 address beside an IPv4 `address`',
      'Give the IPv4 address as `address` and the IPv6 address as `ipv6_address`.'
    )
  for (const address of subnetsOf(each)) {
    const field = address === ipv6 && ipv4 ? 'ipv6_address' : 'address'
    if (isReserved(address)) complain(field, `${formatIp(address)} is not an address that an interface can have`, hintAt(address))
    else if (!isHostAddress(formatPrefix(address), formatIp(address)))
      complain(
        field,
        `${formatIp(address)} is no host's address in ${formatPrefix(networkOf(address))}`,
        'Choose another address of the subnet.'
      )
  }
  if (row.mac !== undefined && parseMac(row.mac)[0]! & 1)
    complain('mac', `${row.mac} is a multicast address`, 'The first byte of a unicast MAC is even.')
  return problems
}

function hintAt(address: Ip): string | undefined {
  return isLinkLocal(address) ? 'Every interface with an IPv6 address has a link-local one by itself.' : undefined
}

function isReserved(prefix: Ip | Prefix): boolean {
  return RESERVED.some(reserved => contains(reserved, prefix))
}

function checkOverlaps(interfaces: Interface[]): Problem[] {
  return interfaces.flatMap((each, n) =>
    subnetsOf(each).flatMap(subnet => {
      const other = interfaces
        .slice(0, n)
        .find(earlier => subnetsOf(earlier).some(its => contains(its, subnet) || contains(networkOf(subnet), its)))
      if (!other) return []
      const field = subnet === each.ipv6 && each.ipv4 ? 'ipv6_address' : 'address'
      return [
        {
          path: `interfaces.${each.name}.${field}`,
          message: `overlaps the subnet of interface ${other.name}`,
          hint: 'Subnets of one router must not overlap.'
        }
      ]
    })
  )
}

/** What is wrong with one row: its field, a sentence, and what to do. */
type Fault = [field: keyof Row, message: string, hint?: string]

function checkRoutes(config: RouterConfig, interfaces: Interface[]): Problem[] {
  const own = new Set(interfaces.flatMap(subnetsOf).flatMap(subnet => [formatPrefix(networkOf(subnet)), formatPrefix(hostRoute(subnet))]))
  const routes = routesOf(config, interfaces)
  const onLink = remembering(checkOnLink)
  const problems = routes.flatMap(route => problemOf(route, checkDestination(route, own) ?? checkHop(route, interfaces, onLink)))
  return problems.length > 0 ? problems : checkSharing(routes)
}

function problemOf({ key }: Route, fault: Fault | undefined): Problem[] {
  if (!fault) return []
  const [field, message, hint] = fault
  return [{ path: `routes.${key}.${field}`, message, hint }]
}

function checkDestination({ name, destination }: Route, own: Set<string>): Fault | undefined {
  if (destination.length > 0 && isReserved(destination)) return ['destination', `no route leads to ${name}`]
  return own.has(name) ? ['destination', `${name} belongs to an interface and needs no route`] : undefined
}

function checkHop(route: Route, interfaces: Interface[], onLink: typeof checkOnLink): Fault | undefined {
  const { row, via, out, destination } = route
  if (row.type !== 'unicast') return checkNowhere(row)
  if (row.interface !== undefined && !out)
    return ['interface', `there is no interface ${row.interface}`, `There are: ${interfaces.map(({ name }) => name).join(', ')}.`]
  if (via) return checkVia(route, via, onLink)
  if (!out) return ['via', 'is missing', 'Name the next router by `via`, or by `interface` the link on which the destination lies.']
  return checkFamily(out, destination)
}

function checkNowhere({ type, via, interface: named }: Row): Fault | undefined {
  if (via !== undefined) return ['via', `a route of type ${type} leads nowhere`, 'Leave out `via`.']
  return named === undefined ? undefined : ['interface', `a route of type ${type} leads nowhere`, 'Leave out `interface`.']
}

function checkVia({ row, out, destination }: Route, via: Ip, onLink: typeof checkOnLink): Fault | undefined {
  if (via.family !== destination.family) return ['via', `${row.via} is not of the family of ${row.destination}`]
  if (!isLinkLocal(via)) return onLink(via, out)
  return out ? checkFamily(out, destination) : ['interface', 'is missing', 'A link-local `via` needs the interface on whose link it lies.']
}

function checkOnLink(via: Ip, out: Interface | undefined): Fault | undefined {
  const text = formatIp(via)
  const subnet = out && subnetsOf(out).find(candidate => contains(candidate, via))
  if (!subnet)
    return [
      'via',
      `${text} is not on the link of ${out ? `interface ${out.name}` : 'any interface'}`,
      'It must lie in the subnet of an interface.'
    ]
  if (subnet.value === via.value) return ['via', `${text} is this router's own address`]
  return isHostAddress(formatPrefix(subnet), text)
    ? undefined
    : ['via', `${text} is no host's address in ${formatPrefix(networkOf(subnet))}`]
}

/** Many routes have few next hops: each is looked at once. */
function remembering<K, A extends unknown[], R>(look: (key: K, ...more: A) => R): (key: K, ...more: A) => R {
  const seen = new Map<K, R>()
  return (key, ...more) => {
    if (!seen.has(key)) seen.set(key, look(key, ...more))
    return seen.get(key)!
  }
}

function checkFamily({ name, ipv4, ipv6 }: Interface, { family }: Prefix): Fault | undefined {
  return (family === 4 ? ipv4 : ipv6) ? undefined : ['interface', `interface ${name} has no IPv${family} address`]
}

/** Routes with the same destination must be next hops, and different ones. */
function checkSharing(routes: Route[]): Problem[] {
  const shared = [...byDestination(routes).values()].filter(({ length }) => length > 1)
  const problems = shared.flatMap(set => set.flatMap((route, n) => problemOf(route, checkBeside(route, set.slice(0, n)))))
  if (shared.length > GROUPS_MAX) problems.push({ path: 'routes', message: `more than ${GROUPS_MAX} destinations have several next hops` })
  return problems
}

function checkBeside({ name, via, out }: Route, earlier: Route[]): Fault | undefined {
  if (earlier.length === 0) return undefined
  const twin = earlier.find(other => other.via?.value === via?.value && other.out === out)
  if (twin) return ['via', `is the same route as routes.${twin.key}`, 'Give one of them more `weight` instead.']
  if (!via || !earlier[0]!.via)
    return ['destination', `${name} has another route already`, 'Only routes with `via` can share a destination.']
  return earlier.length === BUCKETS ? ['via', `${name} has more than ${BUCKETS} next hops`] : undefined
}
