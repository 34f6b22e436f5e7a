// SPDX-License-Identifier: Apache-2.0
// What bad input gets: a refusal at the earliest moment possible that names the attribute and says what to do, and nothing changes.

import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { Host } from '../lab/host'
import { type KernelState, kernelState, whatIsLeft } from '../lab/kernel'
import { Lab } from '../lab/lab'
import { Terraform, terraformEnvironment } from '../lab/terraform'

type Stage = 'validate' | 'plan' | 'apply'
const STAGES: Record<Stage, string[]> = { validate: ['validate', '-no-color'], plan: ['plan'], apply: ['apply', '-auto-approve'] }

let lab: Lab
let edge: Host
let terraform: Terraform
let before: KernelState

beforeAll(async () => {
  lab = await Lab.up({ hosts: 1 })
  edge = lab.host('edge-1')
  before = await kernelState(lab)
  terraform = configured('cases', '')
  await terraform.init()
})

afterAll(() => lab?.down())

/** A configuration with a provider block that names edge-1, unless it brings its own. */
function configured(folder: string, resources: string, entrance?: string[]): Terraform {
  const path = join(lab.folder, folder)
  mkdirSync(path, { recursive: true })
  writeFileSync(join(path, 'main.tf'), configuration(resources))
  return new Terraform(path, terraformEnvironment(lab), entrance)
}

function configuration(resources: string): string {
  const provider = resources.includes('provider "inkev"') ? '' : 'provider "inkev" {\n  hosts = var.hosts\n}\n'
  return `terraform {
  required_providers {
    inkev = { source = "inkev/inkev" }
  }
}
variable "hosts" {
  type = map(object({ endpoint = string }))
}
${provider}${resources}`
}

/** What terraform says at the first stage that refuses, without the frame and the line breaks of its diagnostics. */
async function refusal(refused: Terraform): Promise<{ at: Stage | 'never'; text: string }> {
  for (const [at, args] of Object.entries(STAGES) as [Stage, string[]][]) {
    const { code, stderr, stdout } = await refused.attempt(args)
    if (code !== 0) return { at, text: (stderr || stdout).replaceAll(/[│╷╵\s]+/g, ' ') }
  }
  return { at: 'never', text: '' }
}

const network = (name: string, vni: number, cidrs = ['10.9.0.0/24']) => `
resource "inkev_network" "${name}" {
  name    = "${name}"
  vni     = ${vni}
  hosts   = ["edge-1"]
  subnets = {
${cidrs.map((cidr, n) => `    s${n} = { cidr = "${cidr}" }`).join('\n')}
  }
}`

const port = (attributes: string) => `
resource "inkev_port" "p" {
  name    = "p"
  network = "n"
  ${attributes}
}`

const router = `
resource "inkev_function" "r" {
  name   = "r"
  router = { interfaces = { up = { address = "10.9.0.1/24" } } }
}`

const firewall = (name: string) => `
resource "inkev_function" "${name}" {
  name     = "${name}"
  firewall = {}
}`

const stitch = (label: string, a: string, b: string) => `
resource "inkev_stitch" "${label}" {
  a = { ${a} }
  b = { ${b} }
  depends_on = [inkev_function.${/function = "(\w+)"/.exec(a)?.[1]}]
}`

/** What is wrong, when it is found at the latest, a configuration, and what must be said about it. */
const CASES: Array<[wrong: string, at: Stage, hcl: string, says: RegExp[]]> = [
  ['a malformed CIDR', 'validate', network('n', 1, ['10.9.0.0/33']), [/cidr/, /10\.9\.0\.0\/33/, /Write 10\.0\.1\.0\/24/]],
  ['host bits in a CIDR', 'validate', network('n', 1, ['10.9.0.7/24']), [/cidr/, /10\.9\.0\.7\/24/]],
  ['subnets of one network that overlap', 'validate', network('n', 1, ['10.9.0.0/24', '10.9.0.128/25']), [/s1/, /overlaps/]],
  ['a name that is too long', 'validate', network('n'.repeat(41), 1), [/name/, /longer than 40 characters/]],
  ['a VNI that does not fit', 'validate', network('n', 16777216), [/vni/, /16777215/]],
  ['a function without a kind', 'validate', 'resource "inkev_function" "f" {\n  name = "f"\n}', [/kind/]],
  [
    'an address outside its subnet',
    'plan',
    network('n', 1) + port('host = "edge-1"\n  netns = "w"\n  create_netns = true\n  ip_addresses = ["10.8.0.5"]'),
    [/ip_addresses/, /10\.8\.0\.5/, /outside/]
  ],
  ['a port on an unknown host', 'plan', port('host = "edge-9"\n  netns = "w"'), [/host/, /edge-9/, /edge-1/]],
  ['a VNI used twice', 'plan', network('n', 7) + network('m', 7, ['10.8.0.0/24']), [/vni/, /VNI 7 belongs to network/]],
  [
    'a stitch to a port that does not exist',
    'plan',
    network('n', 1) + router + stitch('s', 'function = "r", port = "down"', 'network = "n"'),
    [/port/, /down/, /up/]
  ],
  [
    'a stitch to a port that is taken',
    'plan',
    network('n', 1) +
      router +
      stitch('s', 'function = "r", port = "up"', 'network = "n"') +
      stitch('t', 'function = "r", port = "up"', 'network = "n"').replace('a =', 'name = "t"\n  a ='),
    [/port up of function r/, /taken/]
  ],
  [
    'a loop that nothing breaks',
    'plan',
    network('n', 1) +
      firewall('f') +
      stitch('s', 'function = "f", port = "inside"', 'network = "n"') +
      stitch('t', 'function = "f", port = "outside"', 'network = "n"'),
    [/loop|round/]
  ],
  [
    'a namespace that is missing',
    'apply',
    network('n', 1) + port('host = "edge-1"\n  netns = "nowhere"\n  depends_on = [inkev_network.n]'),
    [/netns/, /nowhere/, /create_netns/]
  ]
]

describe('is refused at the earliest moment, with the attribute and what to do, and changes nothing:', () => {
  test.each(CASES)('%s (%s)', async (_wrong, at, hcl, says) => {
    writeFileSync(join(terraform.folder, 'main.tf'), configuration(hcl))
    const said = await refusal(terraform)
    expect(said).toMatchObject({ at, text: expect.stringContaining('on main.tf line') })
    for (const words of says) expect(said.text).toMatch(words)
    if (said.at === 'apply') await terraform.destroy()
    expect(await whatIsLeft(lab, before)).toEqual([])
  })
})

describe('is refused when the plan asks the agents:', () => {
  const someNetwork = network('n', 1)

  test('an agent that is down', async () => {
    const provider = 'provider "inkev" {\n  hosts = { edge-1 = { endpoint = "unix:///run/inkev/nobody.sock" } }\n}'
    const down = configured('down', provider + someNetwork)
    await down.init()
    const { at, text } = await refusal(down)
    expect(at).toBe('plan')
    expect(text).toMatch(/edge-1/)
    expect(text).toMatch(/nobody\.sock/)
  })

  test('an agent that is too old', async () => {
    const socket = join(lab.folder, 'old.sock')
    const { body } = await edge.request('GET', '/v1/host')
    const old: Server = createServer((_, response) =>
      response.setHeader('content-type', 'application/json').end(JSON.stringify({ ...body, api: 0, version: '0.0.1' }))
    )
    await new Promise<void>(resolve => old.listen(socket, resolve))
    const outdated = configured('old', `provider "inkev" {\n  hosts = { edge-1 = { endpoint = "unix://${socket}" } }\n}${someNetwork}`)
    await outdated.init()
    const { at, text } = await refusal(outdated)
    old.close()
    expect(at).toBe('plan')
    expect(text).toMatch(/0\.0\.1/)
    expect(text).toMatch(/[Uu]pgrade|newer/)
  })

  test('a wrong token, and the right one is accepted', async () => {
    const file = join(edge.folder, 'tokens.json')
    writeFileSync(file, JSON.stringify([{ token_sha256: createHash('sha256').update('right').digest('hex'), roles: ['read', 'operate'] }]))
    await edge.stopAgent()
    await edge.startAgent(['--listen', 'tcp://127.0.0.1:7443', '--token-file', file])
    const provider = 'provider "inkev" {\n  hosts = { edge-1 = { endpoint = "http://127.0.0.1:7443" } }\n  token = "wrong"\n}'
    const guarded = configured('token', provider + someNetwork, ['nsenter', `--net=/run/netns/${edge.netns}`, '--'])
    await guarded.init()
    const { at, text } = await refusal(guarded)
    expect(at).toBe('plan')
    expect(text).toMatch(/token/)
    expect(text).not.toContain('wrong')
    guarded.edit('"wrong"', '"right"')
    expect((await guarded.plan()).empty).toBe(false)
  })
})

describe('ends an agent at its start with a sentence:', () => {
  test.each([
    ['an uplink that is missing', ['--uplink', 'nowhere'], /nowhere/],
    ['a BPF file system that is none', ['--bpffs', '/tmp'], /\/tmp/],
    ['an address open to all without credentials', ['--listen', 'tcp://0.0.0.0:7443'], /TLS/]
  ])('%s', async (_wrong, args, says) => {
    await edge.stopAgent()
    await expect(edge.startAgent(args)).rejects.toThrow(says)
    await edge.startAgent()
  })
})
