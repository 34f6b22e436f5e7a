// SPDX-License-Identifier: Apache-2.0
// The rows of a router's table of routes, read.

import { formatPrefix, type Ip, type Prefix, parseCidr, parseIp } from '../../catalogue/addresses'
import { type Interface, interfaceTowards } from './interfaces'
import type { RouterConfig } from './router'

export type Row = NonNullable<RouterConfig['routes']>[string]

export interface Route {
  key: string
  row: Row
  destination: Prefix
  /** The destination as canonical text: routes with the same one share its flows. */
  name: string
  via?: Ip
  /** Where it leaves; undefined where neither `interface` nor `via` tells. */
  out?: Interface
}

export function routesOf({ routes = {} }: RouterConfig, interfaces: Interface[]): Route[] {
  const vias = new Map<string, Pick<Route, 'via' | 'out'>>()
  return Object.entries(routes).map(([key, row]) => {
    const destination = parseCidr(row.destination)
    const known = `${row.via} ${row.interface}`
    const hop = vias.get(known) ?? hopOf(row, interfaces)
    vias.set(known, hop)
    return { key, row, destination, name: formatPrefix(destination), ...hop }
  })
}

function hopOf({ via, interface: named }: Row, interfaces: Interface[]): Pick<Route, 'via' | 'out'> {
  const address = via === undefined ? undefined : parseIp(via)
  const out = named === undefined ? address && interfaceTowards(interfaces, address) : interfaces.find(({ name }) => name === named)
  return { via: address, out }
}

/** The routes of each destination. */
export function byDestination(routes: Route[]): Map<string, Route[]> {
  const sets = new Map<string, Route[]>()
  for (const route of routes) {
    const others = sets.get(route.name)
    if (others) others.push(route)
    else sets.set(route.name, [route])
  }
  return sets
}
