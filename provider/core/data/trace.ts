// SPDX-License-Identifier: Apache-2.0
// inkev_trace: what would become of a packet on a host, step by step; for checks that a change keeps open what must be open, and closed what must be closed.

import { traceRequest, traceTable } from '@inkev/agent/api/trace'
import { group, name } from '@inkev/bpf/catalogue/fields'
import { answersOf, type DataSource } from '../data'
import { withoutNull } from '../plan'
import { attributesOf } from '../schema'
import type { Members, Value } from '../value'

export const trace: DataSource = {
  type: 'inkev_trace',
  description:
    'Sends a described packet through a copy of the graph that a host runs now, and tells every step to its end. Nothing that runs notices it.',
  attributes: {
    ...attributesOf(group({ host: name({ doc: 'Name of the host, as in the provider block.' }) })),
    ...attributesOf(traceRequest),
    ...answersOf(traceTable)
  },

  async read(session, { host, from, packet }) {
    const agent = session.agent(String(host))
    await agent.host()
    const { steps, ...told } = await agent.trace(withoutNull({ from: from!, packet: packet! }) as Members)
    const rows = steps.map((step, n): [string, Value] => [String(n + 1).padStart(3, '0'), step as Value])
    return { ...told, host: host!, from: from!, packet: packet!, steps: Object.fromEntries(rows) }
  }
}
