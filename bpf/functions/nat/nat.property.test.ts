// SPDX-License-Identifier: Apache-2.0
// Generated sequences: whatever the ends send, in whatever order, the loaded program does as the model says.

import { isDeepStrictEqual } from 'node:util'
import { afterEach, expect, test } from '@jest/globals'
import { loadFunction, type Outcome, type TestedFunction } from '../../testing/harness'
import { Random, SEED } from '../../testing/random'
import { nat } from './nat'
import { type End, type Fate, type Message, NatModel } from './nat.model'
import { age, endsOf, icmp, ip } from './testing'

const SEQUENCES = 5000
const LENGTH = 2
/** Sequences between two pauses; and seconds of a pause: no sum of pauses comes near the end of a session, by more than a slow run of the test takes. */
const UNTIL_PAUSE = 250
const PAUSE = 500

type Side = 'inside' | 'outside'

let tested: TestedFunction | undefined
afterEach(() => tested?.close())

/** Few of everything, so that ports are short and ends meet again. */
function worldOf(family: 4 | 6) {
  const inside = (host: string) => (family === 4 ? `10.0.${host.replace(':', '.')}` : `fd00::${host}`)
  const outside = (host: number) => (family === 4 ? `203.0.113.${host}` : `2001:db8::${host}`)
  const [sharing, bound, floating] = [['1:1', '1:2', '1:3'].map(inside), ['2:1', '2:2'].map(inside), inside('3:1')]
  const length = family === 4 ? 0 : 96
  const config = {
    max_sessions: 1024,
    tcp_transient_timeout: '2250s',
    udp_timeout: '1250s',
    icmp_timeout: '750s',
    sources: {
      sharing: { source: family === 4 ? '10.0.1.0/24' : 'fd00::1:0/112', pool: `${outside(1)}/${length + 32}`, ports: '20000-20007' },
      bound: {
        ...{ source: family === 4 ? '10.0.2.0/24' : 'fd00::2:0/112', pool: `${outside(32)}/${length ? 128 : 31}`, ports: '30000-30004' },
        endpoint_independent: true
      }
    },
    forwards: {
      web: { address: outside(1), protocol: 'tcp', ports: '80', to_address: sharing[0], to_port: 20_001 },
      game: { address: outside(1), protocol: 'udp', ports: '20002', to_address: sharing[1] },
      all: { address: outside(3), to_address: sharing[0] }
    },
    floating: { one: { inside: floating, outside: outside(9) } }
  }
  const model = new NatModel({
    sources: [
      { inside: sharing, pool: [outside(1)], ports: [20_000, 20_007], endpointIndependent: false },
      { inside: bound, pool: length ? [outside(32)] : [outside(32), outside(33)], ports: [30_000, 30_004], endpointIndependent: true }
    ],
    forwards: [
      { protocol: 'tcp', at: { address: outside(1), port: 80 }, to: { address: sharing[0]!, port: 20_001 } },
      { protocol: 'udp', at: { address: outside(1), port: 20_002 }, to: { address: sharing[1]!, port: 0 } },
      { at: { address: outside(3), port: 0 }, to: { address: sharing[0]!, port: 0 } }
    ],
    floating: [{ inside: floating, outside: outside(9) }],
    silence: { tcp: 2250, udp: 1250, ping: 750 }
  })
  const remotes = family === 4 ? ['198.51.100.1', '198.51.100.2'] : ['2001:db8:f::1', '2001:db8:f::2']
  return { config, model, inside: [...sharing, ...bound, floating], outside: [1, 3, 9, 32, 33].map(outside), remotes }
}

const PROTOCOLS = { tcp: { 4: 6, 6: 6 }, udp: { 4: 17, 6: 17 }, ping: { 4: 1, 6: 58 } }
const PORTS = [7, 20_001, 20_002, 30_001]
const SERVICES = [53, 80, 20_002]

/** A message of an end that may well have been heard of before. */
function generate(random: Random, world: ReturnType<typeof worldOf>): [Side, Message] {
  const protocol = random.pick(['tcp', 'udp', 'ping'] as const)
  const side = random.pick(['inside', 'outside'] as const)
  const port = () => 20_000 + random.below(8)
  const remote = { address: random.pick(world.remotes), port: random.pick(SERVICES) }
  const from = side === 'inside' ? { address: random.pick(world.inside), port: random.pick(PORTS) } : remote
  const to =
    side === 'outside'
      ? { address: random.pick(world.outside), port: random.pick([port(), port(), 80, 30_000 + random.below(5)]) }
      : random.below(4)
        ? remote
        : { address: random.pick(world.outside), port: random.pick([80, 20_002, port()]) }
  if (protocol !== 'ping')
    return [side, { protocol, from, to, opens: protocol === 'udp' || (side === 'inside' && to !== remote) || random.below(8) > 0 }]
  const asks = random.below(2) === 0
  return [side, { protocol, from: { ...from, port: asks ? from.port : 0 }, to: { ...to, port: asks ? 0 : to.port }, opens: asks }]
}

function send(nat: TestedFunction, side: Side, { protocol, from, to, opens }: Message): Outcome {
  const header = ip(from.address, to.address)
  const ports = { sport: from.port, dport: to.port }
  if (protocol === 'ping') return nat.send(icmp(header, opens ? 'request' : 'reply', from.port || to.port), { port: side })
  return nat.send(protocol === 'udp' ? header.udp(ports) : header.tcp({ ...ports, flags: opens ? 'S' : 'A' }), { port: side })
}

/** The outside end that the kernel has given to the sender. */
function outsideEnd(nat: TestedFunction, family: 4 | 6, { protocol, from, to }: Message): End | undefined {
  const ends = { local: from.address, remote: to.address, local_port: from.port, remote_port: to.port }
  const key = { ...ends, workload: 0, protocol: PROTOCOLS[protocol][family] }
  return (nat.table(`sessions${family}`).get(key) as { data: End } | undefined)?.data
}

/** What the kernel did, in the words of the model. */
function observed(outcome: Outcome, { protocol, opens }: Message): Fate {
  if (outcome.counted.exhausted) return { lost: 'exhausted' }
  if (outcome.went !== 'port') return { lost: Object.keys(outcome.counted).filter(name => name !== 'sessions_opened')[0]! }
  const { src, sport, dst, dport } = endsOf(outcome)
  const [source, destination] = protocol !== 'ping' ? [sport, dport] : opens ? [sport, 0] : [0, dport]
  return {
    leaves: outcome.port as Side,
    message: { protocol, opens, from: { address: src, port: source }, to: { address: dst, port: destination } }
  }
}

test.each([4, 6] as const)(
  `IPv%i: 5,000 sequences are translated as a model translates them (SEED=${SEED})`,
  async family => {
    const world = worldOf(family)
    const numbers = new Random(SEED + family)
    const translator = await loadFunction(nat, world.config)
    tested = translator
    for (let n = 0; n < SEQUENCES; n++) {
      const sequence = []
      for (let length = 0; length < LENGTH; length++) {
        const [side, message] = generate(numbers, world)
        if (message.protocol === 'tcp' && !message.opens && world.model.knows(message)) continue
        sequence.push(`${side} ${JSON.stringify(message)}`)
        const outcome = send(translator, side, message)
        const seen = observed(outcome, message)
        const fate = world.model.fateOf(side, message, () => outsideEnd(translator, family, message))
        if (!isDeepStrictEqual(seen, fate)) expect({ SEED, n, sequence, fate: seen }).toEqual({ SEED, n, sequence, fate })
      }
      if (n % UNTIL_PAUSE === 0) {
        age(translator, family, PAUSE)
        world.model.wait(PAUSE)
      }
    }
  },
  180_000
)
