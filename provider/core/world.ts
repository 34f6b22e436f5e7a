// SPDX-License-Identifier: Apache-2.0
// What the provider process knows: the agents of its configuration, and the resources that this run has planned so far.

import { InkevError } from '@inkev/agent/api/errors'
import type { Host, ResourceType } from '@inkev/agent/api/resources'
import { type Desired, type HostFacts, noRows } from '@inkev/agent/src/model/desired'
import { requireReach } from '@inkev/agent/src/model/reach'
import { macOf } from '@inkev/agent/src/model/resolve'
import { requirePortsInside, validate } from '@inkev/agent/src/model/validate'
import { DEFAULT_POLICY } from '@inkev/bpf/catalogue/policy'
import { type Agent, AgentError, type Limits } from './agent'
import type { Diagnostic } from './diagnostics'
import { endpointOperations, memberships } from './endpoints'
import type { Members } from './value'

/** One planned object: what will be asked of the agents of these hosts. */
export interface Intent {
  name: string
  hosts: string[]
  body: Members
}

/** The calls of one operation: its agents, its time limit, and what it has to say on the way. */
export interface Session extends Limits {
  world: World
  warnings: Diagnostic[]
  /** Throws AgentError where the provider block names no such host. */
  agent(host: string): Agent
}

type Plans = ReturnType<typeof noRows<Members>>

export class World {
  readonly #intents = new Map<string, Intent>()
  /** What this run has planned so far, by host. */
  readonly #plans: ReadonlyMap<string, Plans>

  /** `agents` is undefined while the provider block is not wholly known. */
  constructor(readonly agents: ReadonlyMap<string, Agent> | undefined) {
    this.#plans = new Map([...(agents?.keys() ?? [])].map(host => [host, noRows<Members>()]))
  }

  /** The names of all hosts, or undefined while they are not known. */
  get hosts(): string[] | undefined {
    return this.agents && [...this.agents.keys()].toSorted()
  }

  session(signal: AbortSignal, hurry = signal): Session {
    const agent = (host: string) => {
      const found = this.agents?.get(host)
      if (!found) throw this.#unknownHost(host)
      return found.within({ signal, hurry })
    }
    return { world: this, signal, hurry, warnings: [], agent }
  }

  #unknownHost(host: string): AgentError {
    const message = `unknown host ${host}: the provider block names ${this.hosts?.join(', ') || 'none that is known yet'}`
    return new AgentError(host, message, {
      summary: `Unknown host ${host}`,
      hint: 'Name one of these, or add the host to the provider block.'
    })
  }

  intent(rest: ResourceType, name: string): Intent | undefined {
    return this.#intents.get(`${rest}/${name}`)
  }

  /** Notes what one object is to become, and judges it beside all others of this run by the rules of its hosts’ agents. Throws AgentError. */
  intend(rest: ResourceType, intent: Intent, met: readonly Host[] = []): void {
    this.note(rest, intent)
    for (const host of intent.hosts) judge(host, rest, intent.name, this.#plans.get(host)!, met.find(({ name }) => name === host)?.programs)
  }

  /** Notes what one object is to become, for the others to be judged by. */
  note(rest: ResourceType, asked: Intent): void {
    const intent = rest === 'ports' ? withMac(asked) : asked
    this.forget(rest, intent.name)
    this.#intents.set(`${rest}/${intent.name}`, intent)
    const endpoints = rest === 'ports' ? endpointOperations(intent.hosts[0]!, { ...intent.body, name: intent.name }) : []
    for (const [host, plans] of this.#plans)
      if (intent.hosts.includes(host)) plans[rest].set(intent.name, intent.body)
      else for (const { name, body } of endpoints) plans.endpoints.set(name, body)
  }

  forget(rest: ResourceType, name: string): void {
    const intent = this.intent(rest, name)
    if (!intent) return
    this.#intents.delete(`${rest}/${name}`)
    for (const plans of this.#plans.values()) {
      plans[rest].delete(name)
      if (rest === 'ports') for (const { network } of memberships(intent.body)) plans.endpoints.delete(`${network}.${intent.name}`)
    }
  }
}

/** A port with the MAC that the agent will derive for it: to find it again in every judgement would cost too much. */
function withMac({ body, hosts, name }: Intent): Intent {
  const mac = macOf(name, body as never)
  return { name, hosts, body: { ...body, ...(mac && { mac }) } }
}

/** Judges one object by itself. Throws AgentError. */
export function judgeAlone(rest: ResourceType, name: string, body: Members): void {
  const plans = noRows<Members>()
  plans[rest].set(name, body)
  judge('', rest, name, plans)
}

/** Judges an object by the agent’s rules, on a host that has every namespace and device. */
function judge(host: string, rest: ResourceType, name: string, plans: Plans, programs = DEFAULT_POLICY): void {
  const facts: HostFacts = {
    name: host,
    uplink: { name: 'uplink', ifindex: 0, mtu: 9000, vtep: '0.0.0.0' },
    hasNetns: () => true,
    troubles: () => ({ failing: new Map(), hindered: new Map() }),
    programs,
    device: () => ({ ifindex: 1, mtu: 9000 })
  }
  try {
    const desired = plans as unknown as Desired
    validate(desired, facts, rest, name, undefined)
    if (rest === 'networks') requirePortsInside(desired, name)
    requireReach(desired, rest, name)
  } catch (error) {
    if (!(error instanceof InkevError)) throw error
    const { code, hint, message, path } = error
    throw new AgentError(host, message, { summary: `Invalid ${path || 'configuration'}`, code, path, hint })
  }
}
