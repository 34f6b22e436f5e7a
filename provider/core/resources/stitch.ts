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
