// SPDX-License-Identifier: Apache-2.0
// `npm run lab -- up|shell|status|env|down`: hosts against which a user applies his own HCL.

import { spawnSync } from 'node:child_process'
import { parseArgs } from 'node:util'
import type { Host } from './host'
import { Lab } from './lab'
import { CLI, terraformEnvironment } from './terraform'

const USAGE = `Usage: npm run lab -- COMMAND

  up [--hosts N] [--mtu N]   bring up N hosts (default 2), each with an agent
  shell HOST [COMMAND …]     a shell, or a command, on a host
  status                     hosts, agents and workloads
  env                        the environment for ${CLI}, to be eval'ed
  down                       take everything down

INKEV_LAB names a lab other than lab.`

const name = process.env.INKEV_LAB ?? 'lab'
const [verb = '', ...args] = process.argv.slice(2)

const commands: Record<string, () => Promise<number>> = { up, shell, status, env, down }

async function up(): Promise<number> {
  const { hosts, mtu } = parseArgs({
    args,
    options: { hosts: { type: 'string', default: '2' }, mtu: { type: 'string', default: '1500' } }
  }).values
  await Lab.sweep()
  if (Lab.find(name))
    throw new Error(`The lab ${name} is up already: use it (npm run lab -- status), or take it down first (npm run lab -- down).`)
  const lab = await Lab.up({ name, hosts: Number(hosts), mtu: Number(mtu) })
  lab.keep()
  console.log(`\n${hostTable(lab)}\n`)
  console.log('Describe your networks in any folder, with this provider:\n')
  console.log(`${indent(providerBlock(lab))}\n`)
  console.log('In the shell where you apply them:\n')
  console.log(`${indent(environment(lab))}\n`)
  console.log(`Then \`${CLI} init && ${CLI} apply\`. To look inside, and to end it:\n`)
  console.log(indent(`npm run lab -- shell edge-1 ip netns exec WORKLOAD ping ADDRESS\nnpm run lab -- down`))
  return 0
}

async function shell(): Promise<number> {
  const [host = '', ...command] = args
  const { entrance } = theLab().host(host)
  const run = command.length > 0 ? command : [process.env.SHELL ?? '/bin/sh']
  const { status } = spawnSync(entrance[0]!, [...entrance.slice(1), ...run], {
    stdio: 'inherit',
    env: { ...process.env, INKEV_HOST: host }
  })
  return status ?? 1
}

async function status(): Promise<number> {
  const lab = theLab()
  console.log(hostTable(lab))
  for (const host of lab.hosts)
    console.log(`\n${host.name}: ${agentStatus(host)}\n  workloads: ${(await host.workloads()).join(', ') || 'none'}`)
  return 0
}

async function env(): Promise<number> {
  console.log(environment(theLab()))
  return 0
}

async function down(): Promise<number> {
  const lab = Lab.find(name)
  await lab?.down()
  console.log(lab ? `The lab ${name} is gone.` : `There is no lab ${name}.`)
  return 0
}

function theLab(): Lab {
  const lab = Lab.find(name)
  if (!lab) throw new Error(`There is no lab ${name}: bring it up with \`npm run lab -- up --hosts 2\`.`)
  return lab
}

function agentStatus(host: Host): string {
  return host.agentPid === undefined ? `the agent does not run, its last words:\n${host.logTail(5)}` : `agent ${host.agentPid}`
}

function hostTable(lab: Lab): string {
  const rows = [['host', 'namespace', 'underlay', 'endpoint'], ...lab.hosts.map(host => [host.name, host.netns, host.vtep, host.endpoint])]
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map(row => row[column]!.length)))
  return rows
    .map(row =>
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd()
    )
    .join('\n')
}

function providerBlock(lab: Lab): string {
  const hosts = lab.hosts.map(host => `    ${host.name} = { endpoint = "${host.endpoint}" }`)
  return [
    'terraform {',
    '  required_providers {',
    '    inkev = { source = "inkev/inkev" }',
    '  }',
    '}',
    '',
    'provider "inkev" {',
    '  hosts = {',
    ...hosts,
    '  }',
    '}'
  ].join('\n')
}

function environment(lab: Lab): string {
  return Object.entries(terraformEnvironment(lab))
    .map(([key, value]) => `export ${key}='${value}'`)
    .join('\n')
}

function indent(text: string): string {
  return text.replaceAll(/^(?=.)/gm, '  ')
}

async function main(): Promise<number> {
  const command = commands[verb]
  if (!command) throw new Error(USAGE)
  return command()
}

main().then(
  code => {
    process.exitCode = code
  },
  error => {
    console.error(error.message)
    process.exitCode = 1
  }
)
