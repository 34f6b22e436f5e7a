// SPDX-License-Identifier: Apache-2.0
// The hosts among which a NAT's sessions are divided: whose a port and an inside address are, and how they find one another.

import { createHash } from 'node:crypto'
import { derivedMac } from '../../catalogue/addresses'
import type { Entry } from '../../catalogue/define'
import { parsePortRange } from '../../catalogue/fields'
import type { NatConfig } from './nat'

export const GATEWAYS_MAX = 64
/** As many inside addresses share their gateway with others; NAT_EXITS in gateways.h. */
const EXITS = 256
const PORT_BITS = 16

type Ports = [first: number, last: number]

/** The MAC addresses of the instance on a host at its outside, by what is led to it: packets for the inside, packets for the outside. */
function macsOf(name: string, host: string): [inward: string, outward: string] {
  return [derivedMac('nat', name, host, 'inward'), derivedMac('nat', name, host, 'outward')]
}

export function gatewayMacs({ gateways = {} }: NatConfig, name: string): Record<string, string[]> {
  return Object.fromEntries(Object.keys(gateways).map(host => [host, macsOf(name, host)]))
}

/** Of a range of outside ports those that this host gives to sessions; undefined: none. */
export function ownPorts({ gateways }: NatConfig, host: string, [first, last]: Ports): Ports | undefined {
  if (!gateways) return [first, last]
  const own = gateways[host] && parsePortRange(gateways[host].ports)
  if (!own) return undefined
  const shared: Ports = [Math.max(first, own[0]), Math.min(last, own[1])]
  return shared[0] <= shared[1] ? shared : undefined
}

/** The tables by which a host finds the gateway of a session. Numbers of gateways are the host's own; 0 is itself. */
export function gatewayTables({ gateways = {} }: NatConfig, name: string, host: string): Record<'gateways' | 'shares', Entry[]> {
  const others = Object.keys(gateways)
    .filter(other => other !== host)
    .toSorted()
  const numberOf = (gateway: string | undefined) => (gateway === undefined ? 0 : others.indexOf(gateway) + 1)
  const macs = [host, ...others].map(each => macsOf(name, each)).flatMap((pair, number) => pair.map((mac, way) => [2 * number + way, mac]))
  const exits = Array.from({ length: EXITS }, (_, slot) => numberOf(exitOf(Object.keys(gateways), slot)))
  return {
    gateways: [{ key: 0, value: { macs: fill(macs as [number, string][]), exits, count: Object.keys(gateways).length } }],
    shares: others.flatMap(other => prefixesOf(parsePortRange(gateways[other]!.ports)).map(key => ({ key, value: numberOf(other) })))
  }
}

const NOBODY = '00:00:00:00:00:00'

function fill(macs: [number, string][]): string[] {
  const all = new Array<string>(2 * (GATEWAYS_MAX + 1)).fill(NOBODY)
  for (const [at, mac] of macs) all[at] = mac
  return all
}

/** The gateway that wants the slot most (rendezvous hashing): where one leaves, only its own slots move. */
function exitOf(gateways: string[], slot: number): string | undefined {
  const wish = (gateway: string) => createHash('sha256').update(`${slot} ${gateway}`).digest('hex')
  const wishes = gateways.map(gateway => [wish(gateway), gateway] as const)
  return wishes.toSorted(([a], [b]) => (a < b ? -1 : 1))[0]?.[1]
}

/** The fewest prefixes that cover a range of ports. */
function prefixesOf([first, last]: Ports): { length: number; port: number }[] {
  const prefixes = []
  for (let port = first; port <= last; ) {
    let free = port === 0 ? PORT_BITS : 31 - Math.clz32(port & -port)
    while (port + 2 ** free - 1 > last) free--
    prefixes.push({ length: PORT_BITS - free, port })
    port += 2 ** free
  }
  return prefixes
}
