// SPDX-License-Identifier: Apache-2.0
// Generated sequences: stations speak, move and fall silent, and are declared and forgotten meanwhile; the loaded program does as the model says.

import { afterAll, beforeAll, expect, test } from '@jest/globals'
import type { Endpoint } from '../../catalogue/define'
import { eth, type Frame } from '../../packets/frame'
import { type Arrival, loadFunction, type Outcome, type TestedFunction } from '../../testing/harness'
import { Random, SEED } from '../../testing/random'
import { bridge } from './bridge'
import { AGING, BridgeModel, type Fate, type ModelConfig, type Place, type Sent } from './bridge.model'

/** Each of some frames: 10,000 sequences. */
const CONFIGURATIONS = 200
const SEQUENCES = 50
const PAUSE = 500
const VNI = 100

/** The workload ports of this host, by number, with their own addresses. */
const WORKLOADS: Record<number, string> = { 1: mac(1), 2: mac(2), 3: mac(3) }
const PLACES: Place[] = [
  ...[1, 2, 3].map(number => ({ at: 'workload', number }) as const),
  ...[7, 8].map(number => ({ at: 'peer', number }) as const),
  ...[2, 3].map(number => ({ at: 'port', number }) as const)
]
/** Of stations that are declared now and then; the first three are those of the workload ports. */
const STATIONS = Array.from({ length: 8 }, (_, n) => ({ mac: mac(n + 1), addresses: [`10.0.0.${n + 1}`, `fd00::${n + 1}`] }))
const GROUPS = ['ff:ff:ff:ff:ff:ff', '01:00:5e:00:00:fb', '33:33:00:00:00:01', '01:80:c2:00:00:0e', '01:80:c2:00:00:10']

function mac(n: number): string {
  return `02:00:00:00:00:0${n}`
}

let tested: TestedFunction
beforeAll(async () => {
  tested = await loadFunction(bridge, { vni: VNI })
  for (const [id, own] of Object.entries(WORKLOADS)) tested.addWorkload(Number(id), own)
})
afterAll(() => tested?.close())

function configOf(random: Random): ModelConfig {
  const declared = STATIONS.filter(() => random.below(2))
  return {
    learning: random.below(4) > 0,
    suppression: random.below(4) > 0,
    stations: declared.map(station => ({ ...station, place: random.pick(PLACES) })),
    copies: PLACES.filter(() => random.below(4))
  }
}

function apply({ learning, suppression, stations, copies }: ModelConfig): void {
  const numbers = (at: Place['at']) => copies.filter(copy => copy.at === at).map(({ number }) => number)
  const fields = { workload: 'port_id', peer: 'peer', port: 'bridge_port' } as const
  const endpoints: Endpoint[] = stations.map(({ mac, addresses, place }) => ({ mac, addresses, [fields[place.at]]: place.number }))
  const around = { vni: VNI, mtu: 1450, endpoints, port_ids: numbers('workload'), peers: numbers('peer'), stitched: numbers('port') }
  tested.apply({ vni: VNI, aging_time: `${AGING}s`, learning, suppression }, { bridge: around })
}

class Sequences {
  private readonly history: string[] = []
  private readonly model: BridgeModel

  constructor(
    private readonly random: Random,
    config: ModelConfig
  ) {
    this.model = new BridgeModel(config, WORKLOADS)
  }

  configure(config: ModelConfig): void {
    apply(config)
    this.model.configure(config)
    this.history.push(JSON.stringify(config))
  }

  pause(): void {
    const learned = tested.table('learned')
    for (const { key, value } of learned.entries()) {
      const station = value as { seen: bigint }
      learned.put(key, { ...station, seen: BigInt.asUintN(64, station.seen - BigInt(PAUSE) * 1_000_000_000n) })
    }
    this.model.wait(PAUSE)
    this.history.push(`${PAUSE} s pass`)
  }

  flush(): void {
    for (const { key } of tested.table('learned').entries()) tested.table('learned').delete(key)
    this.model.flush()
    this.history.push('flush')
  }

  /** Some frames of one station, from one place or another, and some to it. */
  run(): void {
    const { random } = this
    const station = mac(1 + random.below(9))
    const home = random.pick(PLACES)
    for (let n = 2 + random.below(3); n > 0; n--) {
      const another = random.below(8) ? mac(1 + random.below(9)) : random.pick(GROUPS)
      if (random.below(2)) this.say(random.below(6) ? home : random.pick(PLACES), { src: station, dst: another })
      else if (random.below(4)) this.say(random.pick(PLACES), { src: another, dst: station })
      else this.say(home, { src: station, dst: GROUPS[0]!, asks: this.question() })
    }
  }

  private question(): Sent['asks'] {
    const target = this.random.pick(STATIONS[this.random.below(STATIONS.length)]!.addresses)
    return { target, isQuestion: this.random.below(5) > 0 }
  }

  private say(from: Place, asked: Sent): void {
    const sent = asked.asks?.target.includes(':') ? { ...asked, dst: '33:33:ff:00:00:01' } : asked
    const frame = frameOf(sent)
    const expected = this.model.fateOf(from, sent)
    const seen = observed(tested.send(frame, arrivalOf(from)), frame.bytes())
    this.history.push(`${from.at} ${from.number}: ${JSON.stringify(sent)}`)
    if (JSON.stringify(seen) === JSON.stringify(expected)) return
    expect(`SEED=${SEED}\n${this.history.slice(-60).join('\n')}\n${JSON.stringify(seen)}`).toBe(JSON.stringify(expected))
  }
}

/** Who announces an address asks for his own (RFC 5227); a solicitation that a router has passed on counts for nothing (RFC 4861). */
function frameOf({ src, dst, asks }: Sent): Frame {
  if (!asks) return eth({ src, dst }).ipv4().udp().payload('data')
  const { target, isQuestion } = asks
  if (!target.includes(':')) {
    const sender_ip = isQuestion ? '10.0.0.99' : target
    return eth({ src, dst }).arp({ sender_mac: src, sender_ip, target_ip: target })
  }
  const solicitation = eth({ src, dst }).ipv6({ src: 'fd00::99', dst: 'ff02::1:ff00:1', hop_limit: isQuestion ? 255 : 64 })
  return solicitation.solicitation({ target, mac: src })
}

function arrivalOf({ at, number }: Place): Arrival {
  if (at === 'workload') return { port: 'workloads', workload: number }
  return at === 'peer' ? { port: 'overlay', peer: number } : { port: number }
}

/** What the kernel did, in the words of the model. No device is there for copies: each is counted as one that found no room. */
function observed(outcome: Outcome, sent: Buffer): Fate | { changed: string } {
  const { no_room: copies = 0, ...others } = outcome.counted
  const counted = Object.keys(others).sort()
  if (others.flooded) return { goes: 'to all', copies, counted }
  const goes = placeOf(outcome)
  if (!goes) return { goes: 'nowhere', counted }
  if (others.suppressed) return { goes, answers: readAnswer(outcome), counted }
  return outcome.bytes.equals(sent) ? { goes, counted } : { changed: outcome.bytes.toString('hex') }
}

function placeOf({ went, port, workload, cb }: Outcome): Place | undefined {
  if (went === 'workload') return { at: 'workload', number: workload! }
  if (port === 'overlay') return cb[4] === VNI ? { at: 'peer', number: cb[3]! } : undefined
  return went === 'port' ? { at: 'port', number: port as number } : undefined
}

function readAnswer(outcome: Outcome): { mac: string; isRouter: boolean } {
  const { eth: ethernet, arp, advertisement } = outcome.parsed()
  const told = arp?.sender_mac ?? advertisement?.mac
  return { mac: ethernet.src === told ? told : `${told} by ${ethernet.src}`, isRouter: advertisement?.flags.includes('R') ?? false }
}

test(`${CONFIGURATIONS * SEQUENCES} sequences go as the model says (SEED=${SEED})`, () => {
  const random = new Random(SEED)
  const sequences = new Sequences(random, configOf(random))
  for (let n = 0; n < CONFIGURATIONS; n++) {
    sequences.configure(configOf(random))
    if (n % 20 === 0) sequences.flush()
    for (let m = 0; m < SEQUENCES; m++) {
      sequences.run()
      if (random.below(25) === 0) sequences.pause()
    }
  }
}, 120_000)
