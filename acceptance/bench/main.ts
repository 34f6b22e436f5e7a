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
import { kindReferences } from './kind-references'
import { kindScenarios } from './kind-tenants'
import { ownScenarios } from './own'
import { references } from './references'
import { chart, type Machine, markdown, plainText } from './report'
import { measureSessions } from './sessions'
import { measureStitching } from './stitching'
import { measureTraffic } from './traffic'

const USAGE = `Usage: npm run bench -- [PART …] [--rounds N] [--ms N] [--ports N,…] [--write]

  PART         traffic, catalogue, sessions, stitching, control, terraform, provider (default: all of them)
  --rounds N   rounds of each traffic scenario (default 5)
  --ms N       milliseconds of each traffic measurement (default 500)
  --ports N,…  sizes of the terraform configurations (default 100)
  --sessions N,…  sizes of the session tables (default 10000,100000,1000000)
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

/** The path of a program that is made of one C file beside this one. */
async function compiled(name: string, ...libraries: string[]): Promise<string> {
  const target = join(PROJECT, '.cache', name)
  mkdirSync(join(PROJECT, '.cache'), { recursive: true })
  await run(['cc', '-O2', '-Wall', '-o', target, join(PROJECT, `acceptance/bench/${name}.c`), ...libraries])
  return target
}

/** Each part fills in its share of the results. */
const PARTS: Record<string, (lab: Lab, options: Options, results: Results) => Promise<void>> = {
  traffic: async (lab, { rounds, milliseconds }, results) => {
    const programs = { rr: await compiled('rr'), dial: await compiled('dial') }
    results.traffic = await measureTraffic({ references, own: ownScenarios }, { rounds, milliseconds, programs, lab, say })
  },
  catalogue: async (lab, { rounds, milliseconds }, results) => {
    const programs = { rr: await compiled('rr'), dial: await compiled('dial') }
    const inspector = await compiled('inspector', '-lnetfilter_queue')
    const compared = { references: kindReferences(inspector), own: kindScenarios }
    results.catalogue = await measureTraffic(compared, { rounds, milliseconds, programs, lab, say })
  },
  sessions: async (_lab, { sessions }, results) => {
    results.sessions = await measureSessions(sessions, SESSION_ROUNDS)
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
  sessions: number[]
}

/** A round fills every table anew, which takes seconds. */
const SESSION_ROUNDS = 3

function read(): { parts: string[]; options: Options; write: boolean } | undefined {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      rounds: { type: 'string', default: '5' },
      ms: { type: 'string', default: '500' },
      ports: { type: 'string', default: '100' },
      sessions: { type: 'string', default: '10000,100000,1000000' },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false }
    }
  })
  const unknown = positionals.find(part => !(part in PARTS))
  if (values.help || unknown) return undefined
  const numbers = (list: string) => list.split(',').map(Number)
  const options = {
    rounds: Number(values.rounds),
    milliseconds: Number(values.ms),
    ports: numbers(values.ports),
    sessions: numbers(values.sessions)
  }
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
