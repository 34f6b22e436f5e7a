// SPDX-License-Identifier: Apache-2.0
// inkev_topology: the graph that a host runs now, as a drawing.

import { choice } from '@inkev/bpf/catalogue/fields'
import { answers, type DataSource } from '../data'
import { nameAttribute } from '../resource'
import { attributeOf } from '../schema'

export const topology: DataSource = {
  type: 'inkev_topology',
  description: 'The graph of functions and stitches that a host runs now, and how each part fares.',
  attributes: {
    host: nameAttribute('Name of the host.'),
    format: attributeOf(choice(['mermaid', 'dot', 'json'], { doc: 'Language of the drawing.', default: 'mermaid' })),
    ...answers({ drawing: { shape: 'scalar', type: 'string', description: 'The drawing, as text in that language.' } })
  },

  async read(session, { host, format }) {
    const agent = session.agent(String(host))
    await agent.host(session.signal)
    const drawn = await agent.topology(String(format ?? 'mermaid'), session.signal)
    return { host: host!, format: format ?? 'mermaid', drawing: typeof drawn === 'string' ? drawn : JSON.stringify(drawn) }
  }
}
