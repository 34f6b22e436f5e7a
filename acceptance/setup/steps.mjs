// SPDX-License-Identifier: Apache-2.0
// Build steps: each runs after those it needs, two at a time, and only when the content it is made from has changed.

import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { elapsed, say, watched } from './progress.mjs'

const PRODUCTS = new Set(['node_modules', 'build', 'dist', '.cache', '.git', '.terraform'])
const AT_ONCE = 2

/**
 * @typedef {object} Step
 * @property {string} name
 * @property {string[]} [after] names of the steps whose products it uses
 * @property {string[]} [inputs] files and folders it is made from, relative to the root (products inside a folder do not count)
 * @property {string} [version] what else decides its result, such as a compiler's version
 * @property {string[]} [outputs] what must exist for it to be up to date
 * @property {() => boolean} [current] replaces the content stamp: true when there is nothing to do
 * @property {(news: (line: string) => void) => Promise<unknown>} run
 */

/** Runs the steps that are not up to date. The first failure stops the rest: what runs is awaited, nothing new begins. */
export async function runSteps(root, steps) {
  const stamps = join(root, '.cache/stamps')
  mkdirSync(stamps, { recursive: true })
  const waiting = new Set(steps)
  const done = new Set()
  const active = new Set()
  let failure

  while ((waiting.size > 0 && !failure) || active.size > 0) {
    for (const step of waiting) {
      if (failure || active.size >= AT_ONCE) break
      if (!(step.after ?? []).every(name => done.has(name))) continue
      waiting.delete(step)
      const job = runStep(root, stamps, step)
        .then(() => done.add(step.name))
        .catch(error => {
          failure ??= error
        })
        .finally(() => active.delete(job))
      active.add(job)
    }
    if (active.size === 0 && !failure) throw new Error(`steps wait for each other: ${[...waiting].map(step => step.name).join(', ')}`)
    await Promise.race(active)
  }
  if (failure) throw failure
}

async function runStep(root, stamps, step) {
  const stampFile = join(stamps, step.name.replaceAll(/\W+/g, '-'))
  const stamp = step.current ? '' : contentStamp(root, step)
  const current = step.current ? step.current() : isCurrent(root, step, stampFile, stamp)
  if (current) return
  rmSync(stampFile, { force: true })
  const since = performance.now()
  await watched(step.name, step.run)
  if (!step.current) writeFileSync(stampFile, stamp)
  say(`${step.name}: done in ${elapsed(since)}`)
}

function isCurrent(root, step, stampFile, stamp) {
  if (!existsSync(stampFile) || readFileSync(stampFile, 'utf8') !== stamp) return false
  return (step.outputs ?? []).every(output => existsSync(join(root, output)))
}

/** A digest of the names and bytes of all inputs. */
export function contentStamp(root, { inputs = [], version = '' }) {
  const hash = createHash('sha256').update(version)
  for (const input of inputs)
    for (const file of filesUnder(join(root, input))) hash.update(file.slice(root.length)).update('\0').update(readFileSync(file))
  return hash.digest('hex')
}

function filesUnder(path) {
  if (!existsSync(path)) return []
  if (!statSync(path).isDirectory()) return [path]
  const entries = readdirSync(path, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1))
  return entries.flatMap(entry => {
    if (PRODUCTS.has(entry.name)) return []
    const child = join(path, entry.name)
    return entry.isDirectory() ? filesUnder(child) : entry.isFile() ? [child] : []
  })
}
