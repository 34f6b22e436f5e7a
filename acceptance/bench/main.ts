// SPDX-License-Identifier: Apache-2.0
// `npm run bench`: measures inkev against references of the same run, prints the figures with their targets, and writes JSON, SVG and docs/benchmarks.md.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, release } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Lab } from '../lab/lab'
import { run } from '../lab/process'
import { PROJECT } from '../lab/project'
import { functionCreateMs, providerStartMs, restitch, terraformSeconds } from './control'
import { figures, isMet, type Results } from './figures'
import { ownScenarios } from './own'
import { chart, type Machine, markdown, plainText } from './report'
import { measureStitching } from './stitching'
import { measureTraffic } from './traffic'

const USAGE = `Usage: npm run bench -- [PART …] [--rounds N] [--ms N] [--ports N,…] [--write]

  PART         traffic, stitching, control, terraform, provider (default: all of them)
  --rounds N   rounds of each traffic scenario (default 5)
  --ms N       milliseconds of each traffic measurement (default 1000)
  --ports N,…  sizes of the terraform configurations (default 100)
  --write      replace docs/benchmarks.md, docs/benchmarks.json and docs/benchmarks.svg`

const start = performance.now()
function say(line: string): void {
  console.log(`[${((performance.now() - start) / 1000).toFixed(1).padStart(6)} s] ${line}`)
}

function machine(): Machine {
  const [first] = cpus()
  return {
    cpu: first!.model.trim(),
    cpus: cpus().length,
    kernel: release(),
    date: new Date().toISOString().slice(0, 10),
    load: loadavg()[0]!
  }
}

async function compileClient(): Promise<string> {
  const target = join(PROJECT, '.cache/rr')
  mkdirSync(join(PROJECT, '.cache'), { recursive: true })
  await run(['cc', '-O2', '-Wall', '-o', target, join(PROJECT, 'acceptance/bench/rr.c')])
  return target
}

/** Each part fills in its share of the results. */
const PARTS: Record<string, (lab: Lab, options: Options, results: Results) => Promise<void>> = {
  traffic: async (lab, { rounds, milliseconds }, results) => {
    results.traffic = await measureTraffic({ rounds, milliseconds, rr: await compileClient(), lab, say })
  },
  stitching: async (_lab, { rounds }, results) => {
    Object.assign(results, await measureStitching(rounds))
  },
  control: async (lab, _options, results) => {
    await ownScenarios(lab)
    results.functionCreateMs = await functionCreateMs(lab.hosts[0]!, 20)
    results.restitch = await restitch(lab, 50)
  },
  terraform: async (lab, { ports }, results) => {
    results.terraform = {}
    for (const count of ports) {
      say(`terraform: ${count} ports`)
      results.terraform[count] = await terraformSeconds(lab, count)
    }
  },
  provider: async (_lab, _options, results) => {
    results.providerStart = await providerStartMs(5)
  }
}

interface Options {
  rounds: number
  milliseconds: number
  ports: number[]
}

function read(): { parts: string[]; options: Options; write: boolean } | undefined {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: 'string', default: '5' },
      ms: { type: 'string', default: '1000' },
      ports: { type: 'string', default: '100' },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false }
    }
  })
  const unknown = positionals.find(part => !(part in PARTS))
  if (values.help || unknown) return undefined
  const options = { rounds: Number(values.rounds), milliseconds: Number(values.ms), ports: values.ports.split(',').map(Number) }
  return { parts: positionals.length > 0 ? positionals : Object.keys(PARTS), options, write: values.write }
}

async function main(): Promise<void> {
  const wanted = read()
  if (!wanted) return console.log(USAGE)
  await Lab.sweep()
  const before = machine()
  const results: Results = {}
  for (const part of wanted.parts) {
    say(part)
    const lab = await Lab.up({ hosts: 2 })
    try {
      await PARTS[part]!(lab, wanted.options, results)
    } finally {
      await lab.down()
    }
  }
  console.log(`\n${plainText(results)}\n`)
  if (wanted.write) write(results, before)
  process.exitCode = figures(results).every(isMet) ? 0 : 1
}

function write(results: Results, measuredOn: Machine): void {
  const folder = join(PROJECT, 'docs')
  mkdirSync(folder, { recursive: true })
  const { version } = JSON.parse(readFileSync(join(PROJECT, 'package.json'), 'utf8')) as { version: string }
  writeFileSync(join(folder, 'benchmarks.json'), `${JSON.stringify({ version, machine: measuredOn, results }, null, 1)}\n`)
  writeFileSync(join(folder, 'benchmarks.md'), markdown(results, measuredOn, 'npm run bench -- --write'))
  if (results.traffic) writeFileSync(join(folder, 'benchmarks.svg'), chart(results.traffic))
  say('docs/benchmarks.md is written')
}

main().catch(error => {
  console.error(error.message)
  process.exitCode = 1
})
