// SPDX-License-Identifier: Apache-2.0
// Measures how fast a stateful kind opens sessions, up to a million, what they take in memory, and how fast packets find theirs among them. BPF_PROG_TEST_RUN, no device.

import type { FunctionKind } from '@inkev/bpf/catalogue/define'
import { firewall } from '@inkev/bpf/functions/firewall/firewall'
import { nat } from '@inkev/bpf/functions/nat/nat'
import { eth } from '@inkev/bpf/packets/frame'
import { loadFunction } from '@inkev/bpf/testing/harness'
import { median } from './median'

/** What is measured, and the tables in which it keeps sessions of IPv4. */
const STATEFUL: { kind: FunctionKind; config: Record<string, unknown>; tables: string[] }[] = [
  { kind: firewall, config: { default_egress: 'allow' }, tables: ['sessions4'] },
  { kind: nat, config: { sources: { all: { source: '10.0.0.0/8', pool: '203.0.113.7/32' } } }, tables: ['sessions4', 'claims4'] }
]

/** A table with so many sessions, one for each flow of UDP. */
export interface SessionTable {
  kind: string
  sessions: number
  /** Nanoseconds of a packet that opens a session, and of one that finds its own again. */
  openNs: number
  knownNs: number
  /** Sessions that were not there any more when their second packet came. */
  lost: number
  /** Of the tables for IPv4. */
  bytes: number
}

export async function measureSessions(counts: number[], rounds: number): Promise<SessionTable[]> {
  const measured: SessionTable[] = []
  for (const stateful of STATEFUL)
    for (const sessions of counts) {
      const samples: SessionTable[] = []
      for (let round = 0; round < rounds; round++) samples.push(await fill(stateful, sessions))
      const [first] = samples
      const middle = (field: 'openNs' | 'knownNs') => median(samples.map(sample => sample[field]))
      measured.push({ ...first!, openNs: middle('openNs'), knownNs: middle('knownNs'), lost: Math.max(...samples.map(({ lost }) => lost)) })
    }
  return measured
}

async function fill({ kind, config, tables }: (typeof STATEFUL)[number], sessions: number): Promise<SessionTable> {
  const tested = await loadFunction(kind, { ...config, max_sessions: sessions })
  try {
    const frame = eth().ipv4().udp({ sport: 1024, dport: 53 }).payload('x')
    const opened = () => tested.counters().sessions_opened!
    const openNs = tested.measureFlows(frame, { port: 'inside' }, sessions)
    const first = opened()
    if (first !== sessions) throw new Error(`${kind.kind}: of ${sessions} flows ${first} opened a session`)
    const knownNs = tested.measureFlows(frame, { port: 'inside' }, sessions)
    const bytes = tables.reduce((sum, table) => sum + tested.memory(table), 0)
    return { kind: kind.kind, sessions, openNs, knownNs, lost: opened() - first, bytes }
  } finally {
    tested.close()
  }
}
