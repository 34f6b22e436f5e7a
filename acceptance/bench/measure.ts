// SPDX-License-Identifier: Apache-2.0
// One measurement of one scenario: transactions, new connections with and without sockets, or a bulk stream, both ends pinned to one CPU.

import type { Scenario } from './references'

const PORT = '5201'
const ANY_ADDRESS = '0.0.0.0'
const CPU = '0'

/**
 * A new connection takes its ends' sockets several times what it takes the path, so the rates of `crr` differ little whatever the path does.
 * `dial` has ends without sockets, and shows the path.
 */
export type Mode = 'rr' | 'crr' | 'dial' | 'bulk'
export const MODES: Mode[] = ['rr', 'crr', 'dial', 'bulk']

/** Paths of the programs that are made of rr.c and dial.c. */
export interface Programs {
  rr: string
  dial: string
}

/** Modes that make sense on the scenario's path. */
export function modesOf(scenario: Scenario): Mode[] {
  return scenario.userSpace ? MODES.filter(mode => mode !== 'dial') : MODES
}

export interface Sample {
  /** Transactions per second; bits per second for `bulk`. */
  rate: number
  /** Microseconds; absent for `bulk`. */
  p50?: number
  p99?: number
}

/** Runs `mode` for `milliseconds`. */
export async function measure(scenario: Scenario, mode: Mode, milliseconds: number, { rr, dial }: Programs): Promise<Sample> {
  const holder = ['sh', '-c', 'echo ready; exec sleep infinity']
  const server = scenario.server.start(mode === 'dial' ? holder : pinned([rr, mode === 'bulk' ? 'sink' : 'server', ANY_ADDRESS, PORT]))
  try {
    await server.says('ready', 2000)
    const to = [scenario.address, PORT]
    const client = mode === 'dial' ? [dial, ...to, `/proc/${server.pid}/ns/net`] : [rr, 'client', ...to, mode]
    const command = pinned([...client, String(milliseconds)])
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
