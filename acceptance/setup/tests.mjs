// SPDX-License-Identifier: Apache-2.0
// Every check and every test of every language, told one by one, and their sum in the last line.

import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { findCli } from './build.mjs'
import { command, Failure } from './commands.mjs'
import { say, watched } from './progress.mjs'
import { contentStamp } from './steps.mjs'

const GO_MODULE = 'provider/shim'
const C_FILES = ['*.c', '*.h', '*.cc', '*.hh', ':!*.gen.h']

/** How each language's files are checked (`check`) and put right (`mend`). */
function formatters(root) {
  const files = async (...patterns) =>
    (await command('git', ['ls-files', '--cached', '--others', '--exclude-standard', ...patterns], { cwd: root }))
      .split('\n')
      .filter(Boolean)
  const bin = name => join(root, 'node_modules/.bin', name)
  return [
    {
      name: 'TypeScript and JavaScript are formatted and lint-free (biome)',
      check: () => [bin('biome'), 'ci', '--colors=off', '.'],
      mend: () => [bin('biome'), 'check', '--write', '.']
    },
    {
      name: 'C and C++ are formatted (clang-format)',
      check: async () => ['clang-format-19', '--dry-run', '-Werror', ...(await files(...C_FILES))],
      mend: async () => ['clang-format-19', '-i', ...(await files(...C_FILES))]
    },
    {
      name: 'Go is formatted (gofmt)',
      check: async () => ['sh', '-c', `! gofmt -d ${GO_MODULE} | grep .`],
      mend: () => ['gofmt', '-w', GO_MODULE]
    },
    {
      name: 'HCL is formatted (fmt)',
      check: () => [findCli(root), 'fmt', '-check', '-diff', '-recursive', 'examples'],
      mend: () => [findCli(root), 'fmt', '-recursive', 'examples']
    }
  ]
}

/** Puts every file into its formatter's form. */
export async function format(root) {
  for (const { mend } of formatters(root)) {
    const [program, ...args] = await mend()
    await command(program, args, { cwd: root })
  }
  return 0
}

/** A digest of all generated files that are committed. */
export async function generatedFiles(root) {
  const listed = await command('git', ['ls-files', '*.gen.*', 'provider/shim/descriptor.json'], { cwd: root })
  return contentStamp(root, { inputs: listed.split('\n').filter(Boolean) })
}

/** Tests wait more than they compute, so there are more workers than processors. */
const PHASES = {
  checks: runChecks,
  go: runGo,
  unit: (root, tally) => runJest(root, tally, ['bpf', 'native', 'agent', 'provider'], 4),
  acceptance: (root, tally) => runJest(root, tally, ['acceptance'], 2)
}

/** Runs the phases named, or all; answers the exit code. `generatedBefore` is what `generatedFiles` answered before set-up. */
export async function checkEverything(root, names, generatedBefore) {
  const unknown = names.filter(name => !PHASES[name])
  if (unknown.length > 0) throw new Failure(`There is no test phase ${unknown.join(', ')}: choose from ${Object.keys(PHASES).join(', ')}.`)
  const tally = new Tally()
  for (const name of names.length > 0 ? names : Object.keys(PHASES)) {
    say(`── ${name}`)
    await PHASES[name](root, tally, { generatedBefore })
  }
  return tally.sum()
}

class Tally {
  passed = 0
  skipped = 0
  failures = []

  add({ suite, name, status, seconds = 0, why = '' }) {
    const title = `${suite ? `${suite}: ` : ''}${name}`
    if (status === 'passed') this.passed++
    else if (status === 'failed') this.failures.push({ title, why })
    else this.skipped++
    const mark = { passed: '✓', failed: '✗' }[status] ?? '- skipped:'
    say(`${mark} ${title}${seconds >= 0.1 ? ` (${seconds.toFixed(1)} s)` : ''}`)
    if (why && status === 'failed') console.log(why)
  }

  sum() {
    for (const { title, why } of this.failures) console.log(`\nFAILED ${title}\n${why}`)
    console.log(`\n${this.passed} passed, ${this.failures.length} failed${this.skipped > 0 ? `, ${this.skipped} skipped` : ''}`)
    return this.failures.length > 0 ? 1 : 0
  }
}

async function runChecks(root, tally, { generatedBefore }) {
  const check = async (name, [program, ...args], cwd = root) => {
    const outcome = await watched(name, news => command(program, args, { cwd, news })).then(
      () => ({ status: 'passed' }),
      failure => ({ status: 'failed', why: failure.detail || failure.message })
    )
    tally.add({ name, ...outcome })
  }
  await check('TypeScript types hold (tsc)', [join(root, 'node_modules/.bin/tsc'), '--noEmit'])
  for (const { name, check: checking } of formatters(root)) await check(name, await checking())
  await check('Go is sound (go vet)', ['go', 'vet', './...'], join(root, GO_MODULE))
  const reproducible = generatedBefore === (await generatedFiles(root))
  tally.add({
    name: 'generated files are what their sources say',
    status: reproducible ? 'passed' : 'failed',
    why: 'Set-up has just regenerated some: commit them together with their sources.'
  })
}

function runJest(root, tally, projects, workers) {
  const reporter = join(import.meta.dirname, 'jest-reporter.mjs')
  const args = ['node_modules/jest/bin/jest.js', `--reporters=${reporter}`, `--maxWorkers=${workers}`, '--selectProjects', ...projects]
  return runTold('jest', 'node', args, root, { INKEV_CLI: findCli(root) }, line => tally.add(line), tally)
}

function runGo(root, tally) {
  const output = new Map()
  const hear = ({ Action: action, Package: pkg, ImportPath: built, Test: test = '', Elapsed: seconds, Output: text }) => {
    const key = `${pkg ?? built} ${test}`
    if (text) output.set(key, (output.get(key) ?? '') + text)
    const status = { pass: 'passed', fail: 'failed', skip: 'skipped', 'build-fail': 'failed' }[action]
    if (status && (test || built)) tally.add({ suite: 'go', name: test || built, status, seconds, why: output.get(key) })
  }
  return runTold('go', 'go', ['test', '-count=1', '-json', './...'], join(root, GO_MODULE), {}, hear, tally)
}

/** Runs a test program that tells its results as lines of JSON; everything else it prints is passed on. Dying without a failed test is a failure of its own. */
async function runTold(suite, program, args, cwd, env, hear, tally) {
  const failuresBefore = tally.failures.length
  const code = await watched(suite, news => {
    const child = spawn(program, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'inherit'] })
    createInterface({ input: child.stdout }).on('line', line => {
      news(line)
      const result = parseObject(line)
      if (result) hear(result)
      else if (line.trim()) console.log(line)
    })
    return new Promise(resolve => {
      child.on('error', () => resolve('an error'))
      child.on('close', (code, signal) => resolve(code ?? signal))
    })
  })
  if (code !== 0 && tally.failures.length === failuresBefore)
    tally.add({ suite, name: 'ends well', status: 'failed', why: `${program} ended with ${code}.` })
}

function parseObject(line) {
  if (!line.startsWith('{')) return undefined
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}
