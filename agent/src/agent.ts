// SPDX-License-Identifier: Apache-2.0
// What the agent does for its clients, whichever way they come: reads and changes the resources of one host.

import { EventEmitter } from 'node:events'
import { InkevError } from '../api/errors'
import { type ErrorBody, type Program, type ResourceType, resources, type Status } from '../api/resources'
import { canonical } from './model/canonical'
import { type Desired, type HostFacts, inWords, resourceKey, splitKey } from './model/desired'
import { requireAllowed } from './model/programs'
import { usersOf } from './model/references'
import { validate } from './model/validate'
import { viewOf } from './model/view'
import { portNumbersOf } from './numbers'
import { digestOf } from './plan/digest'
import { type Reconciler, WHOLE } from './reconcile'
import type { Ids } from './store/ids'
import type { Store } from './store/store'

const LIMIT_MS = 60_000

export interface Change {
  method: 'PUT' | 'DELETE'
  type: ResourceType
  name: string
  body?: unknown
  /** The change is made only if the object has this ETag; `*`: if there is one. */
  ifMatch?: string | undefined
  /** `*`: the change is made only if there is no such object. */
  ifNoneMatch?: string | undefined
}

export type View = { name: string; status: Status } & Record<string, unknown>
export type Outcome =
  | { status: 200 | 201; body: View; etag: string }
  | { status: 204 }
  | { status: number; body: ErrorBody; error: InkevError }

export interface Event {
  event: 'put' | 'delete' | 'status'
  type: ResourceType
  name: string
  status?: Status
}

/** A well-formed change. Without `config` it is a deletion. */
interface Planned {
  type: ResourceType
  name: string
  config: unknown
  before: unknown
  error?: InkevError
}

export class Agent extends EventEmitter<{ event: [Event] }> {
  constructor(
    private readonly store: Store,
    private readonly ids: Ids,
    private readonly reconciler: Reconciler,
    readonly desired: () => Desired,
    readonly facts: () => HostFacts,
    /** How long a change waits for the kernel to follow, in milliseconds. */
    private readonly limit = LIMIT_MS
  ) {
    super()
    this.setMaxListeners(0)
    reconciler.on('status', (key, status) => {
      const [type, name] = splitKey(key)
      if (status) this.emit('event', { event: 'status', type, name, status })
    })
  }

  /** Throws INKEV_ERR_NOT_FOUND. */
  read(type: ResourceType, name: string): { body: View; etag: string } {
    const config = this.desired()[type].get(name)
    if (config === undefined) throw notFound(type, name)
    return { body: this.view(type, name, config), etag: etagOf(config) }
  }

  /** All of a type, each with its ETag; those whose fields equal the filter's. */
  list(type: ResourceType, filter: Record<string, string> = {}): View[] {
    const facts = this.facts()
    const views = [...this.desired()[type]].map(
      ([name, config]): View => ({ ...this.view(type, name, config, facts), etag: etagOf(config) })
    )
    return views.filter(view => Object.entries(filter).every(([field, value]) => String(view[field]) === value))
  }

  /**
   * Makes changes that are judged together, by the state that all of them lead to: those that are refused change nothing, the others are made at once. Answers when
   * they are on disk and the kernel has followed, or has refused.
   */
  async change(changes: Change[]): Promise<Outcome[]> {
    const planned = changes.map(change => this.parse(change))
    await Promise.all(planned.map(each => this.prove(each)))
    this.settle(planned)
    const accepted = planned.filter(({ error }) => !error)
    if (accepted.length > 0) {
      const failing = this.reconciler.failures
      await Promise.all([this.write(accepted.map(({ type, name, config }) => [type, name, config])), this.reconciled()])
      await this.takeBack(accepted, failing)
    }
    return planned.map(each => this.outcome(each))
  }

  private parse({ method, type, name, body, ifMatch, ifNoneMatch }: Change): Planned {
    const before = this.desired()[type].get(name)
    try {
      requirePrecondition(type, name, before, ifMatch, ifNoneMatch)
      if (method === 'DELETE' && before === undefined) throw notFound(type, name)
      return { type, name, before, config: method === 'PUT' ? canonical(type, name, body) : undefined }
    } catch (error) {
      return { type, name, before, config: undefined, error: asKnown(error) }
    }
  }

  /** Code that is new is shown to the kernel's verifier before anything rests on it. */
  private async prove(each: Planned): Promise<void> {
    const { type, name, config, before, error } = each
    if (type !== 'programs' || config === undefined || error || (before as Program | undefined)?.sha256 === (config as Program).sha256)
      return
    try {
      await this.reconciler.prove(requireAllowed(this.facts().programs, name, config as Program).kind)
    } catch (error) {
      each.error = asKnown(error)
    }
  }

  /** Finds what must be refused: each refusal changes the state by which the others are judged. Of two that clash the earlier one stands. */
  private settle(planned: Planned[]): void {
    const draft = copyOf(this.desired())
    for (const { type, name, config, error } of planned) if (!error) set(draft, type, name, config)
    for (let refused = true; refused; ) {
      refused = false
      for (const each of planned.filter(({ error }) => !error).toReversed()) {
        const error = this.fault(draft, each)
        if (!error) continue
        each.error = error
        set(draft, each.type, each.name, each.before)
        refused = true
      }
    }
  }

  private fault(draft: Desired, { type, name, config, before }: Planned): InkevError | undefined {
    try {
      if (config !== undefined) validate(draft, this.facts(), type, name, before)
      else requireUnused(draft, type, name)
      return undefined
    } catch (error) {
      return asKnown(error)
    }
  }

  /** What the kernel refuses of a resource itself is as if it had not been asked for. `failing` is what failed before. */
  private async takeBack(accepted: Planned[], failing: ReadonlyMap<string, InkevError>): Promise<void> {
    const { failures } = this.reconciler
    if (failures.has(WHOLE)) throw failures.get(WHOLE)
    for (const each of accepted) if (each.config !== undefined) each.error = this.failureOf(each, failing)
    const refused = accepted.filter(({ error }) => error)
    const ours = refused.filter(({ type, name, config }) => this.desired()[type].get(name) === config)
    if (ours.length > 0) await Promise.all([this.write(ours.map(({ type, name, before }) => [type, name, before])), this.reconciled()])
  }

  /** The next version of a program is refused for what a function that was made of the last one suffers by it. */
  private failureOf({ type, name, before }: Planned, failing: ReadonlyMap<string, InkevError>): InkevError | undefined {
    const { failures } = this.reconciler
    const own = failures.get(resourceKey(type, name))
    if (own || type !== 'programs' || before === undefined) return own
    const user = usersOf(this.desired(), type, name).find(user => failures.has(user) && !failing.has(user))
    if (user === undefined) return undefined
    const { code, message, hint, cause } = failures.get(user)!
    return new InkevError(code, `${inWords(user)}: ${message}`, 'elf', hint, cause)
  }

  private async write(rows: [type: ResourceType, name: string, config: unknown][]): Promise<void> {
    const written = this.store.write(rows.map(([table, key, value]) => ({ table, key, value })))
    for (const [type, name, config] of rows) this.emit('event', { event: config === undefined ? 'delete' : 'put', type, name })
    await written
  }

  private async reconciled(): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new InkevError('INKEV_ERR_TIMEOUT', `the kernel did not follow within ${this.limit / 1000} s`)),
        this.limit
      )
    })
    await Promise.race([this.reconciler.request(), late]).finally(() => clearTimeout(timer))
  }

  private outcome({ type, name, config, before, error }: Planned): Outcome {
    if (error) return { status: error.status, body: error.body, error }
    if (config === undefined) return { status: 204 }
    return { status: before === undefined ? 201 : 200, body: this.view(type, name, config), etag: etagOf(config) }
  }

  private view(type: ResourceType, name: string, config: unknown, facts = this.facts()): View {
    const status = this.reconciler.statuses.get(resourceKey(type, name)) ?? { state: 'pending', reason: 'not looked at yet' }
    const view = viewOf(this.desired(), facts, type, name, config, functionName => portNumbersOf(functionName, this.desired(), this.ids))
    const code = this.reconciler.code(resourceKey(type, name))
    return { name, ...view, status: { ...status, ...(code && { code }) } }
  }
}

function etagOf(config: unknown): string {
  return `"${digestOf(JSON.stringify(config))}"`
}

function notFound(type: ResourceType, name: string): InkevError {
  return new InkevError('INKEV_ERR_NOT_FOUND', `there is no ${inWords(resourceKey(type, name))}`)
}

function requirePrecondition(type: ResourceType, name: string, before: unknown, ifMatch?: string, ifNoneMatch?: string): void {
  const what = inWords(resourceKey(type, name))
  if (ifMatch !== undefined && (before === undefined || (ifMatch !== '*' && ifMatch !== etagOf(before))))
    throw new InkevError('INKEV_ERR_PRECONDITION', before === undefined ? `there is no ${what}` : `${what} was changed since it was read`)
  if (ifNoneMatch === '*' && before !== undefined) throw new InkevError('INKEV_ERR_PRECONDITION', `${what} exists already`)
}

function requireUnused(desired: Desired, type: ResourceType, name: string): void {
  const users = usersOf(desired, type, name).map(inWords)
  if (users.length > 0) throw new InkevError('INKEV_ERR_IN_USE', `${inWords(resourceKey(type, name))} is used by ${users.join(', ')}`)
}

function asKnown(error: unknown): InkevError {
  return error instanceof InkevError ? error : new InkevError('INKEV_ERR_INTERNAL', (error as Error).message, undefined, undefined, error)
}

function copyOf(desired: Desired): Desired {
  return Object.fromEntries(
    Object.keys(resources).map(type => [type, new Map<string, unknown>(desired[type as ResourceType])])
  ) as unknown as Desired
}

function set(draft: Desired, type: ResourceType, name: string, config: unknown): void {
  const rows = draft[type] as Map<string, unknown>
  if (config === undefined) rows.delete(name)
  else rows.set(name, config)
}
