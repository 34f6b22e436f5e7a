// SPDX-License-Identifier: Apache-2.0
// The router's interfaces: their addresses on the link and above it, and which of them leads to an address.

import { derivedMac, type Ip, normalise, type Prefix, parseInterfaceAddress } from '../../catalogue/addresses'
import type { RouterConfig } from './router'

export interface Interface {
  name: string
  mac: string
  row: RouterConfig['interfaces'][string]
  /** Address and subnet in each family; a family without one is not routed here. */
  ipv4?: Prefix
  ipv6?: Prefix
}

export function interfacesOf({ interfaces }: RouterConfig, router: string): Interface[] {
  return Object.entries(interfaces).map(([name, row]) => {
    const addresses = [row.address, row.ipv6_address].flatMap(text => (text === undefined ? [] : [parseInterfaceAddress(text)]))
    return {
      name,
      row,
      mac: normalise(row.mac ?? derivedMac('router', router, name)),
      ipv4: addresses.find(({ family }) => family === 4),
      ipv6: addresses.find(({ family }) => family === 6)
    }
  })
}

export function subnetsOf({ ipv4, ipv6 }: Interface): Prefix[] {
  return [ipv4, ipv6].filter(subnet => subnet !== undefined)
}

/** The interface on whose link the address lies. Link-local addresses lie on every link. */
export function interfaceTowards(interfaces: Interface[], address: Ip): Interface | undefined {
  return interfaces.find(candidate => subnetsOf(candidate).some(subnet => contains(subnet, address)))
}

/** Whether an address, or the whole of a longer prefix, lies in a prefix. */
export function contains(prefix: Prefix, inner: Ip | Prefix): boolean {
  if (inner.family !== prefix.family || ('length' in inner && inner.length < prefix.length)) return false
  const hostBits = BigInt((prefix.family === 4 ? 32 : 128) - prefix.length)
  return inner.value >> hostBits === prefix.value >> hostBits
}

/** The prefix that holds one address only. */
export function hostRoute({ family, value }: Ip): Prefix {
  return { family, value, length: family === 4 ? 32 : 128 }
}

/** As numbers: to read IPv6 text Node compiles a pattern that takes longer than all else a process does at its start. */
export const LINK_LOCAL: Prefix = { family: 6, value: 0xfe80n << 112n, length: 10 }
export const MULTICAST: Prefix = { family: 6, value: 0xff00n << 112n, length: 8 }
/** Of the unspecified and the loopback address, and of those that embed IPv4. */
export const EMBEDDING: Prefix = { family: 6, value: 0n, length: 64 }

export function isLinkLocal(address: Ip): boolean {
  return contains(LINK_LOCAL, address)
}
