// SPDX-License-Identifier: Apache-2.0
// Finds rings of stitches in which a packet could go round for ever.

import { type Desired, kindOf, type StitchEnd } from './desired'

interface Edge {
  from: string
  to: string
}

/**
 * A ring as the names of its nodes, first and last alike; undefined when there is none. Networks and transparent functions pass frames on as they are; a
 * kind that has addresses of its own at its ports (`presents`) routes, and so ends the ring.
 */
export function findLoop(desired: Desired): string[] | undefined {
  const edges = [...desired.stitches.values()].flatMap(({ a, b }) => {
    const [from, to] = [nodeOf(desired, a), nodeOf(desired, b)]
    return from && to ? [{ from, to }] : []
  })
  const parents = new Map<string, string>()
  for (const [position, { from, to }] of edges.entries()) {
    const [one, other] = [rootOf(parents, from), rootOf(parents, to)]
    if (one === other) return [...findWay(edges.slice(0, position), from, to), from]
    parents.set(one, other)
  }
  return undefined
}

/** The representative of the nodes that are joined to this one so far. */
function rootOf(parents: Map<string, string>, node: string): string {
  let root = node
  for (let parent = parents.get(root); parent !== undefined; parent = parents.get(root)) root = parent
  return root
}

function nodeOf(desired: Desired, { network, function: name }: StitchEnd): string | undefined {
  if (network !== undefined) return `network ${network}`
  const declared = name === undefined ? undefined : desired.functions.get(name)
  const known = declared && kindOf(desired, declared)
  return known && !known.kind.presents ? `function ${name}` : undefined
}

/** The nodes from one to the other, which are joined; breadth first. */
function findWay(edges: Edge[], from: string, to: string): string[] {
  const previous = new Map<string, string | undefined>([[from, undefined]])
  const queue = [from]
  for (let node = queue.shift(); node !== undefined && node !== to; node = queue.shift())
    for (const edge of edges) {
      const next = edge.from === node ? edge.to : edge.to === node ? edge.from : undefined
      if (next === undefined || previous.has(next)) continue
      previous.set(next, node)
      queue.push(next)
    }
  const way: string[] = []
  for (let node: string | undefined = to; node !== undefined; node = previous.get(node)) way.unshift(node)
  return way
}
