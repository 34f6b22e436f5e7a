// SPDX-License-Identifier: Apache-2.0
// One measurement of one scenario: transactions, new connections or a bulk stream, both ends pinned to one CPU.

import { type RunningProgram, until } from '../lab/process'
import type { Scenario } from './references'

const PORT = '5201'
const CPU = '0'

export type Mode = 'rr' | 'crr' | 'bulk'

export interface Sample {
  /** Transactions per second; bits per second for `bulk`. */
  rate: number
  /** Microseconds; absent for `bulk`. */
  p50?: number
  p99?: number
}

/** Runs `mode` for `milliseconds`; `rr` is the path of the compiled rr.c. */
export async function measure(scenario: Scenario, mode: Mode, milliseconds: number, rr: string): Promise<Sample> {
  const command = mode === 'bulk' ? ['iperf3', '-s', '-1', '-p', PORT] : [rr, 'server', scenario.address, PORT]
  const server = scenario.server.start(pinned(command))
  try {
    await listening(scenario, server)
    return mode === 'bulk' ? await bulk(scenario, milliseconds) : await transactions(scenario, mode, milliseconds, rr)
  } finally {
    await server.stop('SIGKILL')
  }
}

function pinned(command: string[]): string[] {
  return ['taskset', '-c', CPU, ...command]
}

async function listening(scenario: Scenario, server: RunningProgram): Promise<void> {
  const open = async () => (await scenario.server.run(['ss', '-Hltn', `sport = :${PORT}`])).trim() !== ''
  await until(open, 2000, () => `${server} does not listen on port ${PORT} after 2 s`)
}

function fromClient(scenario: Scenario, milliseconds: number, ...command: string[]): Promise<string> {
  return scenario.client.run(pinned(command), { limit: milliseconds + 10_000 })
}

async function transactions(scenario: Scenario, mode: Mode, milliseconds: number, rr: string): Promise<Sample> {
  const report = await fromClient(scenario, milliseconds, rr, 'client', scenario.address, PORT, mode, String(milliseconds))
  const { transactions, seconds, p50_us, p99_us } = JSON.parse(report) as Record<string, number>
  return { rate: transactions! / seconds!, p50: p50_us!, p99: p99_us! }
}

// Reno: the machine's default may pace by its own estimate of the path, which is not what is measured.
async function bulk(scenario: Scenario, milliseconds: number): Promise<Sample> {
  const seconds = String(Math.max(1, Math.round(milliseconds / 1000)))
  const report = await fromClient(scenario, milliseconds, 'iperf3', '-c', scenario.address, '-p', PORT, '-C', 'reno', '-t', seconds, '-J')
  const { end } = JSON.parse(report) as { end: { sum_received: { bits_per_second: number } } }
  return { rate: end.sum_received.bits_per_second }
}
