// SPDX-License-Identifier: Apache-2.0
// Draws a host's topology on a terminal: each network, and what lies around it.

import type { Topology } from '@inkev/agent/src/topology'

type Node = Topology['nodes'][number]

/**
 *   edge-1
 *     [web]─┬─ web1
 *           ├─ <gateway: router>── [db]
 *           └═ edge-2 (VXLAN to 192.0.2.2)
 */
export function drawTopology(host: string, topology: Topology): string {
  const networks = topology.nodes.filter(({ type }) => type === 'network')
  return [`  ${host}`, ...networks.flatMap(network => drawNetwork(topology, network))].join('\n')
}

function drawNetwork(topology: Topology, network: Node): string[] {
  const head = `    ${labelOf(network)}─`
  const around = neighbours(topology, network)
  return around.map(({ node, label }, position) => {
    const start = position === 0 ? head : ' '.repeat(head.length)
    const fork = around.length === 1 ? '─' : position === 0 ? '┬' : position === around.length - 1 ? '└' : '├'
    const way = node.type === 'host' ? `═ ${node.name} (VXLAN to ${label})` : `─ ${drawWay(topology, node, network)}`
    return `${start}${fork}${way}`
  })
}

/** A node and, through functions, what lies behind it as seen from another. */
function drawWay(topology: Topology, node: Node, from: Node): string {
  if (node.type !== 'function') return labelOf(node)
  const beyond = neighbours(topology, node).filter(({ node }) => node.id !== from.id)
  return [labelOf(node), beyond.map(next => drawWay(topology, next.node, node)).join(', ')].filter(Boolean).join('── ')
}

function neighbours({ nodes, edges }: Topology, { id }: Node): Array<{ node: Node; label: string }> {
  return edges.flatMap(({ from, to, label }) => {
    const other = from === id ? to : to === id ? from : undefined
    const node = nodes.find(node => node.id === other)
    return node ? [{ node, label }] : []
  })
}

function labelOf({ type, name, kind, state }: Node): string {
  const label = type === 'network' ? `[${name}]` : type === 'function' ? `<${name}: ${kind}>` : name
  return state === undefined || state === 'active' ? label : `${label} (${state})`
}
