// SPDX-License-Identifier: Apache-2.0
// What an instance's image may depend on beside its configuration: the networks at its ports, and who lives in them.

import type { Endpoint, Neighbourhood, Surroundings } from '@inkev/bpf/catalogue/define'
import { resourceKey } from './desired'
import type { Graph, Instance } from './graph'
import type { Target } from './workloads'

/** The numbers by which the kernel knows the parts of the graph. */
export interface Numbers {
  instance(key: string): number
  port(instance: string, port: string): number
  workload(key: string): number
  /** By the VTEP of the remote host. */
  peer(vtep: string): number
}

export function surroundingsOf(graph: Graph, numbers: Numbers, instance: Instance): Omit<Surroundings, 'generation'> {
  const ports = [...instance.ports].map(([port, target]) => [port, neighbourhood(graph, numbers, instance, port, target)] as const)
  const { key, name, network } = instance
  if (!network) return { name, ports: Object.fromEntries(ports) }
  const members = [...graph.workloads.values()].filter(workload => workload.network === name)
  const bridge = {
    vni: network.vni,
    mtu: network.mtu,
    endpoints: [...endpointsOf(graph, numbers, instance), ...staticEndpoints(graph, numbers, instance)],
    port_ids: ascending(members.map(member => numbers.workload(member.key))),
    peers: ascending(graph.remotes.filter(remote => remote.network === name).map(({ vtep }) => numbers.peer(vtep))),
    stitched: ascending([...instance.ports.keys()].map(port => numbers.port(key, port)))
  }
  return { name, ports: Object.fromEntries(ports), bridge }
}

/** In whatever order resources were made: the same surroundings make the same image. */
function ascending(numbers: number[]): number[] {
  return numbers.toSorted((a, b) => a - b)
}

function neighbourhood(graph: Graph, numbers: Numbers, { key }: Instance, port: string, target: Target | undefined): Neighbourhood {
  const number = numbers.port(key, port)
  const found = networkBehind(graph, target)
  if (!found?.network) return { number }
  const { vni, mtu, subnets } = found.network
  return {
    number,
    network: { name: found.name, vni, mtu, cidrs: subnets.map(({ cidr }) => cidr), endpoints: endpointsOf(graph, numbers, found) }
  }
}

/** The instance that a target leads to through functions that change nothing of a frame's addresses. */
function endOfWay(graph: Graph, target: Target | undefined): { instance: Instance; port: string } | undefined {
  const passed = new Set<string>()
  for (let at = target; at && 'instance' in at && !passed.has(at.instance); ) {
    const instance = graph.instances.get(at.instance)
    if (!instance) return undefined
    const others = [...instance.ports].filter(([port]) => port !== (at as { port: string }).port)
    if (instance.network || instance.kind.presents || others.length !== 1) return { instance, port: at.port }
    passed.add(at.instance)
    at = others[0]![1]
  }
  return undefined
}

function networkBehind(graph: Graph, target: Target | undefined): Instance | undefined {
  const end = endOfWay(graph, target)
  return end?.instance.network && end.instance
}

/** Who lives in a network, as far as it is declared: its workloads here and elsewhere, and the functions that have addresses in it. */
function endpointsOf(graph: Graph, numbers: Numbers, network: Instance): Endpoint[] {
  const local = [...graph.workloads.values()]
    .filter(workload => workload.network === network.name && workload.mac !== undefined)
    .map(({ key, mac, addresses }) => ({ mac: mac!, addresses, port_id: numbers.workload(key) }))
  const remote = graph.remoteAddresses
    .filter(address => address.network === network.name)
    .flatMap(({ host, mac, addresses }) => {
      const vtep = vtepOf(graph, network.name, host)
      return vtep === undefined ? [] : [{ mac, addresses, peer: numbers.peer(vtep) }]
    })
  const functions = [...network.ports].flatMap(([port, target]) => {
    const end = endOfWay(graph, target)
    const presence = end?.instance.kind.presents?.(end.instance.config as never, end.instance.name)[end.port]
    return presence ? [{ ...presence, bridge_port: numbers.port(network.key, port) }] : []
  })
  return [...functions, ...local, ...remote].toSorted((a, b) => (a.mac < b.mac ? -1 : 1))
}

function staticEndpoints(graph: Graph, numbers: Numbers, { name, network }: Instance): Endpoint[] {
  return Object.values(network!.staticEntries).flatMap(({ mac, port, host }): Endpoint[] => {
    const workload = port === undefined ? undefined : graph.workloads.get(resourceKey('ports', port))
    if (workload?.network === name) return [{ mac, addresses: [], port_id: numbers.workload(workload.key) }]
    const vtep = host === undefined ? undefined : vtepOf(graph, name, host)
    return vtep === undefined ? [] : [{ mac, addresses: [], peer: numbers.peer(vtep) }]
  })
}

function vtepOf({ remotes }: Graph, network: string, host: string): string | undefined {
  return remotes.find(remote => remote.network === network && remote.host === host)?.vtep
}
