// SPDX-License-Identifier: Apache-2.0
// The graph of this host as data, and as drawings: Graphviz DOT and Mermaid.

import type { Status } from '../api/resources'
import type { Desired, StitchEnd } from './model/desired'
import { inWords, resourceKey } from './model/desired'
import { networksOf } from './model/resolve'

export interface Topology {
  nodes: {
    id: string
    type: 'network' | 'function' | 'port' | 'interface' | 'host'
    name: string
    kind?: string
    state?: Status['state']
    /** Why it is not active. */
    reason?: string
  }[]
  edges: { from: string; to: string; label: string }[]
}

/** Everything that is declared, with how it fares; a port's chain is drawn between it and its network. */
export function topologyOf(desired: Desired, statuses: ReadonlyMap<string, Status>): Topology {
  const state = (key: string): Status => statuses.get(key) ?? { state: 'pending' }
  const interfaces = new Set(
    [...desired.stitches.values()].flatMap(({ a, b }) => [a.interface, b.interface]).filter(name => name !== undefined)
  )
  const hosts = new Set([...desired.peers.values()].map(({ host }) => host))
  const nodes: Topology['nodes'] = [
    ...[...desired.networks.keys()].map(name => ({
      id: resourceKey('networks', name),
      type: 'network' as const,
      name,
      ...state(resourceKey('networks', name))
    })),
    ...[...desired.functions].map(([name, declared]) => ({
      id: resourceKey('functions', name),
      type: 'function' as const,
      name,
      kind: Object.keys(declared)[0]!,
      ...state(resourceKey('functions', name))
    })),
    ...[...desired.ports.keys()].map(name => ({
      id: resourceKey('ports', name),
      type: 'port' as const,
      name,
      ...state(resourceKey('ports', name))
    })),
    ...[...interfaces].map(name => ({ id: `interfaces/${name}`, type: 'interface' as const, name })),
    ...[...hosts].map(name => ({ id: `hosts/${name}`, type: 'host' as const, name }))
  ]
  const known = new Set(nodes.map(({ id }) => id))
  return { nodes, edges: edgesOf(desired).filter(({ from, to }) => known.has(from) && known.has(to)) }
}

function edgesOf({ ports, stitches, peers }: Desired): Topology['edges'] {
  const chains = [...ports].flatMap(([name, port]) => {
    const way = [resourceKey('ports', name), ...port.chain.map(fn => resourceKey('functions', fn))]
    const ends = networksOf(port).map(network => ({ from: way.at(-1)!, to: resourceKey('networks', network), label: '' }))
    return [...way.slice(1).map((to, n) => ({ from: way[n]!, to, label: '' })), ...ends]
  })
  const stitched = [...stitches.values()].map(({ a, b }) => ({
    from: idOf(a),
    to: idOf(b),
    label: [portOf(a), portOf(b)].filter(Boolean).join(' – ')
  }))
  const tunnels = [...peers.values()].map(({ network, host, vtep }) => ({
    from: resourceKey('networks', network),
    to: `hosts/${host}`,
    label: vtep
  }))
  return distinct([...chains, ...stitched, ...tunnels])
}

function idOf(end: StitchEnd): string {
  if (end.function !== undefined) return resourceKey('functions', end.function)
  if (end.network !== undefined) return resourceKey('networks', end.network)
  return end.interface === undefined ? resourceKey('ports', end.port!) : `interfaces/${end.interface}`
}

function portOf(end: StitchEnd): string {
  return end.function === undefined ? '' : end.port!
}

function distinct(edges: Topology['edges']): Topology['edges'] {
  return [...new Map(edges.map(edge => [JSON.stringify(edge), edge])).values()]
}

const SHAPES = { network: 'ellipse', function: 'box', port: 'plaintext', interface: 'cds', host: 'box3d' }

export function asDot({ nodes, edges }: Topology): string {
  const lines = [
    ...nodes.map(
      node => `  ${quoted(node.id)} [label=${quoted(labelOf(node))} shape=${SHAPES[node.type]}${isActive(node) ? '' : ' style=dashed'}]`
    ),
    ...edges.map(({ from, to, label }) => `  ${quoted(from)} -- ${quoted(to)}${label ? ` [label=${quoted(label)}]` : ''}`)
  ]
  return `graph inkev {\n  rankdir=LR\n${lines.join('\n')}\n}\n`
}

const BRACKETS = { network: ['([', '])'], function: ['[', ']'], port: ['(', ')'], interface: ['>', ']'], host: ['[[', ']]'] }

export function asMermaid({ nodes, edges }: Topology): string {
  const numbers = new Map(nodes.map(({ id }, n) => [id, `n${n}`]))
  const lines = [
    ...nodes.map(node => {
      const [open, close] = BRACKETS[node.type]
      return `  ${numbers.get(node.id)}${open}${quoted(labelOf(node))}${close}`
    }),
    ...edges.map(({ from, to, label }) => `  ${numbers.get(from)} ---${label ? `|${quoted(label)}|` : ''} ${numbers.get(to)}`)
  ]
  return `graph LR\n${lines.join('\n')}\n`
}

function labelOf({ type, name, kind, state }: Topology['nodes'][number]): string {
  const words = kind ? `${kind} ${name}` : type === 'interface' || type === 'host' ? `${type} ${name}` : inWords(`${type}s/${name}`)
  return state === undefined || state === 'active' ? words : `${words} (${state})`
}

function isActive({ state }: Topology['nodes'][number]): boolean {
  return state === undefined || state === 'active'
}

function quoted(text: string): string {
  return `"${text.replaceAll('"', "'")}"`
}
