// SPDX-License-Identifier: Apache-2.0
// A new kind is one folder: put into a copy of the project it builds, is applied by terraform and meets packets, and nothing else is touched.

import { cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { Lab } from '../lab/lab'
import { run } from '../lab/process'
import { PROJECT } from '../lab/project'
import { Terraform, terraformEnvironment } from '../lab/terraform'
import { fetchHttp, serveHttp } from '../lab/traffic'

const COPY = join(PROJECT, '.cache/new-kind')
const PRODUCTS = ['bpf/build', 'native/build', 'agent/dist', 'provider/dist', 'provider/core/dist', '.cache/stamps']
const BUILD_LIMIT_MS = 180_000

let lab: Lab | undefined

beforeAll(async () => {
  rmSync(COPY, { recursive: true, force: true })
  mkdirSync(COPY, { recursive: true })
  const files = await run(['git', 'ls-files', '--cached', '--others', '--exclude-standard'], { cwd: PROJECT })
  await run(['cp', '--parents', '--target-directory', COPY, '--', ...files.split('\n').filter(Boolean)], { cwd: PROJECT })
  for (const product of PRODUCTS) cpSync(join(PROJECT, product), join(COPY, product), { recursive: true })
  for (const modules of ['node_modules', 'native/node_modules']) await run(['cp', '-al', modules, join(COPY, modules)], { cwd: PROJECT })
})

afterAll(async () => {
  await lab?.down()
  rmSync(COPY, { recursive: true, force: true })
})

test(
  'a kind that is put into bpf/functions works from HCL to the packet',
  async () => {
    const folder = join(COPY, 'bpf/functions/gate')
    cpSync(join(__dirname, 'new-kind'), folder, { recursive: true })
    await run(['node', 'acceptance/setup/main.mjs', 'setup'], { cwd: COPY, limit: BUILD_LIMIT_MS })

    lab = await Lab.up({ hosts: 1, project: COPY })
    const edge = lab.host('edge-1')
    const terraform = gateBefore('bob', lab)
    await terraform.init()
    await terraform.apply()
    expect(await terraform.plan()).toMatchObject({ empty: true })

    const servers = await Promise.all([2300, 2400].map(port => serveHttp(edge.workload('bob'), port, 'hello')))
    expect(await fetchHttp(edge.workload('alice'), '10.0.0.12', 2300)).toBe('no answer')
    expect(await fetchHttp(edge.workload('alice'), '10.0.0.12', 2400)).toBe('hello')
    expect(await fetchHttp(edge.workload('alice'), 'fd00::12', 2300)).toBe('no answer')
    for (const server of servers) await server.stop()
    expect((await edge.request('GET', '/metrics')).body).toMatch(/inkev_gate_shut_total\{.*\} [1-9]/)
    await terraform.destroy()
  },
  BUILD_LIMIT_MS + 60_000
)

/** The example quickstart, with a gate in the chain of one of its ports. */
function gateBefore(port: string, lab: Lab): Terraform {
  const terraform = new Terraform(join(lab.folder, 'gated'), terraformEnvironment(lab))
  cpSync(join(COPY, 'examples/terraform/quickstart'), terraform.folder, { recursive: true })
  terraform.edit(`name         = "${port}"`, `name         = "${port}"\n  chain        = [inkev_function.gate.name]`)
  writeFileSync(join(terraform.folder, 'gate.tf'), 'resource "inkev_function" "gate" {\n  name = "gate"\n  gate = { closed = 2300 }\n}\n')
  return terraform
}
