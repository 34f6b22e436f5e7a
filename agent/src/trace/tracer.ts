// SPDX-License-Identifier: Apache-2.0
// POST /v1/trace: checks what is described, finds where it starts, and has it followed. One at a time: each holds copies of tables.

import { validate } from '@inkev/bpf/catalogue/validate'
import { InkevError } from '../../api/errors'
import { type TraceAnswer, type TraceRequest, traceRequest } from '../../api/trace'
import type { Kernel } from '../kernel/kernel'
import { inWords, resourceKey } from '../model/desired'
import type { Graph, Instance } from '../model/graph'
import { type Numbers, Situation } from '../model/surroundings'
import { OVERLAY, segmentKey, type Workload } from '../model/workloads'
import { numbersOf } from '../numbers'
import type { Reconciler } from '../reconcile'
import type { Ids } from '../store/ids'
import { frameOf, type Origin } from './frame'
import { Names, type Place } from './names'
import { Trace } from './trace'

/** Where a packet comes in, by the numbers of the kernel, and what is known there. */
type Start = { origin: Origin } & ({ workload: number } | { segment: number } | { peer: number; place: Place })

export class Tracer {
  private last: Promise<unknown> = Promise.resolve()

  constructor(
    private readonly kernel: Kernel,
    private readonly reconciler: Reconciler,
    private readonly ids: Ids
  ) {}

  /** Throws INKEV_ERR_SCHEMA, INKEV_ERR_NOT_FOUND, INKEV_ERR_TOO_LARGE. */
  trace(body: unknown): Promise<TraceAnswer> {
    const { value, problems } = validate(traceRequest, body)
    const [first] = problems
    if (first) throw new InkevError('INKEV_ERR_SCHEMA', `${first.path || 'the body'}: ${first.message}`, first.path, first.hint)
    const traced = this.last.then(() => this.follow(value as TraceRequest))
    this.last = traced.catch(() => {})
    return traced
  }

  /** Resolves when none is under way. */
  async idle(): Promise<void> {
    await this.last
  }

  private async follow({ from, packet }: TraceRequest): Promise<TraceAnswer> {
    await this.reconciler.idle()
    const { graph } = this.reconciler
    const numbers = numbersOf(graph, this.ids)
    const start = this.startOf(from, graph, numbers)
    const sent = { bytes: frameOf(packet, start.origin), gso_size: packet.segment_size ?? 0 }
    return this.kernel.inShadow(shadow => {
      const trace = new Trace(shadow, new Names(graph, numbers), key => this.reconciler.labels(key))
      if ('segment' in start) return trace.fromSegment(start.segment, sent)
      return 'workload' in start ? trace.fromWorkload(start.workload, sent) : trace.fromHost(start.peer, start.place, sent)
    })
  }

  private startOf(from: TraceRequest['from'], graph: Graph, numbers: Numbers): Start {
    const { port, vlan, segment, host, network } = from
    const given = Object.keys(from).toSorted().join()
    if (given === 'port' || given === 'port,vlan') return this.startAtPort(port!, vlan, graph, numbers)
    if (given === 'segment') return this.startAtSegment(segment!, graph, numbers)
    if (given === 'host,network') return startAtHost(host!, network!, graph, numbers)
    throw new InkevError('INKEV_ERR_SCHEMA', 'from: give port, port and vlan, segment, or host and network', 'from')
  }

  private startAtPort(name: string, vlan: number | undefined, graph: Graph, numbers: Numbers): Start {
    const key = resourceKey('ports', name)
    const workload = graph.workloads.get(vlan === undefined ? key : `${key}/${vlan}`)
    this.requireActive(key, 'from.port')
    if (!workload?.join)
      throw vlan === undefined
        ? notFound(`${inWords(key)} is not connected`, 'from.port')
        : notFound(`${inWords(key)} has no tag ${vlan}`, 'from.vlan')
    return { workload: numbers.workload(workload.key), origin: originOf(workload, graph, numbers) }
  }

  private startAtSegment(network: string, graph: Graph, numbers: Numbers): Start {
    const key = segmentKey(network)
    this.requireActive(resourceKey('networks', network), 'from.segment')
    const workload = graph.workloads.get(key)
    if (!workload) throw notFound(`network ${network} has no segment at this host`, 'from.segment')
    return { segment: numbers.workload(key), origin: originOf(workload, graph, numbers) }
  }

  private requireActive(key: string, path: string): void {
    const { state, reason } = this.reconciler.statuses.get(key) ?? {}
    if (state !== 'active')
      throw notFound(`${inWords(key)} is not connected on this host${reason === undefined ? '' : `: ${reason}`}`, path)
  }
}

function startAtHost(host: string, name: string, graph: Graph, numbers: Numbers): Start {
  const network = graph.instances.get(resourceKey('networks', name))
  const remote = graph.remotes.find(remote => remote.network === name && remote.host === host)
  if (!network) throw notFound(`network ${name} does not run on this host`, 'from.network')
  if (!remote) throw notFound(`network ${name} has no tunnel to host ${host}`, 'from.host')
  const place = { instance: numbers.instance(network.key), port: numbers.port(network.key, OVERLAY) }
  return { peer: numbers.peer(remote.vtep), place, origin: { addresses: [], network: knownOf(network, graph, numbers) } }
}

function originOf({ mac, addresses, join }: Workload, graph: Graph, numbers: Numbers): Origin {
  const joined = join && 'instance' in join ? graph.instances.get(join.instance) : undefined
  return { addresses, ...(mac !== undefined && { mac }), ...(joined?.network && { network: knownOf(joined, graph, numbers) }) }
}

function knownOf(instance: Instance, graph: Graph, numbers: Numbers): NonNullable<Origin['network']> {
  const { endpoints } = new Situation(graph, numbers).of(instance).bridge!
  return { name: instance.name, subnets: instance.network!.subnets, endpoints }
}

function notFound(message: string, path: string): InkevError {
  return new InkevError('INKEV_ERR_NOT_FOUND', message, path)
}
