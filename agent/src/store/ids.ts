// SPDX-License-Identifier: Apache-2.0
// Numbers by which the kernel knows things: given once, kept over restarts, free again only when the kernel has let go.

import { INSTANCE_FIRST, INSTANCES_MAX } from '@inkev/bpf/core/graph'
import { InkevError } from '../../api/errors'
import { PORTS_MAX } from '../model/limits'
import type { Store, Table } from './store'

/** The range of numbers of each space; for workloads and peers 0 is none. A space `ports/<instance>` numbers one instance's own ports. */
const RANGES: Record<string, [first: number, last: number]> = {
  instance: [INSTANCE_FIRST, INSTANCES_MAX - 1],
  workload: [1, 65535],
  peer: [1, 4095],
  ports: [0, PORTS_MAX - 1]
}

export interface Wanted {
  space: string
  key: string
}

export class Ids {
  /** By space. The store is asked for each of them once: numbers are looked up by the thousand in every pass. */
  private readonly tables = new Map<string, Table<number>>()

  constructor(private readonly store: Store) {}

  /** The number of a key; undefined before `claim`. */
  get(space: string, key: string): number | undefined {
    return this.table(space).get(key)
  }

  /** Gives each key that has no number the lowest free one of its space. Noted when it resolves. */
  async claim(wanted: Wanted[]): Promise<void> {
    const missing = wanted.filter(({ space, key }) => this.get(space, key) === undefined)
    if (missing.length === 0) return
    const used = new Map<string, Set<number>>()
    const writes = missing.map(({ space, key }) => {
      const taken = used.get(space) ?? new Set(this.table(space).values())
      used.set(space, taken)
      const value = lowestFree(space, taken)
      taken.add(value)
      return { table: tableOf(space), key, value }
    })
    await this.store.note(writes)
  }

  /** Frees every number that is not among those wanted. */
  async release(wanted: Wanted[]): Promise<void> {
    const kept = new Set(wanted.map(({ space, key }) => `${tableOf(space)} ${key}`))
    const gone = this.store
      .tableNames()
      .filter(table => table.startsWith(TABLES))
      .flatMap(table =>
        [...this.store.table(table).keys()].filter(key => !kept.has(`${table} ${key}`)).map(key => ({ table, key, value: undefined }))
      )
    if (gone.length > 0) await this.store.note(gone)
  }

  private table(space: string): Table<number> {
    const table = this.tables.get(space) ?? this.store.table<number>(tableOf(space))
    this.tables.set(space, table)
    return table
  }
}

const TABLES = 'id/'

function tableOf(space: string): string {
  return TABLES + space
}

function lowestFree(space: string, taken: Set<number>): number {
  const [first, last] = RANGES[space.split('/')[0]!]!
  for (let id = first; id <= last; id++) if (!taken.has(id)) return id
  throw new InkevError('INKEV_ERR_FULL', `all ${last - first + 1} numbers of ${space} are taken`)
}
