// SPDX-License-Identifier: Apache-2.0
// Generated limits and packets, by the program and by the model: both let the same ones through.

import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { validateConfig } from '../../catalogue/validate'
import { eth, type Frame } from '../../packets/frame'
import { loadFunction, type Outcome, type TestedFunction } from '../../testing/harness'
import { Random, SEED } from '../../testing/random'
import type { Limits } from './limit'
import { policer } from './policer'
import { type ModelPacket, Policer, type Verdict } from './policer.model'
import { pass, refill } from './testing'

const CONFIGS = 200
const SEQUENCES = 50
const PACKETS = 4
const DSCPS = [0, 10, 46]

let tested: TestedFunction
beforeAll(async () => {
  tested = await loadFunction(policer, { limits: { any: { rate: '1mbit', per: 'flow' } }, max_flows: 1024 })
})
afterAll(() => tested.close())

function generateLimits(random: Random): Limits {
  const classes = [...DSCPS, undefined].flatMap(dscp => ['ingress', 'egress'].map(direction => ({ dscp, direction })))
  const rows = classes.filter(() => random.below(2)).map(meant => ({ ...meant, ...generateRate(random), ...generateMark(random) }))
  const limits = Object.fromEntries([...rows, { dscp: 1, rate: '1kbit' }].map((row, n) => [`limit-${n}`, row]))
  return validateConfig(policer, { limits }).config.limits as Limits
}

function generateRate(random: Random): object {
  const speed = random.below(3) ? { rate: random.pick(['8kbit', '64kbit', '500kbit']) } : { packet_rate: random.pick([1, 7, 20]) }
  const burst = random.pick(['100ms', '700ms', '3s'])
  return { ...speed, burst, per: random.pick(['port', 'direction', 'flow']), exceed: random.pick(['drop', 'mark']) }
}

function generateMark(random: Random): object {
  return random.below(2) ? { set_dscp: random.below(64) } : {}
}

interface Generated {
  packet: ModelPacket
  frame: Frame
  gso_size: number
}

function generatePacket(random: Random): Generated {
  const [dscp, ecn, sport] = [random.pick(DSCPS), random.below(4), 1 + random.below(2)]
  const [ipv6, tcp] = [random.below(2) === 1, random.below(2) === 1]
  const payload = 1 + random.below(3000)
  const gso_size = tcp && random.below(3) === 0 ? 100 + random.below(1400) : 0
  const bits = (dscp << 2) | ecn
  const ip = ipv6 ? eth().ipv6({ traffic_class: bits }) : eth().ipv4({ tos: bits })
  const frame = random.below(12) === 0 ? eth().arp() : (tcp ? ip.tcp({ sport }) : ip.udp({ sport })).payload(payload)
  const isIp = frame.bytes().readUInt16BE(12) !== 0x0806
  const headers = (ipv6 ? 40 : 20) + (tcp ? 20 : 8)
  const packets = isIp && gso_size ? Math.ceil(payload / gso_size) : 1
  const bytes = isIp ? packets * headers + payload : frame.bytes().length - 14
  const direction = random.pick(['ingress', 'egress'] as const)
  const packet = { direction, workload: 0, dscp: isIp ? dscp : undefined, ecn, flow: `${ipv6} ${tcp} ${sport}`, packets, bytes }
  return { packet, frame, gso_size: isIp ? gso_size : 0 }
}

function verdictOf({ went, counted }: Outcome): Verdict {
  if (went !== 'port') return 'drop'
  return counted.marked ? 'mark' : 'pass'
}

/** DSCP and ECN of a packet that was let through. */
function classAfter({ dscp, ecn }: ModelPacket, verdict: Verdict, set_dscp = dscp): number | undefined {
  return dscp === undefined ? undefined : (set_dscp! << 2) | (verdict === 'mark' ? 3 : ecn)
}

test(`${CONFIGS * SEQUENCES} sequences of packets and pauses are judged as by the model`, () => {
  const random = new Random(SEED)
  const seconds = () => Number(process.hrtime.bigint()) / 1e9
  let unsure = 0
  for (let c = 0; c < CONFIGS; c++) {
    const limits = generateLimits(random)
    tested.apply({ limits, max_flows: 1024 })
    for (let s = 0; s < SEQUENCES; s++) {
      const model = new Policer(limits)
      const history: object[] = []
      let later = 0
      refill(tested)
      for (let n = 0; n < PACKETS; n++) {
        const pause = random.below(3) ? 0 : random.below(2000) / 1000
        if (pause) pass(tested, pause)
        later += pause
        const { packet, frame, gso_size } = generatePacket(random)
        const begun = seconds()
        const outcome = tested.send(frame, { port: packet.direction === 'egress' ? 'inside' : 'outside', gso_size })
        const at = [begun + later, seconds() + later] as const
        const [expected, verdict] = [model.judge(packet, at), verdictOf(outcome)]
        const [, limit] = model.limitOf(packet) ?? []
        history.push({ pause, ...packet, verdict })
        const told = () => `SEED=${SEED}: ${expected} was expected: ${JSON.stringify({ limits, history }, null, 1)}`
        if (!expected.includes(verdict)) throw new Error(told())
        if (verdict !== 'drop') {
          const { ipv4, ipv6 } = outcome.parsed()
          if ((ipv4?.tos ?? ipv6?.traffic_class) !== classAfter(packet, verdict, limit?.set_dscp))
            throw new Error(`the class is wrong: ${told()}`)
        }
        unsure += expected.length - 1
        model.settle(packet, at, verdict)
      }
    }
  }
  expect(unsure).toBeLessThan((CONFIGS * SEQUENCES * PACKETS) / 50)
}, 180_000)
