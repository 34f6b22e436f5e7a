// SPDX-License-Identifier: Apache-2.0
// One measurement of one scenario: transactions, new connections or a bulk stream, both ends pinned to one CPU.

import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { Scenario } from './references'

const execute = promisify(execFile)
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
  const server = mode === 'bulk' ? ['iperf3', '-s', '-1', '-p', PORT] : [rr, 'server', scenario.address, PORT]
  const serving = spawn('ip', ['netns', 'exec', scenario.server, 'taskset', '-c', CPU, ...server], { stdio: 'ignore' })
  const ended = once(serving, 'exit')
  try {
    await listening(scenario.server)
    return mode === 'bulk' ? await bulk(scenario, milliseconds) : await transactions(scenario, mode, milliseconds, rr)
  } finally {
    serving.kill('SIGKILL')
    await ended
  }
}

async function listening(namespace: string): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    const { stdout } = await execute('ip', ['netns', 'exec', namespace, 'ss', '-Hltn', `sport = :${PORT}`])
    if (stdout.trim() !== '') return
    await sleep(10)
  }
  throw new Error(`the server in namespace ${namespace} does not listen on port ${PORT} after 2 s`)
}

function client(scenario: Scenario, milliseconds: number, ...command: string[]) {
  return execute('ip', ['netns', 'exec', scenario.client, 'taskset', '-c', CPU, ...command], { timeout: milliseconds + 10_000 })
}

async function transactions(scenario: Scenario, mode: Mode, milliseconds: number, rr: string): Promise<Sample> {
  const { stdout } = await client(scenario, milliseconds, rr, 'client', scenario.address, PORT, mode, String(milliseconds))
  const { transactions, seconds, p50_us, p99_us } = JSON.parse(stdout) as Record<string, number>
  return { rate: transactions! / seconds!, p50: p50_us!, p99: p99_us! }
}

// Reno: the machine's default may pace by its own estimate of the path, which is not what is measured.
async function bulk(scenario: Scenario, milliseconds: number): Promise<Sample> {
  const seconds = String(Math.max(1, Math.round(milliseconds / 1000)))
  const { stdout } = await client(scenario, milliseconds, 'iperf3', '-c', scenario.address, '-p', PORT, '-C', 'reno', '-t', seconds, '-J')
  const report = JSON.parse(stdout) as { end: { sum_received: { bits_per_second: number } } }
  return { rate: report.end.sum_received.bits_per_second }
}
