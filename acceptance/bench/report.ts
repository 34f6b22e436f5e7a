// SPDX-License-Identifier: Apache-2.0
// How a benchmark is told: a table for the terminal, Markdown and an SVG chart for the reader. Pure.

import {
  BARE,
  type Figure,
  figures,
  isMet,
  MEBIBYTE,
  medianRate,
  overhead,
  overheadShare,
  type Results,
  type Rounds,
  ratio
} from './figures'
import { COMPARISONS, type Comparison } from './kinds'
import { MODES, type Mode } from './measure'
import { median } from './median'
import type { SessionTable } from './sessions'

export interface Machine {
  cpu: string
  cpus: number
  kernel: string
  date: string
  /** Load average before the first measurement: what else the machine was doing. */
  load: number
}

const WRITTEN: Record<Mode, { title: string; format: (rate: number) => string }> = {
  rr: { title: 'Request/response', format: rate => `${(rate / 1e3).toFixed(1)} k/s` },
  crr: { title: 'New connections', format: rate => `${(rate / 1e3).toFixed(1)} k/s` },
  dial: { title: 'Dialled', format: rate => `${(rate / 1e3).toFixed(1)} k/s` },
  bulk: { title: 'Bulk', format: rate => `${(rate / 1e9).toFixed(1)} Gbit/s` }
}

function number(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(2)
}

function figureRow(figure: Figure): string[] {
  const { name, value, unit, bound, target } = figure
  return [name, `${number(value)} ${unit}`, `${bound} ${Number(target.toFixed(2))} ${unit}`, isMet(figure) ? 'met' : 'missed']
}

function trafficRow(rounds: Rounds, scenario: string): string[] {
  const rates = MODES.map(mode => (rounds[scenario]?.[mode] ? WRITTEN[mode].format(medianRate(rounds, scenario, mode)) : '–'))
  const percentile = (key: 'p50' | 'p99') => `${number(median((rounds[scenario]?.rr ?? []).map(sample => sample[key]!)))} µs`
  return [scenario, ...rates, percentile('p50'), percentile('p99')]
}

interface Table {
  head: string[]
  rows: string[][]
}

function ratesOf(rounds: Rounds): Table {
  const head = ['scenario', ...MODES.map(mode => WRITTEN[mode].title), 'RR p50', 'RR p99']
  return { head, rows: Object.keys(rounds).map(scenario => trafficRow(rounds, scenario)) }
}

function comparisonRow(rounds: Rounds, { own, peer }: Comparison): string[] {
  const µs = (scenario: string) => `${number(overhead(rounds, scenario, BARE))} µs`
  const times = MODES.map(mode => (rounds[peer]?.[mode] ? `${number(ratio(rounds, own, peer, mode))} ×` : '–'))
  return [own, peer, µs(own), µs(peer), `${number(overheadShare(rounds, own, peer, BARE))} ×`, ...times]
}

function comparisons(rounds: Rounds): Table {
  const head = ['kind', 'reference', 'overhead', 'of the reference', 'share', ...MODES.map(mode => WRITTEN[mode].title)]
  return { head, rows: COMPARISONS.map(comparison => comparisonRow(rounds, comparison)) }
}

function connectionRow(rounds: Rounds, { own, peer }: Comparison): string[] {
  const µs = (scenario: string) => `${number(overhead(rounds, scenario, BARE, 'dial'))} µs`
  const times = (scenario: string, mode: Mode) => `${number(ratio(rounds, scenario, peer, mode))} ×`
  const share = `${number(overheadShare(rounds, own, peer, BARE, 'dial'))} ×`
  return [own, peer, µs(own), µs(peer), share, times(own, 'dial'), times(own, 'crr'), times(BARE, 'crr')]
}

/** What a connection takes the path, beside what its sockets leave to be seen of that. */
function connections(rounds: Rounds): Table {
  const head = ['a connection', 'reference', 'overhead', 'of the reference', 'share', 'dialled', 'with sockets', 'bare veth with sockets']
  const dialled = COMPARISONS.filter(({ peer }) => rounds[peer]?.dial)
  return { head, rows: dialled.map(comparison => connectionRow(rounds, comparison)) }
}

function sessionRow({ kind, sessions, openNs, knownNs, bytes }: SessionTable): string[] {
  const rate = (ns: number) => WRITTEN.rr.format(1e9 / ns)
  const memory = [`${number(bytes / MEBIBYTE)} MiB`, `${(bytes / sessions).toFixed(0)} B`]
  return [kind, sessions.toLocaleString('en'), rate(openNs), rate(knownNs), ...memory]
}

function tables(results: Results): Table[] {
  const found: Table[] = [{ head: ['figure', 'value', 'target', ''], rows: figures(results).map(figureRow) }]
  const { traffic, catalogue, sessions, passages, terraform } = results
  if (traffic) found.push(ratesOf(traffic))
  if (catalogue) found.push(comparisons(catalogue), connections(catalogue), ratesOf(catalogue))
  if (sessions) {
    const head = ['sessions of', 'how many', 'opened', 'packets of known ones', 'memory', 'of each']
    found.push({ head, rows: sessions.map(sessionRow) })
  }
  if (passages) {
    const row = (name: string, values: number[]) => [name, ...values.map(value => `${value.toFixed(0)} ns`)]
    found.push({
      head: ['functions in a row', ...passages.map(({ functions }) => String(functions))],
      rows: [
        row(
          'functions that only forward',
          passages.map(({ forwardersNs }) => forwardersNs)
        ),
        row(
          'nothing but tail calls',
          passages.map(({ bareCallsNs }) => bareCallsNs)
        )
      ]
    })
  }
  if (terraform) {
    const rows = Object.entries(terraform).map(([ports, { apply, refresh }]) => [ports, `${apply.toFixed(1)} s`, `${refresh.toFixed(1)} s`])
    found.push({ head: ['ports', 'apply', 'refreshing plan'], rows })
  }
  return found
}

/** Columns aligned by blanks. */
export function plainText(results: Results): string {
  return tables(results)
    .map(({ head, rows }) => {
      const widths = head.map((_, column) => Math.max(...[head, ...rows].map(row => row[column]!.length)))
      return [head, ...rows]
        .map(row =>
          row
            .map((cell, column) => cell.padEnd(widths[column]!))
            .join('  ')
            .trimEnd()
        )
        .join('\n')
    })
    .join('\n\n')
}

/** The page docs/benchmarks.md. */
export function markdown(results: Results, machine: Machine, command: string): string {
  const body = tables(results).map(({ head, rows }) =>
    [head, head.map(() => '---'), ...rows].map(row => `| ${row.join(' | ')} |`).join('\n')
  )
  return `# Benchmarks

Measured on ${machine.date} by \`${command}\` on ${machine.cpus} × ${machine.cpu}, Linux ${machine.kernel},
at a load average of ${machine.load.toFixed(1)} from other work before it began: above 0.5 the figures are disturbed. Client and server share one CPU; the scenarios are
interleaved round by round in one run; rates are medians, ratios are medians of the rounds' own ratios. Read the ratios: absolute figures hold for one machine only.
*Overhead* is the time per transaction beyond that of the limit (bare veth, bare underlay). The *least overlay* is two eBPF programs that only
open and close tunnels: no network, no firewall. Kinds of the catalogue are measured between two networks with a router, their references in a router namespace:
overheads hold the routing of either side. *inspect* and the programs in user space look for the same patterns in the first 1,500 bytes of a payload. The kernel of this machine
has no \`tc police\`: the policer is beside a \`limit\` of nftables, and a \`tbf\` on either device of the router, which would delay rather than drop. Sessions are opened and found again by BPF_PROG_TEST_RUN, each by a packet of UDP, on one CPU. A new connection takes the sockets of its ends several times what it takes any path, so
no path can be faster than *bare veth with sockets*: connections are *dialled* as well, by ends without sockets ([dial.c](../acceptance/bench/dial.c)). *Nothing but tail calls* is what the processor takes for a row of them. The references are built by
[references.ts](../acceptance/bench/references.ts) and [kind-references.ts](../acceptance/bench/kind-references.ts).

![Request/response rates](benchmarks.svg)

${body.join('\n\n')}
`
}

const BAR = { height: 22, gap: 8, left: 190, width: 460 }

/** A bar for the request/response rate of each scenario. */
export function chart(rounds: Rounds): string {
  const scenarios = Object.keys(rounds)
  const rates = scenarios.map(scenario => medianRate(rounds, scenario, 'rr'))
  const longest = Math.max(...rates)
  const bars = scenarios.map((scenario, index) => {
    const y = index * (BAR.height + BAR.gap) + BAR.gap
    const width = (rates[index]! / longest) * BAR.width
    const colour = scenario.startsWith('inkev') ? '#0b7285' : '#adb5bd'
    return `<text x="${BAR.left - 8}" y="${y + 15}" text-anchor="end">${scenario}</text>
<rect x="${BAR.left}" y="${y}" width="${width.toFixed(1)}" height="${BAR.height}" fill="${colour}"/>
<text x="${BAR.left + width + 6}" y="${y + 15}">${WRITTEN.rr.format(rates[index]!)}</text>`
  })
  const height = scenarios.length * (BAR.height + BAR.gap) + BAR.gap
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 ${height}" font-family="sans-serif" font-size="13" fill="#495057">
<title>Request/response rates</title>
${bars.join('\n')}
</svg>
`
}
