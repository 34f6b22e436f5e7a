// SPDX-License-Identifier: Apache-2.0
// The network namespaces that tests make: each is remembered, so that none outlives a test that fails half way.

import { execFileSync } from 'node:child_process'
import { native } from '@inkev/native'

const COMMAND_LIMIT_MS = 30_000

const made = new Set<string>()

/** A name that no other test has, nor another run of the same. */
function uniqueNamespace(): string {
  return `k${process.pid.toString(36)}${made.size.toString(36)}`
}

/** Throws when there is one of that name. */
export function makeNamespace(name = uniqueNamespace()): string {
  native.net.createNetns(name).close()
  made.add(name)
  runIn(name, 'ip', 'link', 'set', 'lo', 'up')
  return name
}

/** For afterAll: all that are still there. */
export function removeNamespaces(): void {
  for (const name of made) native.net.deleteNetns(name)
}

/** A command in a namespace; what it prints. Throws when it fails. */
export function runIn(namespace: string, ...command: string[]): string {
  const options = { encoding: 'utf8', timeout: COMMAND_LIMIT_MS, stdio: 'pipe' } as const
  return execFileSync('ip', ['netns', 'exec', namespace, ...command], options)
}

/** Lines of `ip`, each in the namespace. */
export function configure(namespace: string, ...lines: string[]): void {
  for (const line of lines) runIn(namespace, 'ip', ...line.split(' '))
}
