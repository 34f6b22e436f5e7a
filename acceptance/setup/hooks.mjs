// SPDX-License-Identifier: Apache-2.0
// The hooks that git runs for whoever works on the project: set-up points a clone to them, unless it has hooks of its own.

import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'

const HOOKS = '.githooks'

/** A build step. What is no clone, as a tarball, or is another user's, is left alone. */
export function gitHooks(root) {
  return {
    name: 'git hooks',
    current: () => !existsSync(join(root, '.git')) || hasHooks(root),
    run: async () => git(root, 'config', '--local', 'core.hooksPath', HOOKS)
  }
}

function hasHooks(root) {
  if (git(root, 'config', '--get', 'core.hooksPath').stdout) return true
  const { status, stdout } = git(root, 'rev-parse', '--git-path', 'hooks')
  if (status !== 0) return true
  const folder = resolve(root, stdout.trim())
  return existsSync(folder) && readdirSync(folder).some(hook => !hook.endsWith('.sample'))
}

function git(root, ...args) {
  return spawnSync('git', args, { cwd: root, encoding: 'utf8' })
}
