// SPDX-License-Identifier: Apache-2.0
// `npm run bench`: measures inkev against references of the same run, prints the figures with their targets, and writes JSON, SVG and docs/benchmarks.md.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, release } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Lab } from '../lab/lab'
import { run } from '../lab/process'
import { PROJECT } from '../lab/project'
import { figures, isMet, type Results } from './figures'
import { chart, type Machine, markdown, plainText } from './report'
import { measureTraffic } from './traffic'

const USAGE = `Usage: npm run bench -- [--rounds N] [--ms N] [--write]

  --rounds N   rounds of each scenario (default 5)
  --ms N       milliseconds of each measurement (default 1000)
  --write      replace docs/benchmarks.md, docs/benchmarks.json and docs/benchmarks.svg`

const start = performance.now()
function say(line: string): void {
  console.log(`[${((performance.now() - start) / 1000).toFixed(1).padStart(6)} s] ${line}`)
}

function machine(): Machine {
  const [first] = cpus()
  return { cpu: first!.model.trim(), cpus: cpus().length, kernel: release(), date: new Date().toISOString().slice(0, 10) }
}

async function compileClient(): Promise<string> {
  const target = join(PROJECT, '.cache/rr')
  mkdirSync(join(PROJECT, '.cache'), { recursive: true })
  await run(['cc', '-O2', '-Wall', '-o', target, join(PROJECT, 'acceptance/bench/rr.c')])
  return target
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '5' },
      ms: { type: 'string', default: '1000' },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false }
    }
  })
  if (values.help) return console.log(USAGE)
  const rr = await compileClient()
  await Lab.sweep()
  const lab = await Lab.up({ hosts: 2 })
  const results: Results = {}
  try {
    results.traffic = await measureTraffic({ rounds: Number(values.rounds), milliseconds: Number(values.ms), rr, lab, say })
  } finally {
    await lab.down()
  }
  console.log(`\n${plainText(results)}\n`)
  if (values.write) write(results)
  process.exitCode = figures(results).every(isMet) ? 0 : 1
}

function write(results: Results): void {
  const folder = join(PROJECT, 'docs')
  mkdirSync(folder, { recursive: true })
  const { version } = JSON.parse(readFileSync(join(PROJECT, 'package.json'), 'utf8')) as { version: string }
  writeFileSync(join(folder, 'benchmarks.json'), `${JSON.stringify({ version, machine: machine(), results }, null, 1)}\n`)
  writeFileSync(join(folder, 'benchmarks.md'), markdown(results, machine(), 'npm run bench -- --write'))
  if (results.traffic) writeFileSync(join(folder, 'benchmarks.svg'), chart(results.traffic))
  say('docs/benchmarks.md is written')
}

main().catch(error => {
  console.error(error.message)
  process.exitCode = 1
})
