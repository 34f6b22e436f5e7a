// SPDX-License-Identifier: Apache-2.0
// Generated sequences: what clients and backends send, while backends come, drain and go and time passes, against the plain model.

import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { loadFunction, type TestedFunction } from '../../testing/harness'
import { Random, SEED } from '../../testing/random'
import { loadBalancer } from './load_balancer'
import { type Flow, Model, type ModelConfig, type Place } from './load_balancer.model'
import { ADDRESSES, type Ends, endsOf, forgetAll, ip, quotedEnds, tcp, turned, udp, wait } from './testing'

const SERVICES = {
  web4: { family: 4, protocol: 'tcp', port: 80 },
  web6: { family: 6, protocol: 'tcp', port: 80 },
  dns4: { family: 4, protocol: 'udp', port: 53 },
  dns6: { family: 6, protocol: 'udp', port: 53 }
} as const
type Name = keyof typeof SERVICES
const NAMES = Object.keys(SERVICES) as Name[]

/** Each of some packets: 10,000 sequences. */
const CONFIGURATIONS = 20
const SEQUENCES = 500
/** Sequences of which some flow may speak again later. */
const REMEMBERED = 40

let balancer: TestedFunction
beforeAll(async () => {
  balancer = await loadFunction(loadBalancer, { services: {}, backends: {} })
})
afterAll(() => balancer?.close())

/** Backends of one of the services, some draining, some weighted, some not there. */
function backendsOf(
  random: Random,
  name: Name
): Record<string, { service: Name; address: string; port: number; weight: number; drain: boolean }> {
  const { family, port } = SERVICES[name]
  const rows = [11, 12, 13, 14].flatMap(host => {
    const address = family === 4 ? `10.0.2.${host}` : `fd00:2::${host}`
    const row = { service: name, address, port: port + 8000, weight: 1 + random.below(3), drain: random.below(4) === 0 }
    return random.below(4) === 0 ? [] : [[`${name}-${host}`, row] as const]
  })
  return Object.fromEntries(rows)
}

class Sequences {
  private readonly model = new Model()
  private readonly flows: Flow[] = []
  private readonly history: string[] = []
  private next = 1024

  constructor(private readonly random: Random) {}

  configure(): void {
    const backends = Object.assign({}, ...NAMES.map(name => backendsOf(this.random, name)))
    const services = Object.fromEntries(
      NAMES.map(name => [
        name,
        { address: ADDRESSES[SERVICES[name].family].virtual, port: SERVICES[name].port, protocol: SERVICES[name].protocol }
      ])
    )
    balancer.apply({ max_sessions: 8192, services, backends })
    const rows = Object.values(backends) as { service: string; address: string; port: number; drain: boolean }[]
    const byService = NAMES.map(name => [name, rows.filter(({ service }) => service === name)] as const)
    this.model.configure(Object.fromEntries(byService) as ModelConfig)
    this.history.push('another configuration')
  }

  /** A flow that is new or has spoken before, and some packets of its two ends. */
  run(): void {
    const flow = this.random.below(4) === 0 && this.flows.length > 0 ? this.random.pick(this.flows) : this.begin()
    let place: Place | undefined
    for (let n = 2 + this.random.below(6); n > 0; n--) {
      const action = this.random.below(8)
      if (action < 4 || !place) place = this.ask(flow) ?? place
      else if (action < 7) this.reply(flow, place)
      else this.complain(flow, place)
    }
  }

  pass(): void {
    const seconds = this.random.pick([100, 100, 300, 5000])
    wait(balancer, seconds)
    this.model.wait(seconds)
    this.history.push(`${seconds} s pass`)
  }

  forget(): void {
    forgetAll(balancer)
    this.model.forgetAll()
    this.flows.length = 0
  }

  private begin(): Flow {
    const service = this.random.pick(NAMES)
    const { family, protocol } = SERVICES[service]
    const host = 1 + this.random.below(50)
    this.next = this.next === 65_000 ? 1024 : this.next + 1
    const flow = { service, protocol, client: family === 4 ? `192.0.2.${host}` : `2001:db8:1::${host}`, port: this.next }
    this.flows.push(flow)
    if (this.flows.length > REMEMBERED) this.flows.shift()
    return flow
  }

  private outer({ service, client, port }: Flow): Ends {
    const { family, port: dport } = SERVICES[service as Name]
    return { src: client, dst: ADDRESSES[family].virtual, sport: port, dport }
  }

  private inner(flow: Flow, place: Place): Ends {
    return { ...this.outer(flow), dst: place.address, dport: place.port }
  }

  private frame(flow: Flow, ends: Ends, flags: string) {
    return (flow.protocol === 'tcp' ? tcp(ends, flags) : udp(ends)).payload(this.random.below(40))
  }

  private ask(flow: Flow): Place | undefined {
    const flags = flow.protocol === 'udp' ? '' : this.random.pick(['S', 'S', 'A', 'A', 'A', 'PA', 'FA', 'RA'])
    const expected = this.model.fromClient(flow, flags)
    const outcome = balancer.send(this.frame(flow, this.outer(flow), flags), { port: 'outside' })
    const said = `${this.outer(flow).src} ${flow.port} ${flow.service} ${flags}`
    if (expected.answer === 'refused') {
      this.agree(said, [outcome.counted], [{ no_backend: 1 }])
      return undefined
    }
    if (outcome.went !== 'port') this.agree(said, outcome.counted, 'sent')
    const { dst: address, dport: port } = endsOf(outcome) as Required<Ends>
    this.agree(said, outcome.counted, expected.counted ? { [expected.counted]: 1 } : {})
    this.agree(
      said,
      expected.places.some(place => place.address === address && place.port === port) || [address, port, expected.places],
      true
    )
    if (expected.counted) this.model.sent(flow, { address, port })
    return { address, port }
  }

  private reply(flow: Flow, place: Place): void {
    const flags = flow.protocol === 'udp' ? '' : this.random.pick(['SA', 'A', 'A', 'PA', 'FA', 'RA'])
    const known = this.model.fromBackend(flow, place, flags)
    const reply = turned(this.inner(flow, place))
    const outcome = balancer.send(this.frame(flow, reply, flags), { port: 'inside' })
    this.agree(`reply ${reply.src} to ${flow.port} ${flags}`, endsOf(outcome), known ? turned(this.outer(flow)) : reply)
  }

  /** A router tells the client of a packet that did not reach the backend. */
  private complain(flow: Flow, place: Place): void {
    const { family } = SERVICES[flow.service as Name]
    const header = ip({ src: ADDRESSES[family].router, dst: flow.client })
    const error = family === 4 ? header.icmp({ type: 11 }) : header.icmpv6({ type: 3 })
    const outcome = balancer.send(error.quote(this.frame(flow, this.inner(flow, place), 'A')), { port: 'inside' })
    const about = quotedEnds(outcome.parsed().quoted!)
    this.agree(`error to ${flow.port}`, about, outcome.counted.errors_translated ? this.outer(flow) : this.inner(flow, place))
  }

  private agree(said: string, what: unknown, expected: unknown): void {
    this.history.push(said)
    if (this.history.length > 60) this.history.shift()
    if (JSON.stringify(what) === JSON.stringify(expected)) return
    expect(`SEED=${SEED}\n${this.history.join('\n')}\n${JSON.stringify(what)}`).toBe(JSON.stringify(expected))
  }
}

test(`${CONFIGURATIONS * SEQUENCES} sequences go as the model says (SEED=${SEED})`, () => {
  const random = new Random(SEED)
  const sequences = new Sequences(random)
  for (let n = 0; n < CONFIGURATIONS; n++) {
    if (n % 2 === 0) sequences.forget()
    sequences.configure()
    for (let m = 0; m < SEQUENCES; m++) {
      sequences.run()
      if (random.below(200) === 0) sequences.pass()
    }
  }
}, 120_000)
