// SPDX-License-Identifier: Apache-2.0
// Generated conversations: what two honest ends of a TCP connection send passes, whatever the network does to it and whatever scales their windows have.

import { afterAll, beforeAll, test } from '@jest/globals'
import type { TcpFields } from '../../packets/frame'
import { loadFunction, type TestedFunction } from '../../testing/harness'
import { Random, SEED } from '../../testing/random'
import { firewall } from './firewall'
import { other, type Side, Traffic } from './testing'

let tested: TestedFunction
beforeAll(async () => {
  tested = await loadFunction(firewall, { max_sessions: 1024 })
})
afterAll(() => tested?.close())

const CONVERSATIONS = 40

type Segment = TcpFields & { flags: string; payload: number }

const wrap = (number: number) => number >>> 0
const distance = (from: number, to: number) => (to - from) | 0

/** One end: what it has sent, what it knows to have arrived, and what it has got itself. */
class End {
  next: number
  acked: number
  expected = 0
  peerWindow = 0
  finished = false
  private readonly sent: Segment[] = []

  constructor(
    private readonly random: Random,
    first: number,
    private readonly scale?: number
  ) {
    this.next = first
    this.acked = first
  }

  /** What it says next: something new, something again, or only what it has got. */
  speak(): Segment {
    if (this.sent.length > 0 && this.random.below(5) === 0) return this.again()
    const room = distance(this.next, wrap(this.acked + this.peerWindow))
    if (this.finished || room <= 0 || this.random.below(3) === 0) return this.segment('A', 0)
    if (this.random.below(25) === 0) return this.keep(this.segment('FA', 0))
    return this.keep(this.segment('PA', 1 + this.random.below(Math.min(room, 1400))))
  }

  syn(flags: 'S' | 'SA'): Segment {
    const options = this.scale === undefined ? Buffer.alloc(0) : Buffer.from([1, 3, 3, this.scale])
    const segment = { flags, seq: this.next, ack: flags === 'SA' ? this.expected : 0, window: 20_000, options, payload: 0 }
    this.next = wrap(this.next + 1)
    return segment
  }

  /** It gets a segment; what is out of order is thrown away. */
  hear({ flags, seq = 0, ack = 0, window = 0, payload }: Segment, scale: number): void {
    if (flags.includes('A') && distance(this.acked, ack) > 0) this.acked = ack
    if (flags.includes('A')) this.peerWindow = flags.includes('S') ? window : window * 2 ** scale
    if (flags.includes('S')) this.expected = wrap(seq + 1)
    else if (seq === this.expected) this.expected = wrap(seq + payload + Number(flags.includes('F')))
  }

  private again(): Segment {
    return { ...this.random.pick(this.sent), ack: this.expected }
  }

  private keep(segment: Segment): Segment {
    this.sent.push(segment)
    this.next = wrap(this.next + segment.payload + Number(segment.flags.includes('F')))
    this.finished = segment.flags.includes('F')
    return segment
  }

  private segment(flags: string, payload: number): Segment {
    const window = this.random.pick([2000, 20_000, 20_000, 65_535])
    return { flags, seq: this.next, ack: this.expected, window: this.scale ? window >> 4 : window, payload }
  }
}

interface Spoken {
  side: Side
  segment: Segment
}

/** A conversation, as the firewall sees it; each segment may be lost behind it. */
function* converse(random: Random): Generator<Spoken> {
  const scaled = random.below(2) === 1
  const scales = { inside: random.below(8), outside: random.below(8) }
  const end = (side: Side) =>
    new End(random, wrap(random.pick([0, 1000, 0xffff_fff0, 0x7fff_fff0]) + random.below(100)), scaled ? scales[side] : undefined)
  const ends = { inside: end('inside'), outside: end('outside') }
  const scaleOf = (side: Side) => (scaled ? scales[side] : 0)
  const say = function* (side: Side, segment: Segment, lost: boolean): Generator<Spoken> {
    yield { side, segment }
    if (!lost) ends[other(side)].hear(segment, scaleOf(side))
  }

  yield* say('inside', ends.inside.syn('S'), false)
  yield* say('outside', ends.outside.syn('SA'), false)
  yield* say('inside', { flags: 'A', seq: ends.inside.next, ack: ends.inside.expected, window: scaled ? 1000 : 20_000, payload: 0 }, false)
  for (let n = 20 + random.below(60); n > 0; n--) {
    const side = random.pick(['inside', 'outside'] as const)
    yield* say(side, ends[side].speak(), random.below(6) === 0)
  }
}

const said = (history: Spoken[]) =>
  history
    .map(({ side, segment: { flags, seq, ack, window, payload } }) => `${side} ${flags} ${seq}+${payload} ack ${ack} win ${window}`)
    .join('\n')

test.each([4, 6] as const)('what honest ends send passes, lost, repeated and late as it may be (IPv%i)', family => {
  const random = new Random(SEED + family)
  const t = new Traffic(tested, family)
  for (let n = 0; n < CONVERSATIONS; n++) {
    const history: Spoken[] = []
    for (const spoken of converse(random)) {
      history.push(spoken)
      const { flags, ...fields } = spoken.segment
      const outcome = t.tcp(spoken.side, flags, { ...fields, ...portsOf(spoken.side, n) })
      if (outcome.went !== 'port') throw new Error(`SEED=${SEED}: ${JSON.stringify(outcome.counted)} after\n${said(history)}`)
    }
  }
})

function portsOf(side: Side, n: number): { sport: number; dport: number } {
  return side === 'inside' ? { sport: 40_000 + n, dport: 80 } : { sport: 80, dport: 40_000 + n }
}
