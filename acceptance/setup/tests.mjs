// SPDX-License-Identifier: Apache-2.0
// Every check and every test of every language, told one by one, and their sum in the last line.

import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { findCli } from './build.mjs'
import { command, Failure } from './commands.mjs'
import { say, watched } from './progress.mjs'
import { contentStamp } from './steps.mjs'

const GO_MODULE = 'provider/shim'
const GENERATED = ['*.gen.*', 'provider/shim/descriptor.json']
/** From these follow the generated files. */
const GENERATORS = ['bpf', 'agent', 'provider']

/** Which files each language has, how they are checked (`check`) and put right (`mend`). */
function formatters(root) {
  const biome = join(root, 'node_modules/.bin/biome')
  return [
    {
      name: 'TypeScript and JavaScript are formatted and lint-free (biome)',
      files: ['*.ts', '*.mjs', '*.cjs', '*.json'],
      check: [biome, 'ci', '--colors=off', '--no-errors-on-unmatched'],
      mend: [biome, 'check', '--write', '--no-errors-on-unmatched']
    },
    {
      name: 'C and C++ are formatted (clang-format)',
      files: ['*.c', '*.h', '*.cc', '*.hh', ':!*.gen.h'],
      check: ['clang-format-19', '--dry-run', '-Werror'],
      mend: ['clang-format-19', '-i']
    },
    {
      name: 'Go is formatted (gofmt)',
      files: ['*.go'],
      check: ['sh', '-c', '! gofmt -d "$@" | grep .', 'gofmt'],
      mend: ['gofmt', '-w']
    },
    {
      name: 'HCL is formatted (fmt)',
      files: ['*.tf'],
      check: [findCli(root), 'fmt', '-check', '-diff'],
      mend: [findCli(root), 'fmt']
    }
  ]
}

async function filesOf(root, ...args) {
  const listed = await command('git', args, { cwd: root })
  return listed.split('\n').filter(file => file && existsSync(join(root, file)))
}

function allFiles(root, patterns) {
  return filesOf(root, 'ls-files', '--cached', '--others', '--exclude-standard', '--', ...patterns)
}

function stagedFiles(root, patterns) {
  return filesOf(root, 'diff', '--cached', '--name-only', '--', ...patterns)
}

/** Puts every file into its formatter's form. */
export async function format(root) {
  for (const { files, mend } of formatters(root)) {
    const [program, ...args] = mend
    await command(program, [...args, ...(await allFiles(root, files))], { cwd: root })
  }
  return 0
}

/** Checks the form of what is about to be committed, and that what is generated from it goes with it; answers the exit code. */
export async function checkStaged(root) {
  const run = ([program, ...args]) => command(program, args, { cwd: root })
  const forms = formatters(root).map(async ({ files, check }) => {
    const staged = await stagedFiles(root, files)
    if (staged.length > 0) await run([...check, ...staged])
  })
  const outcomes = await Promise.allSettled([...forms, checkGenerated(root, run)])
  const failures = outcomes.flatMap(({ reason }) => reason ?? [])
  for (const { detail, message } of failures) console.error(`${detail ?? ''}\n${message}`)
  if (failures.length > 0) console.error('\nNothing is committed: `npm run format` and `npm run generate` put most things right.')
  return failures.length > 0 ? 1 : 0
}

async function checkGenerated(root, run) {
  if ((await stagedFiles(root, GENERATORS)).length === 0) return
  await Promise.all(['bpf/build.mjs', 'provider/build.mjs'].map(script => run(['node', script, 'check'])))
  const left = await filesOf(root, 'diff', '--name-only', '--', ...GENERATED)
  if (left.length > 0) throw new Failure(`Generated files are not in the commit with what they follow from: git add ${left.join(' ')}`)
}

/** A digest of all generated files that are committed. */
export async function generatedFiles(root) {
  return contentStamp(root, { inputs: await filesOf(root, 'ls-files', ...GENERATED) })
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
  const temporary = ownTemporary()
  for (const name of names.length > 0 ? names : Object.keys(PHASES)) {
    say(`── ${name}`)
    await PHASES[name](root, tally, { generatedBefore })
  }
  checkTemporary(temporary, tally)
  return tally.sum()
}

/** The tests have a folder of their own for temporary files, so that what they leave there is seen, whoever else runs at the same time. It goes with this process. */
function ownTemporary() {
  const folder = mkdtempSync(join(tmpdir(), 'inkev-test-'))
  process.env.TMPDIR = folder
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))
  return folder
}

function checkTemporary(folder, tally) {
  const left = readdirSync(folder)
  tally.add({
    name: 'no temporary file is left',
    status: left.length === 0 ? 'passed' : 'failed',
    why: `What is made in os.tmpdir() must be removed, also by a test that fails: ${left.join(', ')}`
  })
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
  for (const { name, files, check: checking } of formatters(root)) await check(name, [...checking, ...(await allFiles(root, files))])
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

/** How much of what a test program has complained of is told again where it failed without a failed test, in characters. */
const COMPLAINTS_MAX = 4000

/** Runs a test program that tells its results as lines of JSON; everything else it prints is passed on. Dying without a failed test is a failure of its own. */
async function runTold(suite, program, args, cwd, env, hear, tally) {
  const failuresBefore = tally.failures.length
  let complaints = ''
  const code = await watched(suite, news => {
    const child = spawn(program, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    child.stderr.setEncoding('utf8').on('data', text => {
      process.stderr.write(text)
      complaints = (complaints + text).slice(-COMPLAINTS_MAX)
    })
    createInterface({ input: child.stdout }).on('line', line => {
      const result = parseObject(line)
      if (result) hear(result)
      else if (line.trim()) console.log(line)
      news(`${tally.passed} tests have passed`)
    })
    return new Promise(resolve => {
      child.on('error', () => resolve('an error'))
      child.on('close', (code, signal) => resolve(code ?? signal))
    })
  })
  if (code !== 0 && tally.failures.length === failuresBefore)
    tally.add({ suite, name: 'ends well', status: 'failed', why: `${program} ended with ${code}. Its last words:\n${complaints}` })
}

function parseObject(line) {
  if (!line.startsWith('{')) return undefined
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}
