// SPDX-License-Identifier: Apache-2.0
// inkev_function: an instance of one kind of the catalogue, the same on all its hosts. Every kind is an attribute; none is named here.

import { name, text } from '@inkev/bpf/catalogue/fields'
import { Type } from '@sinclair/typebox'
import { defineResource, hostSet, hostsOf, reflectHosts } from '../resource'
import type { Members } from '../value'

export const networkFunction = defineResource({
  type: 'inkev_function',
  rest: 'functions',
  description: 'A network function: exactly one attribute, its kind, holds its configuration.',
  own: {
    name: name({ doc: 'Name of the function.', replace: true }),
    hosts: hostSet('The hosts that have the function; it is loaded where a local workload can reach it.'),
    code: Type.Array(text({ doc: 'Digest.', maxLength: 64 }), {
      description:
        'SHA-256 of the code that runs, as of the last refresh: of several versions while only some hosts have the next one; none where it is loaded nowhere.',
      uniqueItems: true
    })
  },
  adjust: { code: { required: false, computed: true, follows: ['hosts'] } },
  identity: ['name'],
  hosts: hostsOf,
  reflect: reflectHosts,

  gather(found) {
    return { code: [...new Set([...found.values()].flatMap(({ item }) => item.status?.code ?? []))].toSorted() }
  },

  /** A function cannot become one of another kind. */
  replaces(planned, prior) {
    return kindsOf(planned)
      .filter(kind => !kindsOf(prior).includes(kind))
      .map(kind => [{ attribute: kind }])
  }
})

function kindsOf(state: Members): string[] {
  return Object.keys(networkFunction.fields).filter(kind => (state[kind] ?? null) !== null)
}
