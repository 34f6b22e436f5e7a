// SPDX-License-Identifier: Apache-2.0
// The example reachability: traces as data, held against what must arrive.

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type KernelState, kernelState, whatIsLeft } from '../lab/kernel'
import { Lab } from '../lab/lab'
import { Terraform } from '../lab/terraform'

let lab: Lab
let terraform: Terraform
let before: KernelState

beforeAll(async () => {
  lab = await Lab.up({ hosts: 1 })
  before = await kernelState(lab)
  terraform = Terraform.ofExample('reachability', lab)
  await terraform.init()
  await terraform.apply()
})

afterAll(() => lab?.down())

describe('the example reachability', () => {
  test('tells where each packet went, and why it went no further', async () => {
    const { ways } = JSON.parse(await terraform.run(['output', '-json']))
    const start = ['ports/shop forwarded networks/office', 'networks/office forwarded functions/ledger-rules']
    const open = [...start, 'functions/ledger-rules delivered ports/ledger']
    const closed = [...start, 'functions/ledger-rules dropped denied']
    expect(ways.value).toEqual({ books_v4: open, books_v6: open, ssh_v4: closed, ssh_v6: closed })
  })

  test('is followed by an empty plan', async () => {
    expect(await terraform.plan()).toMatchObject({ empty: true })
  })

  test('fails where what must be open was closed, and says what closed it', async () => {
    const { code, stderr } = await terraform.attempt(['apply', '-auto-approve', '-no-color', '-var', 'open_port=5433'])
    expect(code).toBe(1)
    expect(stderr.replaceAll(/[│\s]+/g, ' ')).toContain('books_v4 is dropped (denied)')
    await terraform.apply()
  })

  test('refuses a packet that cannot be, at the attribute', async () => {
    terraform.edit('destination = each.value.destination }', 'source = "fd00:3::11", destination = "10.3.0.12" }')
    const { code, stderr } = await terraform.attempt(['plan', '-no-color'])
    expect(code).toBe(1)
    expect(stderr.replaceAll(/[│\s]+/g, ' ')).toContain('fd00:3::11 and 10.3.0.12 are of two IP versions')
    terraform.edit('source = "fd00:3::11", destination = "10.3.0.12" }', 'destination = each.value.destination }')
  })

  test('leaves nothing in the kernel once destroyed', async () => {
    await terraform.destroy()
    expect(await whatIsLeft(lab, before)).toEqual([])
  })
})
