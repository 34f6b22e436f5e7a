// SPDX-License-Identifier: Apache-2.0
// What a balancer must do, in the plainest words: who may serve a new session, and that all others stay where they are. It knows nothing of hashes or tables.

export interface ModelBackend {
  address: string
  port: number
  drain: boolean
}

/** Backends by service. */
export type ModelConfig = Record<string, ModelBackend[]>

export interface Flow {
  service: string
  protocol: 'tcp' | 'udp'
  client: string
  port: number
}

export type Place = Pick<ModelBackend, 'address' | 'port'>

/** What a client's packet may lead to. */
export type Expectation =
  | { answer: 'refused' }
  /** The one place where it must go; or, where it gets a backend now, any of several. */
  | { answer: 'sent'; places: Place[]; counted: 'sessions_opened' | 'sessions_moved' | undefined }

interface Session {
  place: Place
  state: 'opened' | 'established' | 'closing' | 'closed'
  finished: Set<Side>
  seen: number
}

type Side = 'client' | 'backend'

/** Seconds. */
const SILENCE = { udp: 120, established: 7440, transient: 240 }

const textOf = (...parts: object[]) => JSON.stringify(parts)
const has = (flags: string, letter: string) => flags.includes(letter)

export class Model {
  private config: ModelConfig = {}
  private now = 0
  private readonly sessions = new Map<string, Session>()
  /** As their backends see them: they outlive a session that has moved. */
  private readonly replies = new Map<string, Session>()
  /** A flow that nobody remembers gets the backend that it had, as long as the configuration is the same. */
  private readonly choices = new Map<string, Place>()

  configure(config: ModelConfig): void {
    this.config = config
    this.choices.clear()
  }

  wait(seconds: number): void {
    this.now += seconds
  }

  forgetAll(): void {
    this.sessions.clear()
    this.replies.clear()
  }

  /** A packet of the client. If it gets a backend now, `sent` is to be told which. */
  fromClient(flow: Flow, flags: string): Expectation {
    const session = this.living(flow, this.sessions.get(textOf(flow)))
    const again = session && (session.state === 'closing' || session.state === 'closed') && flags === 'S'
    if (!session || again) return this.choose(flow, 'sessions_opened')
    const backends = this.config[flow.service]!
    if (!backends.some(({ address, port }) => address === session.place.address && port === session.place.port))
      return this.choose(flow, 'sessions_moved')
    this.learn(session, 'client', flags)
    return { answer: 'sent', places: [session.place], counted: undefined }
  }

  /** The client's packet has got a backend. */
  sent(flow: Flow, place: Place): void {
    const before = this.sessions.get(textOf(flow))
    if (before) this.replies.set(textOf(flow, before.place), { ...before, finished: new Set(before.finished) })
    const session: Session = { place, state: 'opened', finished: new Set(), seen: this.now }
    this.sessions.set(textOf(flow), session)
    this.replies.set(textOf(flow, place), session)
    this.choices.set(textOf(flow), place)
  }

  /** A packet of a backend: whether it is taken for a reply. */
  fromBackend(flow: Flow, place: Place, flags: string): boolean {
    const session = this.living(flow, this.replies.get(textOf(flow, place)))
    if (session) this.learn(session, 'backend', flags)
    return session !== undefined
  }

  private choose(flow: Flow, counted: 'sessions_opened' | 'sessions_moved'): Expectation {
    const takers = this.config[flow.service]!.filter(({ drain }) => !drain)
    if (takers.length === 0) return { answer: 'refused' }
    const chosen = this.choices.get(textOf(flow))
    return { answer: 'sent', places: chosen ? [chosen] : takers.map(({ address, port }) => ({ address, port })), counted }
  }

  private living({ protocol }: Flow, session: Session | undefined): Session | undefined {
    if (!session) return undefined
    const limit = protocol === 'udp' ? SILENCE.udp : session.state === 'established' ? SILENCE.established : SILENCE.transient
    return this.now - session.seen > limit ? undefined : session
  }

  private learn(session: Session, side: Side, flags: string): void {
    if (session.state === 'closed') return
    if (has(flags, 'R')) session.state = 'closed'
    else if (has(flags, 'F')) {
      session.finished.add(side)
      session.state = session.finished.size === 2 ? 'closed' : 'closing'
    } else if (session.state === 'opened' && (side === 'backend' || (has(flags, 'A') && !has(flags, 'S')))) session.state = 'established'
    if (session.state !== 'closed') session.seen = this.now
  }
}
