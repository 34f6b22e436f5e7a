// SPDX-License-Identifier: Apache-2.0
// The NAT in the simplest words: lists that are read from end to end. Where the kernel is free to choose a port, the model only says which would be right.

/** One end of a conversation. Of a ping, its identifier is the port of the end that asked, and the other port is 0. */
export interface End {
  address: string
  port: number
}

export interface Message {
  protocol: 'tcp' | 'udp' | 'ping'
  from: End
  to: End
  /** Whether it can be the first of its session. */
  opens: boolean
}

export interface ModelSource {
  inside: string[]
  pool: string[]
  ports: [first: number, last: number]
  endpointIndependent: boolean
}

export interface ModelConfig {
  sources: ModelSource[]
  forwards: { protocol?: Message['protocol']; at: End; to: End }[]
  floating: { inside: string; outside: string }[]
  /** Seconds. */
  silence: Record<Message['protocol'], number>
}

/** What becomes of a message: it leaves, or is lost for a reason. */
export type Fate = { leaves: 'inside' | 'outside'; message: Message } | { lost: string }

/** What the kernel has made of the sender's end: asked only where it may choose. */
export type Choice = () => End | undefined

interface Session {
  protocol: Message['protocol']
  inside: End
  outside: End
  /** Undefined: the binding that all sessions of an inside end share. */
  remote?: End
  heard: number
}

const same = (a: End | undefined, b: End | undefined) => a?.address === b?.address && a?.port === b?.port

export class NatModel {
  private sessions: Session[] = []
  private readonly addressOf = new Map<string, string>()
  private now = 0

  constructor(private readonly config: ModelConfig) {}

  wait(seconds: number): void {
    this.now += seconds
    this.sessions = this.sessions.filter(({ protocol, remote, heard }) => !remote || this.now - heard <= this.config.silence[protocol])
    this.sessions = this.sessions.filter(session => session.remote || this.isBound(session))
  }

  /** Whether an inside and a remote end talk already, as the inside sees it. */
  knows({ protocol, from, to }: Message): boolean {
    return this.find(protocol, 'inside', from, to) !== undefined || this.find(protocol, 'outside', to, from) !== undefined
  }

  fateOf(side: 'inside' | 'outside', message: Message, choice: Choice): Fate {
    if (side === 'outside') return this.inward(message)
    const sent = this.outward(message, choice)
    if ('lost' in sent || !this.isOutside(message.to.address)) return sent
    return this.inward(sent.message)
  }

  private outward(message: Message, choice: Choice): Fate {
    const { protocol, from, to, opens } = message
    const leave = (outside: End): Fate => ({ leaves: 'outside', message: { ...message, from: outside } })
    const known = this.find(protocol, 'inside', from, to)
    if (known) return leave(this.hear(known).outside)
    const floating = this.config.floating.find(({ inside }) => inside === from.address)
    if (floating) return leave({ address: floating.outside, port: from.port })
    const source = this.config.sources.find(({ inside }) => inside.includes(from.address))
    if (!source) return leave(from)
    if (!opens) return { lost: 'no_session' }
    const outside = this.allot(source, message, choice)
    if (!outside) return { lost: 'exhausted' }
    this.sessions.push({ protocol, inside: from, outside, remote: to, heard: this.now })
    return leave(outside)
  }

  private inward(message: Message): Fate {
    const { protocol, from, to, opens } = message
    const leave = (inside: End): Fate => ({ leaves: 'inside', message: { ...message, to: inside } })
    const known = this.find(protocol, 'outside', to, from)
    if (known) return leave(this.hear(known).inside)
    const floating = this.config.floating.find(({ outside }) => outside === to.address)
    if (floating) return leave({ address: floating.inside, port: to.port })
    const forward = this.forwardOf(protocol, to)
    if (!forward) return this.isOutside(to.address) ? { lost: 'no_mapping' } : leave(to)
    if (!opens) return { lost: 'no_mapping' }
    const inside = { address: forward.to.address, port: forward.to.port || to.port }
    if (this.find(protocol, 'inside', inside, from)) return { lost: 'collision' }
    this.sessions.push({ protocol, inside, outside: to, remote: from, heard: this.now })
    return leave(inside)
  }

  /** The outside end of a new session: the bound one, the same port where it is free, or what the kernel chose, if that is right. */
  private allot(source: ModelSource, { protocol, from, to }: Message, choice: Choice): End | undefined {
    const remote = source.endpointIndependent ? undefined : to
    const bound = source.endpointIndependent && this.find(protocol, 'inside', from, undefined)
    if (bound) return this.hear(bound).outside
    const free = this.freeEnds(source, protocol, remote)
    if (free.length === 0) return undefined
    const home = this.addressOf.get(from.address)
    const atHome = free.filter(({ address }) => address === home)
    const allowed = atHome.length > 0 || home === undefined ? (home === undefined ? free : atHome) : free
    const chosen = allowed.find(end => same(end, { address: home ?? '', port: from.port })) ?? allowed.find(end => same(end, choice()))
    if (!chosen) throw new Error(`${JSON.stringify(choice())} is none of ${JSON.stringify(allowed)}`)
    if (home === undefined) this.addressOf.set(from.address, chosen.address)
    if (source.endpointIndependent) this.sessions.push({ protocol, inside: from, outside: chosen, heard: this.now })
    return chosen
  }

  private freeEnds({ pool, ports: [first, last] }: ModelSource, protocol: Message['protocol'], remote: End | undefined): End[] {
    const ends = pool.flatMap(address => Array.from({ length: last - first + 1 }, (_, n) => ({ address, port: first + n })))
    return ends.filter(end => !this.find(protocol, 'outside', end, remote) && !this.isForwardedPort(protocol, end))
  }

  private forwardOf(protocol: Message['protocol'], to: End) {
    const { forwards } = this.config
    return (
      forwards.find(forward => forward.protocol === protocol && same(forward.at, to)) ??
      forwards.find(({ protocol, at }) => protocol === undefined && at.address === to.address)
    )
  }

  private isForwardedPort(protocol: Message['protocol'], end: End): boolean {
    return this.config.forwards.some(forward => forward.protocol === protocol && same(forward.at, end))
  }

  private isOutside(address: string): boolean {
    const { sources, forwards, floating } = this.config
    return (
      sources.some(({ pool }) => pool.includes(address)) ||
      forwards.some(({ at }) => at.address === address) ||
      floating.some(({ outside }) => outside === address)
    )
  }

  private find(protocol: Message['protocol'], view: 'inside' | 'outside', end: End, remote: End | undefined): Session | undefined {
    return this.sessions.find(session => session.protocol === protocol && same(session[view], end) && same(session.remote, remote))
  }

  /** A binding is heard of with each of its sessions. */
  private hear(session: Session): Session {
    session.heard = this.now
    const binding = this.find(session.protocol, 'inside', session.inside, undefined)
    if (binding && same(binding.outside, session.outside)) binding.heard = this.now
    return session
  }

  /** TCP's bindings are kept for as long as an established connection; here none of them ends. */
  private isBound({ protocol, heard }: Session): boolean {
    return protocol === 'tcp' || this.now - heard <= this.config.silence[protocol]
  }
}
