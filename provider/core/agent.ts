// SPDX-License-Identifier: Apache-2.0
// A host's agent as the provider uses it: typed calls with retries, lists shared by one refresh, and failures as sentences. The only user of http.ts.

import { setTimeout as sleep } from 'node:timers/promises'
import type { ErrorCode } from '@inkev/agent/api/errors'
import { API_VERSION, type ErrorBody, type Host, type ResourceType, type Status } from '@inkev/agent/api/resources'
import { type Answer, type Ask, type Connection, connectTo, type Endpoint } from './http'
import { log } from './log'
import type { Members, Value } from './value'

/** An agent's object: its configuration, how it fares, and what the agent computed. */
export type Item = Members & { name: string; status?: Status & Members }

export interface Stored {
  item: Item
  etag?: string
}

/** What a write expects to find: the object of that tag, or none at all. */
export type Guard = { tag: string } | 'absent' | undefined

type Request = Omit<Ask, 'signal'>

export interface Operation {
  method: 'PUT' | 'DELETE'
  resource: ResourceType
  name: string
  body?: Members
}

/** A failure that the user can read, and its place where the agent named one. */
export class AgentError extends Error {
  readonly summary?: string
  readonly status?: number
  readonly code?: ErrorCode | string
  /** The field, dotted. */
  readonly path?: string
  readonly hint?: string
  readonly retryAfterMs?: number

  constructor(
    readonly host: string,
    message: string,
    more: Partial<Pick<AgentError, 'summary' | 'status' | 'code' | 'path' | 'hint' | 'retryAfterMs' | 'cause'>> = {}
  ) {
    super(message)
    Object.assign(this, more)
  }
}

/** How long a refresh may share one list. */
const LIST_LIFE_MS = 5_000
/** How long what may pass by itself is tried again: an agent that starts, a busy one, a neighbour that is about to be deleted. */
const PATIENCE_MS = { read: 1_500, write: 15_000, conflict: 10_000 }
const FIRST_PAUSE_MS = 50
const LONGEST_PAUSE_MS = 2_000

/** How far a call may go. */
export interface Limits {
  /** Ends whatever is under way. */
  signal: AbortSignal
  /** Raised once nothing more is to be waited for: what runs may end, what was refused is not tried again. */
  hurry: AbortSignal
}

/** What all sessions of one run share. */
interface Shared {
  connection: Connection
  lists: Map<ResourceType, { until: number; items: Promise<Map<string, Stored>> }>
  host?: Promise<Host>
}

const NEVER = new AbortController().signal

export class Agent {
  constructor(
    readonly name: string,
    readonly endpoint: Endpoint,
    private readonly limits: Limits = { signal: NEVER, hurry: NEVER },
    private readonly shared: Shared = { connection: connectTo(endpoint), lists: new Map() }
  ) {}

  /** The same agent, for calls within these limits. */
  within(limits: Limits): Agent {
    return new Agent(this.name, this.endpoint, limits, this.shared)
  }

  /** The host behind the endpoint, once it has proved to be an agent that this provider can work with, of the name that the provider block gives it. */
  host(): Promise<Host> {
    this.shared.host ??= this.#greet().catch(error => {
      this.shared.host = undefined
      throw error
    })
    return this.shared.host
  }

  /** All objects of a type by name; one request serves everyone who asks within a few seconds, until something of that type is written. */
  list(type: ResourceType): Promise<ReadonlyMap<string, Stored>> {
    const { lists } = this.shared
    const recent = lists.get(type)
    if (recent && recent.until > performance.now()) return recent.items
    const items = this.#readList(type)
    lists.set(type, { until: performance.now() + LIST_LIFE_MS, items })
    items.catch(() => lists.delete(type))
    return items
  }

  async get(type: ResourceType, name: string): Promise<Stored | undefined> {
    const answer = await this.#ask({ method: 'GET', path: pathOf(type, name) }, [404])
    return answer.status === 404 ? undefined : stored(answer)
  }

  /** Answers undefined where the object is not what the guard expects. */
  async put(type: ResourceType, name: string, body: Members, guard?: Guard): Promise<Stored | undefined> {
    const headers: Record<string, string> = guard === 'absent' ? { 'if-none-match': '*' } : guard ? { 'if-match': guard.tag } : {}
    const answer = await this.#write([type], { method: 'PUT', path: pathOf(type, name), body, headers }, [412])
    return answer.status === 412 ? undefined : stored(answer)
  }

  /** Deleting what is not there is success. */
  async delete(type: ResourceType, name: string): Promise<void> {
    await this.#write([type], { method: 'DELETE', path: pathOf(type, name) }, [404])
  }

  /** Writes directory records in one request. */
  async bulk(operations: Operation[]): Promise<void> {
    if (operations.length === 0) return
    const written = new Set(operations.map(({ resource }) => resource))
    const answer = await this.#write([...written], { method: 'POST', path: '/v1/bulk', body: operations })
    const refused = (answer.body as { status: number; body: unknown }[]).find(
      ({ status }, index) => status >= 400 && !(status === 404 && operations[index]!.method === 'DELETE')
    )
    if (refused) throw this.#refusal({ ...refused, headers: {} })
  }

  async topology(format: string): Promise<unknown> {
    return (await this.#ask({ method: 'GET', path: `/v1/topology?format=${format}` })).body
  }

  async trace(request: Members): Promise<Members & { steps: Value[] }> {
    return (await this.#ask({ method: 'POST', path: '/v1/trace', body: request })).body as Members & { steps: Value[] }
  }

  async #greet(): Promise<Host> {
    const { body, status } = await this.#ask({ method: 'GET', path: '/v1/host' }, [404])
    const host = body as Partial<Host> | undefined
    const { url } = this.endpoint
    if (status === 404 || typeof host?.api !== 'number')
      throw this.#unusable(`What answers at ${url} is no inkev agent`, `Correct hosts.${this.name}.endpoint in the provider block.`)
    if (host.api < API_VERSION)
      throw this.#unusable(
        `The agent ${host.version} at ${url} is too old: it speaks version ${host.api} of the interface, the provider ${API_VERSION}`,
        `Upgrade the agent of ${this.name}.`
      )
    if (host.api > API_VERSION)
      throw this.#unusable(
        `The agent ${host.version} at ${url} is newer than this provider: it speaks version ${host.api} of the interface, the provider ${API_VERSION}`,
        'Upgrade the provider.'
      )
    if (host.name !== this.name)
      throw this.#unusable(
        `The agent at ${url} belongs to the host ${host.name}`,
        `Correct hosts.${this.name} in the provider block, or the agent’s --name.`
      )
    return host as Host
  }

  #unusable(message: string, hint: string): AgentError {
    return new AgentError(this.name, message, { summary: `Host ${this.name} cannot be used`, hint })
  }

  async #readList(type: ResourceType): Promise<Map<string, Stored>> {
    const { body } = await this.#ask({ method: 'GET', path: `/v1/${type}` })
    return new Map(
      (body as { items: (Item & { etag?: string })[] }).items.map(({ etag, ...item }) => [item.name, { item: item as Item, etag }])
    )
  }

  async #write(types: ResourceType[], ask: Request, expected: number[] = []): Promise<Answer> {
    try {
      return await this.#ask(ask, expected)
    } finally {
      for (const type of types) this.shared.lists.delete(type)
    }
  }

  /** Tries again with growing, jittered pauses while that can help. Any other status of 400 and above throws, save those expected. */
  async #ask(ask: Request, expected: number[] = []): Promise<Answer> {
    const begun = performance.now()
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, LONGEST_PAUSE_MS)) {
      try {
        const answer = await this.#once(ask)
        if (answer.status < 400 || expected.includes(answer.status)) return answer
        throw this.#refusal(answer)
      } catch (error) {
        const wait = (error as AgentError).retryAfterMs ?? pause * (0.5 + Math.random())
        if (this.limits.hurry.aborted || performance.now() - begun + wait > patienceFor(error, ask)) throw error
        await sleep(wait, undefined, { signal: this.limits.hurry })
      }
    }
  }

  async #once(ask: Request): Promise<Answer> {
    const begun = performance.now()
    const said = (outcome: string | number) =>
      log('debug', `${ask.method} ${ask.path}`, { host: this.name, outcome, ms: Math.round(performance.now() - begun) })
    try {
      const answer = await this.shared.connection({ ...ask, signal: this.limits.signal })
      said(answer.status)
      return answer
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      said(code ?? message)
      throw this.#unreachable(error as NodeJS.ErrnoException)
    }
  }

  #unreachable(error: NodeJS.ErrnoException): unknown {
    if (this.limits.signal.aborted) return this.limits.signal.reason
    const { url } = this.endpoint
    const { code = '', message } = error
    const isTls = /CERT|TLS|SSL|EPROTO|SELF_SIGNED|UNABLE_TO/.test(code)
    return new AgentError(
      this.name,
      isTls ? `The TLS connection to ${url} failed: ${message}` : `No agent answers at ${url}: ${REASONS[code] ?? message}`,
      {
        summary: `Host ${this.name} does not answer`,
        code: isTls ? 'TLS' : 'UNREACHABLE',
        hint: isTls
          ? 'Give the CA of the agent as ca_cert, and client_cert with client_key where the agent asks for a certificate.'
          : `Start the agent of ${this.name}, or correct hosts.${this.name}.endpoint in the provider block.`,
        cause: error
      }
    )
  }

  #refusal({ status, headers, body }: Answer): AgentError {
    const { code, message, path, hint } = (body as Partial<ErrorBody> | undefined)?.error ?? {
      code: '',
      message: `the agent answered ${status}`
    }
    const retryAfterMs = headers['retry-after'] === undefined ? undefined : 1000 * Number(headers['retry-after'])
    const known = { status, code, path, hint, ...(Number.isFinite(retryAfterMs) && { retryAfterMs }) }
    if (status === 401 || status === 403)
      return new AgentError(this.name, message, {
        ...known,
        summary: `Host ${this.name} refuses the caller`,
        hint: this.#credentialsHint(status)
      })
    return new AgentError(this.name, message, known)
  }

  #credentialsHint(status: number): string {
    if (status === 403) return 'Use a token with that role.'
    const given = this.endpoint.token ? 'The token that was sent is not one of the agent’s' : 'No token was sent'
    return `${given}: set hosts.${this.name}.token or token in the provider block, or INKEV_TOKEN.`
  }
}

const REASONS: Record<string, string> = {
  ENOENT: 'there is no such socket',
  ECONNREFUSED: 'the connection is refused',
  EACCES: 'permission denied; the socket is open to root alone',
  ENOTFOUND: 'the name has no address',
  EHOSTUNREACH: 'the host cannot be reached',
  ENETUNREACH: 'the network cannot be reached',
  ETIMEDOUT: 'no answer in time'
}

/** How long this failure is worth waiting for. */
function patienceFor(error: unknown, { method }: Request): number {
  if (!(error instanceof AgentError)) return 0
  const { code, status } = error
  const mayPass = code === 'UNREACHABLE' || status === 423 || status === 429 || status === 503
  if (mayPass) return method === 'GET' ? PATIENCE_MS.read : PATIENCE_MS.write
  return status === 409 ? PATIENCE_MS.conflict : 0
}

function pathOf(type: ResourceType, name: string): string {
  return `/v1/${type}/${encodeURIComponent(name)}`
}

function stored({ body, headers }: Answer): Stored {
  return { item: body as Item, etag: headers.etag }
}
