// SPDX-License-Identifier: Apache-2.0
// The numbers of the parts of a graph, from the stored allocation.

import { portNames } from '@inkev/bpf/catalogue/define'
import { type Desired, kindOf, resourceKey } from './model/desired'
import type { Graph, Instance } from './model/graph'
import type { Numbers } from './model/surroundings'
import type { Ids, Wanted } from './store/ids'

/** Every number that a graph needs; and of all functions those of their ports, for these are told to clients. */
export function numbersWanted({ instances, workloads, remotes }: Graph, desired: Desired): Wanted[] {
  const networks = [...instances.values()].filter(({ network }) => network)
  return [
    ...[...instances.keys()].map(key => ({ space: 'instance', key })),
    ...networks.flatMap(({ key, ports }) => [...ports.keys()].map(port => ({ space: `ports/${key}`, key: port }))),
    ...[...desired.functions].flatMap(([name, declared]) => {
      const known = kindOf(desired, declared)
      if (!known || Array.isArray(known.kind.ports)) return []
      return portNames(known.kind, known.config).map(port => ({ space: `ports/${resourceKey('functions', name)}`, key: port }))
    }),
    ...[...workloads.keys()].map(key => ({ space: 'workload', key })),
    ...[...new Set(remotes.map(({ vtep }) => vtep))].map(key => ({ space: 'peer', key }))
  ]
}

export function numbersOf(graph: Graph, ids: Ids): Numbers {
  const number = (space: string, key: string) => {
    const id = ids.get(space, key)
    if (id === undefined) throw new Error(`${space} ${key} has no number`)
    return id
  }
  return {
    instance: key => number('instance', key),
    workload: key => number('workload', key),
    peer: vtep => number('peer', vtep),
    port: (key, port) => portNumber(graph.instances.get(key)!, port, () => number(`ports/${key}`, port))
  }
}

/** Ports that a kind declares by name come first, those that a configuration or a stitch adds behind them. */
function portNumber({ kind }: Pick<Instance, 'kind'>, port: string, added: () => number): number {
  const declared = Array.isArray(kind.ports) ? (kind.ports as readonly string[]) : []
  const position = declared.indexOf(port)
  return position >= 0 ? position : declared.length + added()
}

/** The ports of a function by name, as clients see them. */
export function portNumbersOf(name: string, desired: Desired, ids: Ids): Record<string, number> {
  const known = kindOf(desired, desired.functions.get(name)!)
  if (!known) return {}
  const { kind, config } = known
  const key = resourceKey('functions', name)
  return Object.fromEntries(
    portNames(kind, config).map(port => [port, portNumber({ kind }, port, () => ids.get(`ports/${key}`, port) ?? 0)])
  )
}
