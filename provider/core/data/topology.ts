// SPDX-License-Identifier: Apache-2.0
// inkev_topology: the graph that a host runs now, as a drawing.

import { choice, group, name, text } from '@inkev/bpf/catalogue/fields'
import { answersOf, type DataSource } from '../data'
import { attributesOf } from '../schema'

const FORMATS = ['mermaid', 'dot', 'json'] as const

export const topology: DataSource = {
  type: 'inkev_topology',
  description: 'The graph of functions and stitches that a host runs now, and how each part fares.',
  attributes: {
    ...attributesOf(
      group({
        host: name({ doc: 'Name of the host.' }),
        format: choice(FORMATS, { doc: 'Language of the drawing.', default: 'mermaid' })
      })
    ),
    ...answersOf(group({ drawing: text({ doc: 'The drawing, as text in that language.' }) }))
  },

  async read(session, { host, format }) {
    const agent = session.agent(String(host))
    await agent.host(session.signal)
    const drawn = await agent.topology(String(format), session.signal)
    return { host: host!, format: format!, drawing: typeof drawn === 'string' ? drawn : JSON.stringify(drawn) }
  }
}
