// SPDX-License-Identifier: Apache-2.0
// Which processes live in which namespaces, by /proc.

import { readdirSync, readlinkSync } from 'node:fs'

/** The processes whose network or mount namespace is among these inode numbers. */
export function processesIn(namespaces: ReadonlySet<number>): number[] {
  const pids = readdirSync('/proc').filter(name => /^\d+$/.test(name))
  return pids.map(Number).filter(pid => ['net', 'mnt'].some(type => namespaces.has(namespaceOf(pid, type))))
}

function namespaceOf(pid: number, type: string): number {
  try {
    return Number(/\d+/.exec(readlinkSync(`/proc/${pid}/ns/${type}`))?.[0])
  } catch {
    return 0
  }
}
