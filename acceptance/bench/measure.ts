// SPDX-License-Identifier: Apache-2.0
// One measurement of one scenario: transactions, new connections or a bulk stream, both ends pinned to one CPU.

import type { Scenario } from './references'

const PORT = '5201'
const ANY_ADDRESS = '0.0.0.0'
const CPU = '0'

export type Mode = 'rr' | 'crr' | 'bulk'
export const MODES: Mode[] = ['rr', 'crr', 'bulk']

export interface Sample {
  /** Transactions per second; bits per second for `bulk`. */
  rate: number
  /** Microseconds; absent for `bulk`. */
  p50?: number
  p99?: number
}

/** Runs `mode` for `milliseconds`; `rr` is the path of the compiled rr.c. */
export async function measure(scenario: Scenario, mode: Mode, milliseconds: number, rr: string): Promise<Sample> {
  const server = scenario.server.start(pinned([rr, mode === 'bulk' ? 'sink' : 'server', ANY_ADDRESS, PORT]))
  try {
    await server.says('ready', 2000)
    const command = pinned([rr, 'client', scenario.address, PORT, mode, String(milliseconds)])
    return sampleOf(JSON.parse(await scenario.client.run(command, { limit: milliseconds + 10_000 })))
  } finally {
    await server.stop('SIGKILL')
  }
}

/** The command, on the one CPU that clients, servers and whatever stands between them share. */
export function pinned(command: string[]): string[] {
  return ['taskset', '-c', CPU, ...command]
}

function sampleOf({ transactions, bytes, seconds, p50_us, p99_us }: Record<string, number>): Sample {
  return bytes === undefined ? { rate: transactions! / seconds!, p50: p50_us!, p99: p99_us! } : { rate: (8 * bytes) / seconds! }
}
