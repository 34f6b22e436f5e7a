// SPDX-License-Identifier: Apache-2.0
// Which processes live in which namespaces, by /proc.

import { readdirSync, readlinkSync } from 'node:fs'

const TYPES = ['net', 'mnt']

/** The processes whose network or mount namespace is among these inode numbers. Those that share ours are not told apart from us, and left out. */
export function processesIn(namespaces: ReadonlySet<number>): number[] {
  const ours = new Set(TYPES.map(type => namespaceOf(process.pid, type)))
  const pids = readdirSync('/proc').filter(name => /^\d+$/.test(name))
  return pids.map(Number).filter(pid => TYPES.map(type => namespaceOf(pid, type)).some(id => namespaces.has(id) && !ours.has(id)))
}

function namespaceOf(pid: number, type: string): number {
  try {
    return Number(/\d+/.exec(readlinkSync(`/proc/${pid}/ns/${type}`))?.[0])
  } catch {
    return 0
  }
}
