// SPDX-License-Identifier: Apache-2.0
// Faults in a policer's limits: rates that cannot be, and limits that contradict each other.

import type { Problem } from '../../catalogue/define'
import { bitsPerSecond, nanoseconds } from '../../catalogue/fields'
import { DIRECTIONS, type Limit, type Limits } from './limit'

/** Bits per second between which the kernel's fixed-point arithmetic is exact. */
const RATE_MIN = 1_000n
const RATE_MAX = 1_000_000_000_000n
const BURST_MAX = nanoseconds('1m')

/** The limits have been found valid by their schema. */
export function checkLimits({ limits }: { limits: Limits }): Problem[] {
  const problems = Object.entries(limits).flatMap(([key, limit]) =>
    [...checkRate(limit), ...checkUse(limit)].map(problem => ({ ...problem, path: `limits.${key}.${problem.path}` }))
  )
  return problems.length > 0 ? problems : contradictions(limits)
}

function checkRate({ rate, packet_rate, burst }: Limit): Problem[] {
  const problems: Problem[] = []
  const bits = rate === undefined ? RATE_MIN : bitsPerSecond(rate)
  if (bits === 0n) problems.push({ path: 'rate', message: 'a rate of zero lets nothing pass', hint: 'Refuse packets by a firewall.' })
  else if (bits < RATE_MIN || bits > RATE_MAX) problems.push({ path: 'rate', message: `${rate} is not between 1kbit and 1000gbit` })
  if (rate !== undefined && packet_rate !== undefined)
    problems.push({
      path: 'packet_rate',
      message: 'a limit has one rate: this one also has rate',
      hint: 'Put two policers into the chain.'
    })
  if (nanoseconds(burst) === 0n)
    problems.push({ path: 'burst', message: 'a burst of zero lets nothing pass', hint: 'The default is 250ms.' })
  if (nanoseconds(burst) > BURST_MAX) problems.push({ path: 'burst', message: `${burst} is more than a minute` })
  return problems
}

function checkUse({ rate, packet_rate, exceed, set_dscp }: Limit): Problem[] {
  if (rate !== undefined || packet_rate !== undefined) return []
  if (exceed === 'mark') return [{ path: 'exceed', message: 'nothing exceeds a limit without a rate', hint: 'Set rate or packet_rate.' }]
  if (set_dscp === undefined) return [{ path: 'rate', message: 'the limit does nothing', hint: 'Set rate, packet_rate or set_dscp.' }]
  return []
}

/** Each traffic class belongs to one limit. */
function contradictions(limits: Limits): Problem[] {
  const owners = new Map<string, string>()
  return Object.entries(limits).flatMap(([key, { direction, dscp }]) => {
    const meant = DIRECTIONS.filter(each => direction === undefined || each === direction).map(each => `${each} ${dscp ?? 'rest'}`)
    const other = meant.map(each => owners.get(each)).find(owner => owner !== undefined)
    for (const each of meant) owners.set(each, key)
    if (other === undefined) return []
    const what = dscp === undefined ? 'packets of any DSCP' : `packets of DSCP ${dscp}`
    const path = `limits.${key}.${dscp === undefined ? 'direction' : 'dscp'}`
    return [{ path, message: `${other} means ${what} in the same direction`, hint: 'Set another direction or dscp in one of them.' }]
  })
}
