// SPDX-License-Identifier: Apache-2.0
// What runs, as the kernel has it: counters and tables of the functions, read through their types.

import type { FunctionKind } from '@inkev/bpf/catalogue/define'
import { coreCounters } from '@inkev/bpf/core/core'
import { InkevError } from '../api/errors'
import type { Status } from '../api/resources'
import type { Kernel } from './kernel/kernel'
import { inWords } from './model/desired'
import type { Instance } from './model/graph'
import { ROAD, roadKey } from './plan/wishes'
import type { Health, Prober } from './probing/prober'
import type { Reconciler } from './reconcile'

export interface Count {
  value: bigint
  doc: string
}

export class Introspection {
  constructor(
    private readonly kernel: Kernel,
    private readonly reconciler: Reconciler,
    private readonly prober: Pick<Prober, 'health'>
  ) {}

  statuses(): ReadonlyMap<string, Status> {
    return this.reconciler.statuses
  }

  /** Of every function that runs, and of the road. */
  allCounters(): { kind: string; name: string; counters: Record<string, Count> }[] {
    const road = Object.keys(ROAD).map(object => ({
      key: roadKey(object as keyof typeof ROAD),
      kind: object,
      object,
      name: object,
      reasons: {}
    }))
    const functions = [...this.reconciler.graph.instances.values()].map(({ key, kind, name }) => ({
      key,
      kind: kind.kind,
      object: objectOf(kind),
      name,
      reasons: kind.counters
    }))
    return [...road, ...functions].flatMap(({ key, kind, object, name, reasons }) => {
      const values = this.kernel.counters(key, object)
      return values ? [{ kind, name, counters: named(values, reasons) }] : []
    })
  }

  /** Counters by name. Throws INKEV_ERR_NOT_FOUND while the object does not run. */
  counters(key: string): Record<string, Count> {
    const { kind } = this.instance(key)
    return named(this.kernel.counters(key, objectOf(kind)) ?? [], kind.counters)
  }

  /** The records of one of its maps, with the operator's own names for keys that are numbers. Throws INKEV_ERR_NOT_FOUND. */
  table(key: string, map: string): { name?: string; key: unknown; value: unknown }[] {
    const { kind } = this.instance(key)
    const records = this.kernel.table(key, objectOf(kind), map)
    if (!records)
      throw new InkevError(
        'INKEV_ERR_NOT_FOUND',
        `${inWords(key)} has no table ${map}`,
        undefined,
        `It has: ${this.kernel.tables(key).join(', ')}.`
      )
    const labels = this.reconciler.labels(key)?.[map]
    return records.map(record => {
      const name = labels?.[String(record.key)]
      return { ...(name !== undefined && { name }), ...record }
    })
  }

  /** What it wants watched, and how that fares. Throws INKEV_ERR_NOT_FOUND while the function does not run. */
  health(key: string): Health[] {
    return this.prober.health(this.instance(key).key)
  }

  /** Of every function that runs. */
  allHealth(): (Health & { function: string })[] {
    return [...this.reconciler.graph.instances.values()].flatMap(({ key, name }) =>
      this.prober.health(key).map(health => ({ ...health, function: name }))
    )
  }

  private instance(key: string): Instance {
    const instance = this.reconciler.graph.instances.get(key)
    if (!instance) throw new InkevError('INKEV_ERR_NOT_FOUND', `${inWords(key)} does not run on this host`)
    return instance
  }
}

function objectOf({ kind, object }: FunctionKind): string {
  return object?.name ?? kind
}

function named(values: bigint[], reasons: FunctionKind['counters']): Record<string, Count> {
  const docs = Object.entries({ ...coreCounters, ...reasons })
  return Object.fromEntries(docs.map(([name, doc], number) => [name, { value: values[number] ?? 0n, doc }]))
}
