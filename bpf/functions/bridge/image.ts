// SPDX-License-Identifier: Apache-2.0
// The contents of a bridge's kernel tables: where the known addresses are, and who gets a copy of what is for all.

import type { Endpoint, Entry, Image, Surroundings, Value } from '../../catalogue/define'

/** Of each of the two flood lists; FLOOD_MAX in flood.h. */
export const FLOOD_MAX = 8192

export function bridgeImage(_config: unknown, { bridge, generation }: Surroundings): Image {
  const { endpoints = [], port_ids = [], peers = [], stitched = [] } = bridge ?? {}
  const copies = [
    ...port_ids.map(target => ({ place: 'workload', target })),
    ...stitched.map(target => ({ place: 'port', target })),
    ...peers.map(target => ({ place: 'peer', target }))
  ]
  /** The two lists take turns: the new one is written where no packet looks, then made to count. */
  const start = (generation % 2) * FLOOD_MAX
  return {
    maps: {
      stations: endpoints.map(endpoint => ({ key: endpoint.mac, value: locationOf(endpoint) })),
      neighbours: endpoints.flatMap(neighboursOf),
      copies: copies.map((value, n) => ({ key: start + n, value }))
    },
    commit: { map: 'edition', entries: [{ key: 0, value: { start, count: copies.length, generation } }] }
  }
}

function locationOf({ port_id, peer, bridge_port }: Endpoint): Value {
  if (port_id !== undefined) return { place: 'workload', target: port_id }
  if (bridge_port !== undefined) return { place: 'port', target: bridge_port }
  if (peer !== undefined) return { place: 'peer', target: peer }
  throw new TypeError('an endpoint is at no place')
}

/** A function that a network is stitched to answers as a router does. */
function neighboursOf({ mac, addresses, bridge_port }: Endpoint): Entry[] {
  return addresses.map(address => ({ key: address, value: { mac, is_router: bridge_port !== undefined } }))
}
