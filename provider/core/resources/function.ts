// SPDX-License-Identifier: Apache-2.0
// inkev_function: an instance of one kind of the catalogue, the same on all its hosts. Every kind is an attribute; none is named here.

import { defineResource, hostsAttribute, hostsOf, nameAttribute } from '../resource'
import type { Members } from '../value'

export const networkFunction = defineResource({
  type: 'inkev_function',
  rest: 'functions',
  description: 'A network function: exactly one attribute, its kind, holds its configuration.',
  attributes: {
    name: nameAttribute('Name of the function.'),
    hosts: hostsAttribute('The hosts that have the function; it is loaded where a local workload can reach it.')
  },
  identity: ['name'],
  hosts: hostsOf,

  /** A function cannot become one of another kind. */
  replaces(planned, prior) {
    return kindsOf(planned)
      .filter(kind => !kindsOf(prior).includes(kind))
      .map(kind => [{ attribute: kind }])
  },

  async reflect(_session, state, found) {
    return { ...state, hosts: [...found.keys()].toSorted() }
  }
})

function kindsOf(state: Members): string[] {
  return Object.keys(networkFunction.fields).filter(kind => (state[kind] ?? null) !== null)
}
