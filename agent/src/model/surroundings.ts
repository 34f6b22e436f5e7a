// SPDX-License-Identifier: Apache-2.0
// What an instance's image may depend on beside its configuration: the networks at its ports, and who lives in them.

import type { Endpoint, Neighbourhood, Presence, Surroundings } from '@inkev/bpf/catalogue/define'
import { resourceKey } from './desired'
import type { Graph, Instance, Remote, RemoteAddress } from './graph'
import type { Target, Workload } from './workloads'

/** The numbers by which the kernel knows the parts of the graph. */
export interface Numbers {
  instance(key: string): number
  port(instance: string, port: string): number
  workload(key: string): number
  /** By the VTEP of the remote host. */
  peer(vtep: string): number
}

/** A function on a way, and the port by which the way enters it. */
interface Step {
  instance: Instance
  port: string
  /** Whether the way goes no further: a network, a function with addresses of its own, or one with more ports than two. */
  ends: boolean
}

/** The surroundings of the instances of one graph. What several of them share is found once. */
export class Situation {
  private readonly workloads: ReadonlyMap<string | undefined, Workload[]>
  private readonly remotes: ReadonlyMap<string, Remote[]>
  private readonly remoteAddresses: ReadonlyMap<string, RemoteAddress[]>
  private readonly endpoints = new Map<Instance, Endpoint[]>()
  private readonly presences = new Map<Instance, Record<string, Presence>>()

  constructor(
    private readonly graph: Graph,
    private readonly numbers: Numbers
  ) {
    this.workloads = byNetwork(graph.workloads.values())
    this.remotes = byNetwork(graph.remotes)
    this.remoteAddresses = byNetwork(graph.remoteAddresses)
  }

  of(instance: Instance): Omit<Surroundings, 'generation'> {
    const { numbers } = this
    const { key, name, network, ports, troubles } = instance
    const { failing } = troubles
    const { host } = this.graph
    const around = Object.fromEntries([...ports].map(([port, target]) => [port, this.neighbourhood(instance, port, target)]))
    if (!network) return { name, host, ports: around, ...(failing.size > 0 && { failing: [...failing.keys()].toSorted() }) }
    const members = this.workloads.get(name) ?? []
    const remotes = this.remotes.get(name) ?? []
    const bridge = {
      ...(network.vni !== undefined && { vni: network.vni }),
      mtu: network.mtu,
      endpoints: [...this.endpointsOf(instance), ...this.staticEndpoints(instance)],
      port_ids: ascending(members.map(member => numbers.workload(member.key))),
      peers: ascending(remotes.map(({ vtep }) => numbers.peer(vtep))),
      stitched: ascending([...ports.keys()].map(port => numbers.port(key, port)))
    }
    return { name, host, ports: around, bridge }
  }

  private neighbourhood({ key }: Instance, port: string, target: Target | undefined): Neighbourhood {
    const number = this.numbers.port(key, port)
    const found = this.networkBehind(target)
    if (!found?.network) return { number }
    const { vni, mtu, subnets } = found.network
    return {
      number,
      network: {
        name: found.name,
        ...(vni !== undefined && { vni }),
        mtu,
        cidrs: subnets.map(({ cidr }) => cidr),
        endpoints: this.endpointsOf(found)
      }
    }
  }

  /** The instances on the way from a target: through functions that change nothing of a frame's addresses, to the first other. */
  private wayFrom(target: Target | undefined): Step[] {
    const way: Step[] = []
    const passed = new Set<string>()
    for (let at = target; at && 'instance' in at && !passed.has(at.instance); ) {
      const { instance: key, port } = at
      const instance = this.graph.instances.get(key)
      if (!instance) break
      passed.add(key)
      const others = [...instance.ports].filter(([other]) => other !== port)
      const ends = instance.network !== undefined || instance.kind.presents !== undefined || others.length !== 1
      way.push({ instance, port, ends })
      if (ends) break
      at = others[0]![1]
    }
    return way
  }

  /** The instance that a target leads to, and the addresses that those on the way add to its own. */
  private endOfWay(target: Target | undefined): { instance: Instance; port: string; added: string[] } | undefined {
    const way = this.wayFrom(target)
    const end = way.pop()
    const added = way.flatMap(({ instance, port }) => instance.kind.adds?.(instance.config as never)[port] ?? [])
    return end?.ends ? { ...end, added } : undefined
  }

  private networkBehind(target: Target | undefined): Instance | undefined {
    const end = this.endOfWay(target)
    return end?.instance.network && end.instance
  }

  /** Who lives in a network, as far as it is declared: its workloads here and elsewhere, and the functions that have addresses in it. */
  private endpointsOf(network: Instance): Endpoint[] {
    const known = this.endpoints.get(network) ?? this.findEndpoints(network)
    this.endpoints.set(network, known)
    return known
  }

  private findEndpoints({ key, name, ports }: Instance): Endpoint[] {
    const { numbers } = this
    const local = (this.workloads.get(name) ?? [])
      .filter(({ mac }) => mac !== undefined)
      .map(({ key, mac, addresses }) => ({ mac: mac!, addresses, port_id: numbers.workload(key) }))
    const remote = (this.remoteAddresses.get(name) ?? []).flatMap(({ host, mac, addresses }) => {
      const vtep = this.vtepOf(name, host)
      return vtep === undefined ? [] : [{ mac, addresses, peer: numbers.peer(vtep) }]
    })
    const functions = [...ports].flatMap(([port, target]) => {
      const end = this.endOfWay(target)
      const presence = end && this.presenceOf(end.instance)[end.port]
      return presence ? [{ mac: presence.mac, addresses: [...presence.addresses, ...end.added], bridge_port: numbers.port(key, port) }] : []
    })
    const placed = [...ports].flatMap(([port, target]) => this.wayFrom(target).flatMap(step => this.placesOf(step, name, key, port)))
    return [...functions, ...placed, ...local, ...remote].toSorted((a, b) => (a.mac < b.mac ? -1 : 1))
  }

  /** Where the instances of a function that stands at a network's port are, by their MAC addresses: this host's behind that port, the others behind their hosts. */
  private placesOf({ instance, port }: Step, network: string, bridge: string, bridgePort: string): Endpoint[] {
    const places = instance.kind.places?.(instance.config as never, instance.name)[port] ?? {}
    return Object.entries(places).flatMap(([host, macs]): Endpoint[] => {
      const vtep = this.vtepOf(network, host)
      if (host === this.graph.host) return macs.map(mac => ({ mac, addresses: [], bridge_port: this.numbers.port(bridge, bridgePort) }))
      return vtep === undefined ? [] : macs.map(mac => ({ mac, addresses: [], peer: this.numbers.peer(vtep) }))
    })
  }

  private presenceOf(instance: Instance): Record<string, Presence> {
    const { kind, config, name } = instance
    const known = this.presences.get(instance) ?? kind.presents?.(config as never, name) ?? {}
    this.presences.set(instance, known)
    return known
  }

  private staticEndpoints({ name, network }: Instance): Endpoint[] {
    return Object.values(network!.staticEntries).flatMap(({ mac, port, host }): Endpoint[] => {
      const workload = port === undefined ? undefined : this.graph.workloads.get(resourceKey('ports', port))
      if (workload?.network === name) return [{ mac, addresses: [], port_id: this.numbers.workload(workload.key) }]
      const vtep = host === undefined ? undefined : this.vtepOf(name, host)
      return vtep === undefined ? [] : [{ mac, addresses: [], peer: this.numbers.peer(vtep) }]
    })
  }

  private vtepOf(network: string, host: string): string | undefined {
    return this.remotes.get(network)?.find(remote => remote.host === host)?.vtep
  }
}

/** In whatever order resources were made: the same surroundings make the same image. */
function ascending(numbers: number[]): number[] {
  return numbers.toSorted((a, b) => a - b)
}

function byNetwork<T extends { network: string | undefined }>(items: Iterable<T>): Map<T['network'], T[]> {
  const networks = new Map<T['network'], T[]>()
  for (const item of items) {
    const others = networks.get(item.network)
    if (others) others.push(item)
    else networks.set(item.network, [item])
  }
  return networks
}
