// SPDX-License-Identifier: Apache-2.0
// Generated messages, one after the other: the loaded program and a model of RFC 2131 say the same to each message, and remember the same leases.

import { isDeepStrictEqual } from 'node:util'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { loadFunction, type Outcome, type TestedFunction } from '../../testing/harness'
import { Random, SEED } from '../../testing/random'
import { dhcp } from './dhcp'
import { Model, type ModelAnswer } from './dhcp.model'
import { CONFIG, MACS, type Message, type Question, read, request, SERVER, send, surroundings, told } from './testing'

const MESSAGES = 10_000
const ADDRESSES = new Map([
  [MACS.alice, '10.0.1.11'],
  [MACS.carol, '10.0.1.13'],
  [MACS.bound, '10.0.1.50']
])
const CLIENTS = [...ADDRESSES.keys(), MACS.bob, MACS.stranger, MACS.onlyIpv6]
const TYPES: readonly Message[] = ['discover', 'request', 'request', 'request', 'inform', 'release', 'decline', 'ack']

let tested: TestedFunction
beforeAll(async () => {
  tested = await loadFunction(dhcp, CONFIG, { surroundings })
})
afterAll(() => tested?.close())

function questionOf(mac: string, random: Random): Question & { type: Message; mac: string } {
  const one = <T>(...choices: T[]): T => random.pick(choices)
  const own = ADDRESSES.get(mac) ?? '10.0.1.12'
  const seldom = <T>(value: T): T | undefined => (random.below(12) === 0 ? value : undefined)
  const options: Record<number, string> = random.below(2) === 0 ? { 55: '0103060f1a79', 57: '0240', 12: '686f7374' } : {}
  if (random.below(2) === 0) options[61] = 'c7'.repeat(1 + random.below(64))
  return {
    ...{ type: one(...TYPES), mac, broadcast: random.below(2) === 0 },
    requested: one(undefined, own, own, one(...ADDRESSES.values(), '192.168.0.7')),
    server: one(undefined, SERVER.address, SERVER.address, '10.0.1.3'),
    client: one(undefined, undefined, own, '10.0.1.77'),
    to: one(undefined, SERVER.address, '10.0.1.3'),
    hardware: seldom(MACS.alice),
    relay: seldom('10.9.9.9'),
    options
  }
}

function heard(outcome: Outcome): ModelAnswer | undefined {
  if (outcome.went === 'nowhere') return undefined
  const { type, yours, client } = read(outcome)
  return { type, yours, client, to: outcome.parsed().ipv4!.dst, id: told(outcome)[61] }
}

/** As expect(), which takes longer than all else here where it need not. */
function expectEqual(actual: unknown, expected: unknown, about: () => string): void {
  if (isDeepStrictEqual(actual, expected)) return
  const hint = `SEED=${SEED} ${about()}`
  expect([hint, actual]).toEqual([hint, expected])
}

test(`${MESSAGES} messages are answered as RFC 2131 has it (SEED=${SEED})`, () => {
  const random = new Random()
  const model = new Model(SERVER.address, ADDRESSES)
  for (let n = 0; n < MESSAGES; n++) {
    const mac = CLIENTS[random.below(CLIENTS.length)]!
    const question = questionOf(mac, random)
    const about = () => `message ${n}: ${JSON.stringify(question)}`
    expectEqual(heard(send(tested, request(question))), model.ask(question), about)
    const lease = tested.table('leases').get(mac) as { state: string } | undefined
    expectEqual(lease?.state, model.leases.get(mac), about)
  }
})
