// SPDX-License-Identifier: Apache-2.0
// RFC 2131's server in a page, for addresses that are bound to clients: what each message of a client is answered, and what becomes of its lease.

import type { Message, Question } from './testing'

const ANY = '0.0.0.0'
const ALL = '255.255.255.255'

export interface ModelAnswer {
  type: Message
  yours: string
  client: string
  /** Where the packet goes. */
  to: string
  id?: string
}

export class Model {
  readonly leases = new Map<string, 'bound' | 'released' | 'declined'>()

  constructor(
    readonly server: string,
    /** By MAC. */
    readonly addresses: ReadonlyMap<string, string>
  ) {}

  /** What a client hears; undefined where it hears nothing. */
  ask(question: Question & { type: Message; mac: string }): ModelAnswer | undefined {
    const address = this.addresses.get(question.mac)
    const isServed = address !== undefined && !question.relay && (question.hardware ?? question.mac) === question.mac
    const isOurs = question.server === undefined || question.server === this.server
    if (!isServed || !isOurs || ![undefined, ALL, this.server].includes(question.to)) return undefined
    const { client = ANY, requested, mac, type } = question
    switch (type) {
      case 'discover':
        return this.answer(question, 'offer', address, ANY)
      case 'request':
        return this.grant(question, address, requested ?? client)
      case 'inform':
        return client === ANY ? undefined : this.answer(question, 'ack', ANY, client)
      case 'release':
        if (client === address) this.leases.set(mac, 'released')
        return undefined
      case 'decline':
        if (requested === address) this.leases.set(mac, 'declined')
        return undefined
      default:
        return undefined
    }
  }

  private grant(question: Question & { mac: string }, address: string, claimed: string): ModelAnswer | undefined {
    if (claimed === ANY) return undefined
    if (claimed !== address) return this.answer(question, 'nak', ANY, ANY)
    this.leases.set(question.mac, 'bound')
    return this.answer(question, 'ack', address, question.client ?? ANY)
  }

  /** RFC 2131 4.1. */
  private answer({ broadcast, options }: Question, type: Message, yours: string, client: string): ModelAnswer {
    const reachable = broadcast ? ALL : yours
    const to = type === 'nak' ? ALL : client === ANY ? reachable : client
    return { type, yours, client, to, id: options?.[61] }
  }
}
