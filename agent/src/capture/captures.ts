// SPDX-License-Identifier: Apache-2.0
// GET /v1/captures/<function>: who listens to which function, and when a capture ends.

import { isDeepStrictEqual } from 'node:util'
import type { Capture } from '@inkev/bpf/catalogue/define'
import { InkevError } from '../../api/errors'
import type { Agent } from '../agent'
import type { Kernel } from '../kernel/kernel'
import { inWords, kindOf, resourceKey } from '../model/desired'
import type { Graph, Instance } from '../model/graph'
import { numbersOf } from '../numbers'
import type { Reconciler } from '../reconcile'
import type { Ids } from '../store/ids'
import { CaptureWriter, type Sink, type Source } from './writer'

export interface Limits {
  packets?: number
  seconds?: number
}

/** One listener's capture. */
interface Open {
  name: string
  capture: Capture
  end(reason: string): void
}

export class Captures {
  private readonly open = new Set<Open>()

  constructor(
    private readonly agent: Pick<Agent, 'desired' | 'on'>,
    private readonly kernel: Kernel,
    private readonly reconciler: Reconciler,
    private readonly ids: Ids
  ) {
    agent.on('event', ({ event }) => {
      if (event === 'put') this.review()
    })
  }

  /**
   * Writes what a function captures to `sink`, until a limit is reached or nothing more can come; then ends the sink. Answers a function that lets go, for a
   * listener who left. Throws INKEV_ERR_NOT_FOUND, INKEV_ERR_NO_CAPTURE.
   */
  listen(name: string, { packets = Number.POSITIVE_INFINITY, seconds }: Limits, sink: () => Sink): () => void {
    const key = resourceKey('functions', name)
    const { graph } = this.reconciler
    const instance = graph.instances.get(key)
    if (!this.agent.desired().functions.has(name)) throw new InkevError('INKEV_ERR_NOT_FOUND', `there is no function ${name}`)
    if (!instance) throw notRunning(key)
    const capture = this.captureOf(name)
    if (!capture) throw new InkevError('INKEV_ERR_NO_CAPTURE', `${inWords(key)} captures nothing as it is configured`)

    let writer: CaptureWriter | undefined
    const listening = this.kernel.listen(key, instance.kind, {
      packet: packet => {
        writer!.take(packet)
        if (writer!.delivered >= packets) open.end('as many packets as were asked for')
      },
      gone: () => open.end(`${inWords(key)} runs no more on this host`)
    })
    if (!listening) throw notRunning(key)
    const timer = seconds === undefined ? undefined : setTimeout(() => open.end('the time that was asked for is over'), seconds * 1000)
    const close = () => {
      clearTimeout(timer)
      this.open.delete(open)
      listening.close()
    }
    const open: Open = {
      name,
      capture,
      end: reason => {
        writer!.end(reason)
        close()
      }
    }
    this.open.add(open)
    const before = listening.lost()
    const lost = () => listening.lost().map((count, port) => count - (before[port] ?? 0n))
    writer = new CaptureWriter(sink(), this.sourceOf(instance, graph, capture, lost))
    return () => {
      writer!.abandon()
      close()
    }
  }

  /** Ends all. */
  close(): void {
    for (const open of [...this.open]) open.end('the agent stops')
  }

  /** Ends the captures of functions whose configuration asks for another or for none. Those of deleted ones end when they run no more. */
  private review(): void {
    const { functions } = this.agent.desired()
    for (const open of [...this.open])
      if (functions.has(open.name) && !isDeepStrictEqual(this.captureOf(open.name), open.capture))
        open.end('the configuration of the function was changed')
  }

  private captureOf(name: string): Capture | undefined {
    const desired = this.agent.desired()
    const known = kindOf(desired, desired.functions.get(name)!)
    return known?.kind.captures?.(known.config as never)
  }

  private sourceOf(instance: Instance, graph: Graph, { snap_length }: Capture, lost: Source['lost']): Source {
    const { key, name, ports } = instance
    const numbers = numbersOf(graph, this.ids)
    const named = [...ports.keys()].map(port => {
      const described = { name: `${name}.${port}`, description: `packets that came to ${inWords(key)} by its port ${port}` }
      return [numbers.port(key, port), described] as const
    })
    return { ports: new Map(named.toSorted(([a], [b]) => a - b)), snapLength: snap_length, lost }
  }
}

function notRunning(key: string): InkevError {
  return new InkevError(
    'INKEV_ERR_NOT_FOUND',
    `${inWords(key)} does not run on this host`,
    undefined,
    'Ask a host that has a workload of it.'
  )
}
