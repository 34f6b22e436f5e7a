// SPDX-License-Identifier: Apache-2.0
// inkev_stitch: an edge of the graph, the same on all its hosts.

import { createHash } from 'node:crypto'
import { name } from '@inkev/bpf/catalogue/fields'
import { defineResource, hostSet, hostsOf, reflectHosts } from '../resource'
import { isMembers, type Members, type Value } from '../value'

const LONGEST_NAME = 40
const MOST_NAMESAKES = 100

export const stitch = defineResource({
  type: 'inkev_stitch',
  rest: 'stitches',
  description: 'An edge of the graph: joins two attachment points, and leads packets from each to the other.',
  own: {
    name: name({ doc: 'Name of the stitch; made of what it joins if left out.', replace: true, computed: true }),
    hosts: hostSet('The hosts that have the stitch.')
  },
  identity: ['name'],
  hosts: hostsOf,
  reflect: reflectHosts,

  /** What is the same on several hosts would have its addresses several times on their common segment, or join it to another network several times. */
  problems(planned, world) {
    return (['a', 'b'] as const).flatMap(side => {
      const end = planned[side]
      const network = isMembers(end) && typeof end.network === 'string' ? world.intent('networks', end.network) : undefined
      const physical = network?.body.physical
      const shared = isMembers(physical) ? hostsOf(planned).filter(host => host in physical) : []
      if (shared.length < 2) return []
      return [
        {
          path: [{ attribute: 'hosts' }],
          message: `network ${network!.name} meets its other hosts on a physical segment, so what is stitched to it must be on one of ${shared.join(', ')}.`,
          hint: 'Make a function and a stitch for each host (for_each), each with addresses of its own there.'
        }
      ]
    })
  },

  *names({ a, b }) {
    const name = nameOf(`${endText(a)}--${endText(b)}`)
    yield name
    for (let number = 2; number <= MOST_NAMESAKES; number++) yield `${name.slice(0, LONGEST_NAME - 4)}-${number}`
  }
})

function endText(end: Value | undefined): string {
  const named: Members = isMembers(end) ? end : {}
  return ['function', 'network', 'port', 'interface']
    .map(thing => named[thing])
    .filter(name => typeof name === 'string')
    .join('-')
}

/** A long text is cut and ends in its digest. */
function nameOf(text: string): string {
  const plain = text
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
  if (plain.length <= LONGEST_NAME - 4) return plain
  return `${plain.slice(0, 27)}-${createHash('sha256').update(text).digest('hex').slice(0, 8)}`
}
