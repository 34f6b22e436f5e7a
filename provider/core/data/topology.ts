// SPDX-License-Identifier: Apache-2.0
// inkev_topology: the graph that a host runs now, drawn, and how each part of it fares.

import { status } from '@inkev/agent/api/resources'
import { choice, group, name, optional, table, text } from '@inkev/bpf/catalogue/fields'
import { answersOf, type DataSource } from '../data'
import { attributesOf } from '../schema'
import type { Members, Value } from '../value'

const FORMATS = ['mermaid', 'dot'] as const

const given = group({
  host: name({ doc: 'Name of the host.' }),
  format: choice(FORMATS, { doc: 'Language of the drawing.', default: 'mermaid' })
})

const answered = group({
  drawing: text({ doc: 'The drawing, as text in that language.' }),
  nodes: table({
    doc: 'What the graph is made of, by `<type>s/<name>`.',
    max: Number.MAX_SAFE_INTEGER,
    fields: {
      type: text({ doc: 'network, function, port, interface or host.' }),
      name: text({ doc: 'Its name.' }),
      kind: optional(text({ doc: 'Of a function: its kind.' })),
      state: optional(status.properties.state),
      reason: optional(status.properties.reason)
    }
  })
})

export const topology: DataSource = {
  type: 'inkev_topology',
  description: 'The graph of functions and stitches that a host runs now, and how each part fares.',
  attributes: { ...attributesOf(given), ...answersOf(answered) },

  async read(session, { host, format }) {
    const agent = session.agent(String(host))
    await agent.host()
    const [drawing, { nodes }] = await Promise.all([
      agent.topology(String(format)) as Promise<string>,
      agent.topology('json') as Promise<{ nodes: (Members & { id: string })[] }>
    ])
    return { host: host!, format: format!, drawing, nodes: Object.fromEntries(nodes.map((node): [string, Value] => [node.id, node])) }
  }
}
