// SPDX-License-Identifier: Apache-2.0
// The commit hook, in a clone of this project as it stands: what it holds back, and which clones it is given to.

import { spawnSync } from 'node:child_process'
import { appendFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { PROJECT } from '../lab/project'

let clone: string

function makeClone(): void {
  clone = mkdtempSync(join(tmpdir(), 'inkev-hooks-'))
  run('git', 'init', '--quiet')
  run('git', 'config', 'user.email', 'test@example.com')
  run('git', 'config', 'user.name', 'Test')
}

function removeClone(): void {
  rmSync(clone, { recursive: true })
}

function run(program: string, ...args: string[]) {
  const { GIT_DIR: _, GIT_INDEX_FILE: __, ...env } = process.env
  const { status, stdout, stderr } = spawnSync(program, args, {
    cwd: clone,
    encoding: 'utf8',
    env: { ...env, GIT_CONFIG_GLOBAL: '/dev/null' }
  })
  return { status, said: stdout + stderr }
}

/** What set-up does about hooks; answers where git looks for them afterwards. */
function setUpHooks(): string {
  const step = `const { gitHooks } = await import(${JSON.stringify(join(PROJECT, 'acceptance/setup/hooks.mjs'))})
    const { current, run } = gitHooks(${JSON.stringify(clone)})
    if (!current()) await run()`
  expect(run('node', '--input-type=module', '--eval', step)).toEqual({ status: 0, said: '' })
  return run('git', 'config', '--get', 'core.hooksPath').said.trim()
}

describe('set-up', () => {
  beforeEach(makeClone)
  afterEach(removeClone)

  test('points a clone to the hooks, once', () => {
    expect(setUpHooks()).toBe('.githooks')
    expect(setUpHooks()).toBe('.githooks')
  })

  test('leaves a clone alone that has hooks of its own', () => {
    writeFileSync(join(clone, '.git/hooks/pre-push'), '#!/bin/sh\n', { mode: 0o755 })
    expect(setUpHooks()).toBe('')
    run('git', 'config', 'core.hooksPath', 'mine')
    expect(setUpHooks()).toBe('mine')
  })

  test('does nothing in what is no clone', () => {
    rmSync(join(clone, '.git'), { recursive: true })
    expect(setUpHooks()).toBe('')
    expect(existsSync(join(clone, '.git'))).toBe(false)
  })
})

describe('a commit', () => {
  afterAll(removeClone)
  beforeAll(() => {
    makeClone()
    const files = spawnSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
      cwd: PROJECT,
      encoding: 'utf8'
    }).stdout.split('\n')
    for (const file of files.filter(file => file && existsSync(join(PROJECT, file)))) {
      mkdirSync(dirname(join(clone, file)), { recursive: true })
      cpSync(join(PROJECT, file), join(clone, file))
    }
    symlinkSync(join(PROJECT, 'node_modules'), join(clone, 'node_modules'))
    run('git', 'add', '-A')
    run('git', 'commit', '--quiet', '-m', 'base')
    setUpHooks()
  })

  /** A commit of files with more text in them. */
  function commit(more: Record<string, string>) {
    for (const [file, text] of Object.entries(more)) appendFileSync(join(clone, file), text)
    run('git', 'add', '-A')
    return run('git', 'commit', '-m', 'change')
  }

  test('of what is in order is made', () => {
    expect(commit({ 'README.md': '\nMore.\n', 'acceptance/patience.ts': '\n// More.\n' }).status).toBe(0)
  })

  test('of files out of form is not made, in any language', () => {
    const unformatted = {
      'acceptance/patience.ts': 'const   unformatted = 1\n',
      'bpf/core/arp.h': 'int   unformatted ;\n',
      'provider/shim/main.go': 'var   unformatted = 1\n',
      'examples/terraform/quickstart/main.tf': 'variable   "unformatted" {}\n'
    }
    const { said, status } = commit(unformatted)
    expect(status).toBe(1)
    for (const file of [...Object.keys(unformatted), 'npm run format']) expect(said).toContain(file)
    run('git', 'reset', '--hard', '--quiet')
  })

  test('of a declaration without what is generated from it is not made', () => {
    const file = join(clone, 'bpf/core/core.ts')
    writeFileSync(
      file,
      readFileSync(file, 'utf8').replace('export const coreCounters = {', "export const coreCounters = {\n  another: 'Another.',")
    )
    run('git', 'add', file)
    const stale = run('git', 'commit', '-m', 'change')
    expect(stale.status).toBe(1)
    expect(stale.said).toContain('core/core.gen.h is not as generated')
    run('node', 'bpf/build.mjs', 'generate')
    expect(run('git', 'commit', '-m', 'change').said).toMatch(/git add .*core\.gen\.h/)
    run('git', 'add', '-A')
    expect(run('git', 'commit', '-m', 'change').status).toBe(0)
  })
})
