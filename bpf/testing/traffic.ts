// SPDX-License-Identifier: Apache-2.0
// Bulk traffic between two namespaces.

import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { runIn } from './namespaces'

const PORT = '5201'
const LISTENING_LIMIT_MS = 10_000

/** Bits per second beyond which a stream flows, however busy the machine is: one that loses whole trains crawls from timeout to timeout. */
export const FLOWING = 1e7

export interface BulkOptions {
  megabytes?: number
  /** From the server to the client. */
  reverse?: boolean
  /** Datagrams of this many bytes, instead of TCP. */
  datagrams?: number
}

/** Bits per second that arrived. `address` is the server's. */
export async function bulk(client: string, server: string, address: string, options: BulkOptions = {}): Promise<number> {
  const { reverse = false, datagrams } = options
  const { megabytes = datagrams ? 5 : 20 } = options
  const process = spawn('ip', ['netns', 'exec', server, 'iperf3', '-s', '-1', '-p', PORT], { stdio: 'ignore' })
  try {
    await listening(server)
    const more = [...(reverse ? ['-R'] : []), ...(datagrams ? ['-u', '-b', '200M', '-l', `${datagrams}`] : ['-C', 'reno'])]
    const report = runIn(client, 'iperf3', '-c', address, '-p', PORT, '-n', `${megabytes}M`, '-J', ...more)
    const { end } = JSON.parse(report) as { end: { sum_received?: { bits_per_second: number }; sum: { bits_per_second: number } } }
    return (end.sum_received ?? end.sum).bits_per_second
  } finally {
    process.kill('SIGKILL')
  }
}

async function listening(namespace: string): Promise<void> {
  for (let waited = 0; runIn(namespace, 'ss', '-Hltn', `sport = :${PORT}`).trim() === ''; waited += 20) {
    if (waited > LISTENING_LIMIT_MS) throw new Error(`iperf3 does not listen in ${namespace}`)
    await sleep(20)
  }
}
