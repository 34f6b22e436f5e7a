// SPDX-License-Identifier: Apache-2.0
// What must survive a crash: tables held in memory and written through to an embedded transactional database.

import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { open, type RootDatabase } from 'lmdb'
import { InkevError } from '../../api/errors'

/** Version of what lies on disk. A later agent migrates from it, an earlier one refuses. */
const FORMAT = 1

type Key = [table: string, key: string]

/** Rows by key, read from memory. Writes go by `Store.write`. */
export type Table<V> = ReadonlyMap<string, V>

/** Sets a row; an undefined value deletes it. */
export interface Write {
  table: string
  key: string
  value: unknown
}

export class Store {
  private readonly tables = new Map<string, Map<string, unknown>>()

  private constructor(
    private readonly database: RootDatabase<unknown, Key>,
    private readonly lock: string
  ) {
    for (const { key, value } of database.getRange({})) this.rows(key[0]).set(key[1], value)
  }

  /** Opens the store in a directory, which is created. INKEV_ERR_BUSY while another process has it open. */
  static async open(directory: string): Promise<Store> {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    const lock = join(directory, 'agent.lock')
    takeLock(lock, directory)
    const database = open<unknown, Key>({ path: join(directory, 'desired.lmdb'), encoding: 'json' })
    const store = new Store(database, lock)
    const format = store.table<number>('store').get('format') ?? FORMAT
    if (format > FORMAT) {
      await store.close()
      throw new InkevError(
        'INKEV_ERR_OPTION',
        `--state ${directory} was written by a later agent (format ${format})`,
        undefined,
        'Use that version, or another directory.'
      )
    }
    await store.write([{ table: 'store', key: 'format', value: FORMAT }])
    return store
  }

  table<V>(name: string): Table<V> {
    return this.rows(name) as Map<string, V>
  }

  tableNames(): string[] {
    return [...this.tables.keys()]
  }

  /** All or nothing. Readers see it at once; resolves when it is on disk. */
  async write(writes: Write[]): Promise<void> {
    await this.note(writes)
    await this.database.flushed
  }

  /** As `write`, but resolves when it outlives this process, not yet a power cut: enough for what speaks of the running kernel. */
  async note(writes: Write[]): Promise<void> {
    for (const { table, key, value } of writes) {
      if (value === undefined) this.rows(table).delete(key)
      else this.rows(table).set(key, value)
    }
    await this.database.transaction(() => {
      for (const { table, key, value } of writes) {
        if (value === undefined) this.database.remove([table, key])
        else this.database.put([table, key], value)
      }
    })
  }

  async close(): Promise<void> {
    await this.database.close()
    rmSync(this.lock, { force: true })
  }

  private rows(name: string): Map<string, unknown> {
    const rows = this.tables.get(name) ?? new Map<string, unknown>()
    this.tables.set(name, rows)
    return rows
  }
}

/** A process is told by its number and the time of its start: numbers come round again. */
function takeLock(path: string, directory: string): void {
  const holder = existsSync(path) ? readFileSync(path, 'utf8') : ''
  const [pid] = holder.split(' ')
  if (pid && holder === identity(pid)) throw new InkevError('INKEV_ERR_BUSY', `--state ${directory} is in use by process ${pid}`)
  writeFileSync(path, identity('self')!)
}

function identity(pid: string): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const [state, ...fields] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return state === 'Z' ? undefined : `${stat.split(' ', 1)[0]} ${fields[18]}`
  } catch {
    return undefined
  }
}
