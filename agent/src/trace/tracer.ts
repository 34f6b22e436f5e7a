// SPDX-License-Identifier: Apache-2.0
// POST /v1/trace: checks what is described, finds where it starts, and has it followed. One at a time: each holds copies of tables.

import { validate } from '@inkev/bpf/catalogue/validate'
import { InkevError } from '../../api/errors'
import { type TraceAnswer, type TraceRequest, traceRequest } from '../../api/trace'
import type { Kernel } from '../kernel/kernel'
import { inWords, resourceKey } from '../model/desired'
import type { Graph, Instance } from '../model/graph'
import { type Numbers, Situation } from '../model/surroundings'
import { OVERLAY, type Workload } from '../model/workloads'
import { numbersOf } from '../numbers'
import type { Reconciler } from '../reconcile'
import type { Ids } from '../store/ids'
import { frameOf, type Origin } from './frame'
import { Names, type Place } from './names'
import { Trace } from './trace'

/** Where a packet comes in, by the numbers of the kernel, and what is known there. */
type Start = { origin: Origin } & ({ workload: number } | { peer: number; place: Place })

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
      return 'workload' in start ? trace.fromWorkload(start.workload, sent) : trace.fromHost(start.peer, start.place, sent)
    })
  }

  private startOf({ port, host, network }: TraceRequest['from'], graph: Graph, numbers: Numbers): Start {
    if (port !== undefined && host === undefined && network === undefined) return this.startAtPort(port, graph, numbers)
    if (port === undefined && host !== undefined && network !== undefined) return startAtHost(host, network, graph, numbers)
    throw new InkevError('INKEV_ERR_SCHEMA', 'from: give port, or host and network', 'from')
  }

  private startAtPort(name: string, graph: Graph, numbers: Numbers): Start {
    const key = resourceKey('ports', name)
    const workload = graph.workloads.get(key)
    const { state, reason } = this.reconciler.statuses.get(key) ?? {}
    if (!workload?.join || state !== 'active')
      throw notFound(`${inWords(key)} is not connected on this host${reason === undefined ? '' : `: ${reason}`}`, 'from.port')
    return { workload: numbers.workload(key), origin: originOf(workload, graph, numbers) }
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
