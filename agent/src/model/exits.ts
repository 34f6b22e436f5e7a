// SPDX-License-Identifier: Apache-2.0
// From where packets can come to devices of this host that are no veths: taps, network cards.

import { resourceKey } from './desired'
import type { Graph } from './graph'
import { isVeth, type Workload } from './workloads'

export class Exits {
  /** Keys of the instances, networks among them, from which a packet can come to such a device by chains and stitches. */
  private readonly before: ReadonlySet<string>
  private readonly workloads: readonly Workload[]

  constructor({ instances, workloads }: Pick<Graph, 'instances' | 'workloads'>) {
    const all = [...workloads.values()]
    this.workloads = all.filter(({ network }) => network !== undefined)
    const led = networksByChain(this.workloads)
    const devices = all.filter(({ device }) => !isVeth(device))
    const before = new Set(devices.flatMap(({ chain, join }) => [...chain, ...(join && 'instance' in join ? [join.instance] : [])]))
    for (const key of before) {
      for (const next of instances.get(key)?.ports.values() ?? []) if (next && 'instance' in next) before.add(next.instance)
      for (const network of led.get(key) ?? []) before.add(network)
    }
    this.before = before
  }

  /** Whether packets that come into the network from other hosts can leave by such a device. */
  from(network: string): boolean {
    return this.before.has(resourceKey('networks', network))
  }

  /** Those whose packets end in a veth. */
  workloadsWithout(): Workload[] {
    return this.workloads.filter(workload => isVeth(workload.device) && !this.isBefore(workload))
  }

  private isBefore({ chain }: Workload): boolean {
    return chain.some(key => this.before.has(key))
  }
}

/** Keys of the networks whose packets come to a function in the chain of a workload, by the function's key. */
function networksByChain(workloads: readonly Workload[]): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>()
  for (const { chain, network } of workloads)
    for (const key of chain) found.set(key, (found.get(key) ?? new Set()).add(resourceKey('networks', network!)))
  return found
}
