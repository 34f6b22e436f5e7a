// SPDX-License-Identifier: Apache-2.0
// What the numbers that a packet meets in the kernel are called by the operator.

import { INSIDE, OUTSIDE } from '@inkev/bpf/core/graph'
import type { Program } from '../kernel/shadow'
import type { Graph, Instance } from '../model/graph'
import type { Numbers } from '../model/surroundings'
import { type Target, WORKLOADS } from '../model/workloads'
import { ROAD, type RoadObject, roadKey } from '../plan/wishes'

/** Where a packet goes on: at a port of an instance, by their numbers. */
export interface Place {
  instance: number
  port: number
}

export class Names {
  private readonly instances: ReadonlyMap<number, Instance>
  private readonly workloads: ReadonlyMap<number, string>
  private readonly hosts: ReadonlyMap<number, string>

  constructor(
    private readonly graph: Graph,
    private readonly numbers: Numbers
  ) {
    this.instances = new Map([...graph.instances].map(([key, instance]) => [numbers.instance(key), instance]))
    this.workloads = new Map([...graph.workloads.keys()].map(key => [numbers.workload(key), key]))
    this.hosts = new Map(graph.remotes.map(({ host, vtep }) => [numbers.peer(vtep), host]))
  }

  instance(number: number): Instance | undefined {
    return this.instances.get(number)
  }

  program({ key, kind }: Instance): Program {
    return { key, kind, id: this.numbers.instance(key) }
  }

  road(object: RoadObject): Program {
    return { key: roadKey(object), kind: { kind: object }, id: ROAD[object] }
  }

  workload(number: number): string {
    return this.workloads.get(number) ?? `ports/${number}`
  }

  host(peer: number): string {
    return `hosts/${this.hosts.get(peer) ?? peer}`
  }

  hostAt(vtep: string): string {
    return `hosts/${this.graph.remotes.find(remote => remote.vtep === vtep)?.host ?? vtep}`
  }

  /** `functions/gateway`, `networks/web`, or `core/overlay`. */
  key(number: number): string {
    const road = (Object.keys(ROAD) as RoadObject[]).find(object => ROAD[object] === number)
    return road ? roadKey(road) : (this.instances.get(number)?.key ?? `instance ${number}`)
  }

  port(instance: Instance, number: number): string {
    return this.portsOf(instance).find(port => this.numbers.port(instance.key, port) === number) ?? String(number)
  }

  /** The port by which a packet left an instance, from where it came then: at `to`, or at the workload. */
  portTowards(instance: Instance, to: Place | 'workload', workload: number): string | undefined {
    const { chained, network, kind } = instance
    if (chained) return (kind.ports as string[])[to === 'workload' || this.isInwards(to) ? INSIDE : OUTSIDE]
    const found = [...instance.ports].find(([, target]) => target && this.leadsTo(target, to, workload))
    if (found) return found[0]
    if (!network) return undefined
    return to !== 'workload' && to.instance === ROAD.overlay ? 'overlay' : WORKLOADS
  }

  private isInwards({ instance, port }: Place): boolean {
    return port === OUTSIDE && this.instances.get(instance)?.chained === true
  }

  private leadsTo(target: Target, to: Place | 'workload', workload: number): boolean {
    if ('workload' in target) return this.numbers.workload(target.workload) === workload && (to === 'workload' || this.isInwards(to))
    if (to === 'workload') return false
    return this.numbers.instance(target.instance) === to.instance && this.numbers.port(target.instance, target.port) === to.port
  }

  private portsOf({ kind, ports }: Instance): string[] {
    const declared = Array.isArray(kind.ports) ? (kind.ports as string[]) : []
    return [...new Set([...declared, ...ports.keys()])]
  }
}
