// SPDX-License-Identifier: Apache-2.0
// From where packets can come to devices of this host that are no veths: taps, network cards.

import { resourceKey } from './desired'
import type { Graph } from './graph'
import { isVeth, type Workload } from './workloads'

export class Exits {
  /** Keys of the instances from which a packet can come to such a device by chains and stitches. */
  private readonly before: ReadonlySet<string>
  private readonly workloads: readonly Workload[]
  private readonly networks: ReadonlySet<string>

  constructor({ instances, workloads }: Pick<Graph, 'instances' | 'workloads'>) {
    this.workloads = [...workloads.values()].filter(({ network }) => network !== undefined)
    const devices = [...workloads.values()].filter(({ device }) => !isVeth(device))
    const before = new Set(devices.flatMap(({ chain, join }) => [...chain, ...(join && 'instance' in join ? [join.instance] : [])]))
    for (const key of before)
      for (const next of instances.get(key)?.ports.values() ?? []) if (next && 'instance' in next) before.add(next.instance)
    this.before = before
    const names = this.workloads.flatMap(workload => (this.isBefore(workload) ? [workload.network!] : []))
    this.networks = new Set([...names.map(name => resourceKey('networks', name)), ...before])
  }

  /** Whether packets that come into the network from other hosts can leave by such a device. */
  from(network: string): boolean {
    return this.networks.has(resourceKey('networks', network))
  }

  /** Those whose packets end in a veth. */
  workloadsWithout(): Workload[] {
    return this.workloads.filter(workload => isVeth(workload.device) && !this.isBefore(workload))
  }

  private isBefore({ chain }: Workload): boolean {
    return chain.some(key => this.before.has(key))
  }
}
