// SPDX-License-Identifier: Apache-2.0
// Which counters a run of jest has seen move: every test writes down those of its packets, and the end of a whole run compares them with the declarations.

import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { coreCounters } from '../core/core'
import { kinds } from '../functions/index.gen'

/** The folder of this run, which its workers inherit; each writes a file of its own. */
const FOLDER = 'INKEV_COUNTED'

const noted = new Set<string>()

/** Notes the counters of a kind that a packet of a test has moved. */
export function noteCounted(kind: string, names: string[]): void {
  const folder = process.env[FOLDER]
  if (folder === undefined) return
  const fresh = names.map(name => (name in coreCounters ? `core.${name}` : `${kind}.${name}`)).filter(name => !noted.has(name))
  for (const name of fresh) noted.add(name)
  if (fresh.length > 0) appendFileSync(join(folder, String(process.pid)), fresh.map(name => `${name}\n`).join(''))
}

/** Before the tests. */
export function beginCounting(): void {
  process.env[FOLDER] = mkdtempSync(join(tmpdir(), 'inkev-counted-'))
}

/** What jest says of a run that is to skip tests. */
interface Selection {
  testNamePattern?: string
  testPathPatterns: { isSet(): boolean }
  shard?: object
  onlyChanged: boolean
  onlyFailures: boolean
}

/** After the tests. Throws where all of them have run and a counter of the road or of a kind has never moved. */
export function endCounting({ testNamePattern, testPathPatterns, shard, onlyChanged, onlyFailures }: Selection): void {
  const folder = process.env[FOLDER]!
  const counted = new Set(readdirSync(folder).flatMap(file => readFileSync(join(folder, file), 'utf8').split('\n')))
  rmSync(folder, { recursive: true })
  const isPart = Boolean(testNamePattern) || testPathPatterns.isSet() || shard || onlyChanged || onlyFailures
  const idle = isPart ? [] : declaredCounters().filter(name => !counted.has(name))
  if (idle.length > 0) throw new Error(`no test has a packet that is counted as ${idle.join(', ')}`)
}

function declaredCounters(): string[] {
  return [
    ...Object.keys(coreCounters).map(name => `core.${name}`),
    ...Object.values(kinds).flatMap(({ kind, counters }) => Object.keys(counters).map(name => `${kind}.${name}`))
  ]
}
