// SPDX-License-Identifier: Apache-2.0
// What is wrong with a router's configuration, beyond what its schema can say.

import {
  formatIp,
  formatPrefix,
  type Ip,
  isHostAddress,
  networkOf,
  normalise,
  type Prefix,
  parseCidr,
  parseIp,
  parseMac
} from '../../catalogue/addresses'
import type { Problem } from '../../catalogue/define'
import { BUCKETS, GROUPS_MAX } from './ecmp'
import { contains, hostRoute, type Interface, interfacesOf, interfaceTowards, isLinkLocal, subnetsOf } from './interfaces'
import type { RouterConfig } from './router'

type Row = NonNullable<RouterConfig['routes']>[string]

/** No host lives there and no route leads there: this host, loopback, multicast and reserved; in IPv6 also link-local and what embeds IPv4. */
const RESERVED = ['0.0.0.0/8', '127.0.0.0/8', '224.0.0.0/3', '::/64', 'fe80::/10', 'ff00::/8'].map(parseCidr)

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

function checkRoutes({ routes = {} }: RouterConfig, interfaces: Interface[]): Problem[] {
  const own = new Set(interfaces.flatMap(subnetsOf).flatMap(subnet => [formatPrefix(networkOf(subnet)), formatPrefix(hostRoute(subnet))]))
  const rows = Object.entries(routes)
  const problems = rows.flatMap(([key, row]) => problemOf(key, checkDestination(row, own) ?? checkHop(row, interfaces)))
  return problems.length > 0 ? problems : checkSharing(rows)
}

function problemOf(key: string, fault: Fault | undefined): Problem[] {
  if (!fault) return []
  const [field, message, hint] = fault
  return [{ path: `routes.${key}.${field}`, message, hint }]
}

function checkDestination({ destination }: Row, own: Set<string>): Fault | undefined {
  try {
    const prefix = parseCidr(destination)
    if (prefix.length > 0 && isReserved(prefix)) return ['destination', `no route leads to ${destination}`]
  } catch (error) {
    return ['destination', (error as RangeError).message]
  }
  return own.has(normalise(destination)) ? ['destination', `${destination} belongs to an interface and needs no route`] : undefined
}

/** Rows with the same destination must be next hops, and different ones. */
function checkSharing(rows: [key: string, row: Row][]): Problem[] {
  const sets = new Map<string, [key: string, row: Row][]>()
  const problems = rows.flatMap(([key, row]) => {
    const name = normalise(row.destination)
    const earlier = sets.get(name) ?? []
    sets.set(name, [...earlier, [key, row]])
    return problemOf(key, checkBeside(row, earlier))
  })
  const shared = [...sets.values()].filter(({ length }) => length > 1)
  if (shared.length > GROUPS_MAX) problems.push({ path: 'routes', message: `more than ${GROUPS_MAX} destinations have several next hops` })
  return problems
}

function checkBeside(row: Row, earlier: [key: string, row: Row][]): Fault | undefined {
  const same = (other: Row) => normalise(row.via ?? '') === normalise(other.via ?? '') && row.interface === other.interface
  const twin = earlier.find(([, other]) => same(other))
  if (twin) return ['via', `is the same route as routes.${twin[0]}`, 'Give one of them more `weight` instead.']
  if (earlier.length > 0 && [row, earlier[0]![1]].some(({ via }) => via === undefined))
    return ['destination', `${row.destination} has another route already`, 'Only routes with `via` can share a destination.']
  return earlier.length === BUCKETS ? ['via', `${row.destination} has more than ${BUCKETS} next hops`] : undefined
}

function checkHop(row: Row, interfaces: Interface[]): Fault | undefined {
  const destination = parseCidr(row.destination)
  const named = interfaces.find(({ name }) => name === row.interface)
  if (row.type !== 'unicast') {
    if (row.via !== undefined) return ['via', `a ${row.type} route leads nowhere`, 'Leave out `via`.']
    if (row.interface !== undefined) return ['interface', `a ${row.type} route leads nowhere`, 'Leave out `interface`.']
    return undefined
  }
  if (row.interface !== undefined && !named)
    return ['interface', `there is no interface ${row.interface}`, `There are: ${interfaces.map(({ name }) => name).join(', ')}.`]
  if (row.via === undefined) {
    if (!named) return ['via', 'is missing', 'Name the next router by `via`, or by `interface` the link on which the destination lies.']
    return checkFamily(named, destination)
  }
  const via = parseIp(row.via)
  if (via.family !== destination.family) return ['via', `${row.via} is not of the family of ${row.destination}`]
  if (isLinkLocal(via))
    return named
      ? checkFamily(named, destination)
      : ['interface', 'is missing', 'A link-local `via` needs the interface on whose link it lies.']
  const towards = interfaceTowards(interfaces, via)
  if (!towards)
    return ['via', `${row.via} lies in the subnet of none of the interfaces`, 'The next router must be on the link of an interface.']
  if (named && named !== towards) return ['interface', `${row.via} lies in the subnet of interface ${towards.name}`]
  const subnet = subnetsOf(towards).find(({ family }) => family === via.family)!
  if (subnet.value === via.value) return ['via', `${row.via} is this router's own address`]
  if (!isHostAddress(formatPrefix(subnet), row.via)) return ['via', `${row.via} is no host's address in ${formatPrefix(networkOf(subnet))}`]
  return undefined
}

function checkFamily({ name, ipv4, ipv6 }: Interface, { family }: Prefix): Fault | undefined {
  return (family === 4 ? ipv4 : ipv6) ? undefined : ['interface', `interface ${name} has no IPv${family} address`]
}
