// SPDX-License-Identifier: Apache-2.0
// What other hosts are told of a port: one endpoint for each network that it joins, without tag or by a tag.

import type { Operation } from './agent'
import { isMembers, type Members, type Value } from './value'

/** An operation that tells where a port's addresses of one network live. */
interface EndpointOperation extends Operation {
  body: { network: string; host: string; mac: string; addresses: string[] }
}

/** One for each network that a port joins, as far as its MAC is known. */
export function endpointOperations(host: string, { name, mac, ...port }: Members): EndpointOperation[] {
  if (typeof mac !== 'string') return []
  return memberships(port).map(({ network, addresses }) => ({
    method: 'PUT',
    resource: 'endpoints',
    name: `${network}.${String(name)}`,
    body: { network, host, mac, addresses }
  }))
}

/** The networks that a port joins, without tag and by tags. */
export function memberships({ network, ip_addresses, vlans }: Members): { network: string; addresses: string[] }[] {
  const rows = [{ network, ip_addresses }, ...(isMembers(vlans) ? Object.values(vlans) : [])]
  return rows.flatMap(row =>
    isMembers(row as Value) && typeof (row as Members).network === 'string'
      ? [{ network: String((row as Members).network), addresses: ((row as Members).ip_addresses ?? []) as string[] }]
      : []
  )
}
