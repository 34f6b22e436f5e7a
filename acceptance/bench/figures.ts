// SPDX-License-Identifier: Apache-2.0
// The figures that inkev must reach, each computed from one run's medians.

import { COMPARISONS, type Comparison, OWN_KIND, ROW_TARGET } from './kinds'
import type { Mode, Sample } from './measure'
import { median } from './median'
import type { SessionTable } from './sessions'
import type { Passage } from './stitching'

/** Samples of one scenario and mode, a round each. */
export type Rounds = Record<string, Partial<Record<Mode, Sample[]>>>

/** What the parts of a benchmark hand over; a part that did not run is absent, and so are its figures. */
export interface Results {
  traffic?: Rounds
  /** The kinds of the catalogue and what they are compared with. */
  catalogue?: Rounds
  sessions?: SessionTable[]
  passages?: Passage[]
  /** Milliseconds that the writes of one re-stitch take in the kernel. */
  restitchKernelMs?: number
  /** Milliseconds of a REST request that moves a stitch, and packets lost in all of them under load. */
  restitch?: { requestMs: number; lost: number; packets: number }
  /** Milliseconds from a REST request to a function that is loaded and verified. */
  functionCreateMs?: number
  /** Seconds of `terraform apply` and of the refreshing plan after it, by number of ports. */
  terraform?: Record<number, { apply: number; refresh: number }>
  /** Milliseconds from the provider's start to its schema, and to the first answer of its core. */
  providerStart?: { schema: number; core: number }
}

export interface Figure {
  name: string
  value: number
  target: number
  unit: string
  /** Whether the target is a floor (`≥`) or a ceiling (`≤`). */
  bound: '≥' | '≤'
}

export function medianRate(rounds: Rounds, scenario: string, mode: Mode): number {
  return median((rounds[scenario]?.[mode] ?? []).map(sample => sample.rate))
}

/** Median over the rounds of one scenario's rate by another's in the same round. */
export function ratio(rounds: Rounds, of: string, to: string, mode: Mode): number {
  const reference = rounds[to]?.[mode] ?? []
  return median((rounds[of]?.[mode] ?? []).map((sample, round) => sample.rate / reference[round]!.rate))
}

/** Microseconds that a transaction, a request/response or a connection, takes beyond the limit's. */
export function overhead(rounds: Rounds, scenario: string, limit: string, mode: Mode = 'rr'): number {
  const limits = rounds[limit]?.[mode] ?? []
  return median((rounds[scenario]?.[mode] ?? []).map((sample, round) => 1e6 / sample.rate - 1e6 / limits[round]!.rate))
}

export const OWN = { bridged: 'inkev, one network', routed: 'inkev, routed', across: 'inkev, two hosts' }

/** What `own` takes beyond the limit as a part of what the reference takes beyond it. */
export function overheadShare(rounds: Rounds, own: string, reference: string, limit: string, mode: Mode = 'rr'): number {
  return overhead(rounds, own, limit, mode) / overhead(rounds, reference, limit, mode)
}

function trafficFigures(rounds: Rounds): Figure[] {
  const share = (own: string, reference: string, limit: string) => overheadShare(rounds, own, reference, limit)
  const times = (name: string, of: string, to: string, mode: Mode, target: number): Figure => {
    return { name, value: ratio(rounds, of, to, mode), target, unit: '×', bound: '≥' }
  }
  const routed = 'Neutron-like, routed'
  const across = 'Neutron-like, two hosts'
  return [
    times('same host, one network: RR by bare veth', OWN.bridged, 'bare veth', 'rr', 0.9),
    times('same host, routed: RR by Neutron-like', OWN.routed, routed, 'rr', 1.6),
    times('two hosts: RR by Neutron-like', OWN.across, across, 'rr', 1.6),
    times('two hosts: new connections by Neutron-like', OWN.across, across, 'crr', 1.5),
    times('two hosts: connections dialled by Neutron-like', OWN.across, across, 'dial', 1.5),
    times('two hosts: bulk by Neutron-like', OWN.across, across, 'bulk', 1.4),
    times('two hosts: RR by bare underlay', OWN.across, 'bare underlay', 'rr', 0.85),
    {
      name: 'same host, routed: overhead by Neutron-like',
      value: share(OWN.routed, routed, 'bare veth'),
      target: 0.25,
      unit: '×',
      bound: '≤'
    },
    { name: 'two hosts: overhead by Neutron-like', value: share(OWN.across, across, 'bare underlay'), target: 0.25, unit: '×', bound: '≤' }
  ]
}

/** The path without anything between client and server. */
export const BARE = 'bare veth'

function comparisonFigures(rounds: Rounds, { own, peer, overhead, newConnections }: Comparison): Figure[] {
  const share = overheadShare(rounds, own, peer, BARE)
  const found: Figure[] = [{ name: `${own}: overhead by ${peer}`, value: share, target: overhead, unit: '×', bound: '≤' }]
  if (newConnections === undefined) return found
  const times = (what: string, mode: Mode): Figure => {
    return { name: `${own}: ${what} by ${peer}`, value: ratio(rounds, own, peer, mode), target: newConnections, unit: '×', bound: '≥' }
  }
  return [...found, times('new connections', 'crr'), times('connections dialled', 'dial')]
}

function catalogueFigures(rounds: Rounds): Figure[] {
  const row = ratio(rounds, OWN_KIND.row, OWN_KIND.firewall(1), 'rr')
  return [
    ...COMPARISONS.flatMap(comparison => comparisonFigures(rounds, comparison)),
    { name: `${OWN_KIND.row}: RR by one`, value: row, target: ROW_TARGET, unit: '×', bound: '≥' }
  ]
}

export const MEBIBYTE = 2 ** 20

/** A table that is to hold 1 M sessions. */
function sessionFigures({ kind, sessions, bytes, lost }: SessionTable): Figure[] {
  if (sessions !== 1_000_000) return []
  return [
    { name: `${kind}: memory of 1 M sessions`, value: bytes / MEBIBYTE, target: 256, unit: 'MiB', bound: '≤' },
    { name: `${kind}: sessions lost of 1 M`, value: lost, target: 0, unit: 'sessions', bound: '≤' }
  ]
}

/** Nanoseconds that each function of the longest row adds to that of one. */
export function hopNs(passages: Passage[]): number {
  const [one, longest] = [passages[0]!, passages.at(-1)!]
  return (longest.forwardersNs - one.forwardersNs) / (longest.functions - one.functions)
}

/** Every figure that the results hold, in the order of the design's table. */
export function figures({
  traffic,
  catalogue,
  sessions,
  passages,
  restitch,
  restitchKernelMs,
  functionCreateMs,
  terraform,
  providerStart
}: Results): Figure[] {
  const found: Figure[] = [
    ...(traffic ? trafficFigures(traffic) : []),
    ...(catalogue ? catalogueFigures(catalogue) : []),
    ...(sessions ?? []).flatMap(sessionFigures)
  ]
  const ceiling = (name: string, value: number | undefined, target: number, unit: string) => {
    if (value !== undefined) found.push({ name, value, target, unit, bound: '≤' })
  }
  ceiling('one more function that only forwards', passages && hopNs(passages), 3, 'ns')
  ceiling('re-stitch, in the kernel', restitchKernelMs, 1, 'ms')
  ceiling('packets lost in re-stitches under load', restitch?.lost, 0, 'packets')
  ceiling('function created by REST', functionCreateMs, 50, 'ms')
  ceiling('1,000 ports applied by terraform', terraform?.[1000]?.apply, 60, 's')
  ceiling('plan that refreshes 1,000 ports', terraform?.[1000]?.refresh, 8, 's')
  ceiling('provider start to schema', providerStart?.schema, 60, 'ms')
  ceiling('provider start with core', providerStart?.core, 250, 'ms')
  return found
}

export function isMet({ value, target, bound }: Figure): boolean {
  return bound === '≥' ? value >= target : value <= target
}
