// SPDX-License-Identifier: Apache-2.0
// The agent is killed at any moment: the kernel goes on forwarding, and the next start finishes what was half done.

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { Lab } from '../lab/lab'
import { Terraform } from '../lab/terraform'
import { ping, SteadyPing } from '../lab/traffic'

let lab: Lab
let terraform: Terraform

beforeAll(async () => {
  lab = await Lab.up({ hosts: 2 })
  terraform = Terraform.ofExample('two-hosts', lab)
  await terraform.init()
  await terraform.apply()
})

afterAll(() => lab?.down())

describe('an agent that is killed by SIGKILL', () => {
  test('loses no packet, neither dead nor while it starts again', async () => {
    const [edge1, edge2] = [lab.host('edge-1'), lab.host('edge-2')]
    const routed = await SteadyPing.start(edge1.workload('web1'), '10.0.2.12')
    const bridged = await SteadyPing.start(edge1.workload('web1'), 'fd00:1::13')
    for (const edge of [edge1, edge2]) await edge.stopAgent('SIGKILL')
    await new Promise(resolve => setTimeout(resolve, 500))
    for (const edge of [edge1, edge2]) await edge.startAgent()
    await new Promise(resolve => setTimeout(resolve, 500))
    expect((await routed.stop()).lost).toBe(0)
    expect((await bridged.stop()).lost).toBe(0)
  })

  test('is found by terraform as it was', async () => {
    expect(await terraform.plan()).toMatchObject({ empty: true })
  })

  test('during an apply leaves what the next apply completes', async () => {
    const edge = lab.host('edge-1')
    await terraform.destroy()
    const apply = terraform.start(['apply', '-auto-approve'])
    await apply.says('Creation complete')
    await edge.stopAgent('SIGKILL')
    expect((await apply.done).code).toBe(1)
    await edge.startAgent()
    await terraform.apply()
    expect(await ping(edge.workload('web1'), '10.0.2.12', 3)).toBe(true)
    expect(await terraform.plan()).toMatchObject({ empty: true })
  })
})
