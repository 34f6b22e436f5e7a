// SPDX-License-Identifier: Apache-2.0
// What a policer does, said once more and plainly: buckets of tokens that are filled by time. The program is compared with it.

import { bitsPerSecond, nanoseconds } from '../../catalogue/fields'
import type { Limit, Limits } from './limit'

export interface ModelPacket {
  direction: 'ingress' | 'egress'
  workload: number
  /** Undefined: not IP. */
  dscp?: number
  ecn: number
  flow: string
  /** On the wire, after segmentation. */
  packets: number
  bytes: number
}

export type Verdict = 'pass' | 'mark' | 'drop'

/** When a packet was seen, in seconds: not before the first, not after the second. */
export type Moment = readonly [earliest: number, latest: number]

/** How much more than its burst a bucket may let through, as a share of it: the program does not look at the clock for each packet. */
const LEEWAY = 1 / 64

/** Tokens, as far as they can be told by a clock that is not the program's. */
interface Bucket {
  least: number
  most: number
  at: Moment
}

export class Policer {
  private readonly buckets = new Map<string, Bucket>()

  constructor(private readonly limits: Limits) {}

  /** The limit that a packet meets. */
  limitOf({ direction, dscp }: ModelPacket): [name: string, limit: Limit] | undefined {
    const meant = Object.entries(this.limits).filter(([, limit]) => limit.direction === undefined || limit.direction === direction)
    return meant.find(([, limit]) => dscp !== undefined && limit.dscp === dscp) ?? meant.find(([, limit]) => limit.dscp === undefined)
  }

  /** What may become of a packet: one verdict, or several where the moment decides. `settle` tells which it was. */
  judge(packet: ModelPacket, at: Moment): Verdict[] {
    const bucket = this.bucketOf(packet, at)
    if (!bucket) return ['pass']
    const [poor, rich] = [this.verdict(packet, bucket.least), this.verdict(packet, bucket.most)]
    return poor === rich ? [poor] : [poor, rich]
  }

  settle(packet: ModelPacket, at: Moment, verdict: Verdict): void {
    const bucket = this.bucketOf(packet, at)
    if (!bucket || verdict === 'drop') return
    const [, limit] = this.limitOf(packet)!
    const taken = limit.packet_rate === undefined ? packet.bytes * 8 : packet.packets
    bucket.least -= taken
    bucket.most -= taken
  }

  private verdict(packet: ModelPacket, tokens: number): Verdict {
    const [, limit] = this.limitOf(packet)!
    if (tokens <= 0) return 'drop'
    const markable = limit.exceed === 'mark' && packet.dscp !== undefined && packet.ecn !== 0
    return markable && tokens <= sizeOf(limit) / 2 ? 'mark' : 'pass'
  }

  /** Filled up to the moment. */
  private bucketOf(packet: ModelPacket, at: Moment): Bucket | undefined {
    const [name, limit] = this.limitOf(packet) ?? []
    if (!name || !limit || speedOf(limit) === 0) return undefined
    const size = sizeOf(limit)
    const key = [name, ...scopeOf(limit, packet)].join(' ')
    const bucket = this.buckets.get(key) ?? { least: size, most: size, at }
    this.buckets.set(key, bucket)
    const [shortest, longest] = [Math.max(0, at[0] - bucket.at[1]), at[1] - bucket.at[0]]
    bucket.least = Math.min(size, bucket.least + speedOf(limit) * shortest)
    bucket.most = Math.min(size * (1 + LEEWAY), bucket.most + speedOf(limit) * longest)
    bucket.at = at
    return bucket
  }
}

function scopeOf({ per }: Limit, { workload, direction, dscp, flow }: ModelPacket): (string | number)[] {
  if (per === 'port') return [workload]
  if (per === 'direction' || dscp === undefined) return [workload, direction]
  return [workload, direction, flow]
}

/** Bits or packets per second; 0: without end. */
function speedOf({ rate, packet_rate }: Limit): number {
  return packet_rate ?? (rate === undefined ? 0 : Number(bitsPerSecond(rate)))
}

function sizeOf(limit: Limit): number {
  return (speedOf(limit) * Number(nanoseconds(limit.burst))) / 1e9
}
