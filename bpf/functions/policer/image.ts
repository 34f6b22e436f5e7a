// SPDX-License-Identifier: Apache-2.0
// From limits to the kernel's table: for every direction and DSCP the limit that packets meet.

import { createHash } from 'node:crypto'
import type { Image, Value } from '../../catalogue/define'
import { bitsPerSecond, nanoseconds } from '../../catalogue/fields'
import { lruSize } from '../../core/session'
import { CLASSES, classesOf, DIRECTIONS, type Limit, type Limits } from './limit'

const SECOND = 1_000_000_000n
/** Parts of a nanosecond in which buckets count, and by how many bits a cost is finer still: see limits.h. */
const TICKS = 64n
const FRACTION_BITS = 10n

export interface Config {
  limits: Limits
  max_flows: number
}

/** Limits of two generations stand side by side: a packet meets those of the one that `generation` names. */
export function limitImage({ limits }: Config, { generation }: { generation: number }): Image {
  const owners = new Map<number, { name: string; limit: Limit }>()
  const named = Object.entries(limits).map(([name, limit]) => ({ name, limit }))
  const general = named.filter(({ limit }) => limit.dscp === undefined)
  const special = named.filter(({ limit }) => limit.dscp !== undefined)
  for (const each of [...general, ...special]) for (const number of classesOf(each.limit)) owners.set(number, each)
  const bank = (generation % 2) * DIRECTIONS.length * CLASSES
  return {
    maps: { limits: [...owners].map(([number, { name, limit }]) => ({ key: bank + number, value: kernelLimit(name, limit) })) },
    commit: { map: 'generation', entries: [{ key: 0, value: generation }] },
    labels: { exceeded: Object.fromEntries(named.map(({ name }) => [String(limitId(name)), name])) }
  }
}

function kernelLimit(name: string, { rate, packet_rate, burst, per, exceed, set_dscp }: Limit): Value {
  const unit = packet_rate === undefined ? 'bytes' : 'packets'
  const perSecond = packet_rate === undefined ? rate && bitsPerSecond(rate) : BigInt(packet_rate)
  const cost = perSecond && (((unit === 'bytes' ? 8n : 1n) * SECOND * TICKS) << FRACTION_BITS) / perSecond
  return {
    id: limitId(name),
    buckets: limitId(name, unit, String(perSecond)),
    cost: cost ?? 0n,
    burst: nanoseconds(burst) * TICKS,
    unit,
    per,
    exceed,
    sets_dscp: set_dscp !== undefined,
    dscp: set_dscp ?? 0
  }
}

/** Names a limit, whatever becomes of others: 64 bits of a digest. */
function limitId(...names: string[]): bigint {
  return createHash('sha256').update(names.join(' ')).digest().readBigUInt64BE()
}

/** Of all ports that share a policer on one host, beside those in places of their own; what is not IP has one even where limits are per flow. */
const FURTHER_BUCKETS = 16_384
export function bucketSizes({ limits, max_flows }: Config): Record<string, number> {
  const all = Object.values(limits).filter(({ rate, packet_rate }) => rate !== undefined || packet_rate !== undefined)
  return {
    further_buckets: all.length > 0 ? FURTHER_BUCKETS : 1,
    flow_buckets: all.some(({ per }) => per === 'flow') ? lruSize(max_flows) : 1
  }
}
