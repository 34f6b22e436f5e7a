// SPDX-License-Identifier: Apache-2.0
// inkev_host: what a host is and can, as its agent tells.

import { host as hostSchema } from '@inkev/agent/api/resources'
import { group, name } from '@inkev/bpf/catalogue/fields'
import { answersOf, type DataSource } from '../data'
import { attributesOf } from '../schema'
import type { Members } from '../value'

export const host: DataSource = {
  type: 'inkev_host',
  description: 'A host of the provider: its addresses, its kernel, and the kinds of function that its agent has.',
  attributes: { ...answersOf(hostSchema), ...attributesOf(group({ name: name({ doc: 'Name of the host, as in the provider block.' }) })) },

  async read(session, { name }) {
    return (await session.agent(String(name)).host()) as unknown as Members
  }
}
