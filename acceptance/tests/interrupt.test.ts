// SPDX-License-Identifier: Apache-2.0
// However terraform ends, no process of the provider is left.

import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { Lab } from '../lab/lab'
import { until } from '../lab/process'
import { Terraform } from '../lab/terraform'

let lab: Lab
let terraform: Terraform

beforeAll(async () => {
  lab = await Lab.up({ hosts: 2 })
  terraform = Terraform.ofExample('two-hosts', lab)
  await terraform.init()
})

afterAll(() => lab?.down())

/** Processes whose environment shows that they were started for this lab: terraform, its provider, the provider's core. */
function processesOfTerraform(): string[] {
  return readdirSync('/proc').filter(pid => /^\d+$/.test(pid) && Number(pid) !== process.pid && environmentOf(pid).includes(lab.folder))
}

function environmentOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8')
  } catch {
    return ''
  }
}

describe('no process of the provider is left', () => {
  test('after a plan', async () => {
    await terraform.plan()
    expect(processesOfTerraform()).toEqual([])
  })

  test('after Ctrl-C in an apply, and the state is kept', async () => {
    const apply = terraform.start(['apply', '-auto-approve'])
    await apply.says('Creating...')
    apply.kill('SIGINT')
    await apply.done
    await until(
      () => processesOfTerraform().length === 0,
      5000,
      () => `still running: ${processesOfTerraform()}`
    )
    await terraform.apply()
    expect(await terraform.plan()).toMatchObject({ empty: true })
  })

  test('after terraform was killed by SIGKILL', async () => {
    const destroy = terraform.start(['destroy', '-auto-approve', '-lock=false'])
    await destroy.says('Destroying...')
    process.kill(destroy.pid, 'SIGKILL')
    await until(
      () => processesOfTerraform().length === 0,
      5000,
      () => `still running: ${processesOfTerraform()}`
    )
  })
})
