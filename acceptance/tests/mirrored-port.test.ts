// SPDX-License-Identifier: Apache-2.0
// The example mirrored-port: tcpdump on another host sees what a workload sends and gets, while the mirror is on.

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type KernelState, kernelState, whatIsLeft } from '../lab/kernel'
import { Lab } from '../lab/lab'
import type { Namespace } from '../lab/namespace'
import { Terraform } from '../lab/terraform'
import { ping } from '../lab/traffic'

const SUSPECT = ['10.0.0.12', 'fd00::12'] as const

let lab: Lab
let client: Namespace
let collector: Namespace
let terraform: Terraform
let before: KernelState

beforeAll(async () => {
  lab = await Lab.up({ hosts: 2 })
  client = lab.host('edge-1').workload('client')
  collector = lab.host('edge-2').workload('collector')
  before = await kernelState(lab)
  terraform = Terraform.ofExample('mirrored-port', lab)
  await terraform.init()
  await terraform.apply()
})

afterAll(() => lab?.down())

/** The lines of tcpdump about pings that are sent to the suspect while it runs; it waits until it has `packets` of them. */
async function seen(packets: number): Promise<string[]> {
  const count = packets > 0 ? ['-c', String(packets)] : []
  const pings = 'icmp or (icmp6 and (ip6[40] == 128 or ip6[40] == 129))'
  const dump = collector.start(['tcpdump', '-nli', 'any', '--immediate-mode', ...count, pings], { limit: 10_000 })
  await dump.says('listening on')
  for (const address of SUSPECT) expect(await ping(client, address, 2)).toBe(true)
  const { stdout } = await (packets > 0 ? dump.done : dump.stop('SIGINT'))
  return stdout.split('\n').filter(line => line.includes('echo'))
}

describe('the example mirrored-port', () => {
  test('brings a copy of each packet, either way, to a collector on another host', async () => {
    const lines = await seen(8)
    expect(lines.filter(line => /10\.0\.0\.11 > 10\.0\.0\.12: ICMP echo request/.test(line))).toHaveLength(2)
    expect(lines.filter(line => /10\.0\.0\.12 > 10\.0\.0\.11: ICMP echo reply/.test(line))).toHaveLength(2)
    expect(lines.filter(line => /fd00::11 > fd00::12: .*echo request/.test(line))).toHaveLength(2)
    expect(lines.filter(line => /fd00::12 > fd00::11: .*echo reply/.test(line))).toHaveLength(2)
  })

  test('is followed by an empty plan', async () => {
    expect(await terraform.plan()).toMatchObject({ empty: true })
  })

  test('makes no copies while it is off', async () => {
    expect(await terraform.apply(['-var', 'watching=false'])).toContain('0 added, 1 changed, 0 destroyed')
    expect(await seen(0)).toEqual([])
  })

  test('refuses to stitch the ports by which it stands in a chain', async () => {
    terraform.edit('port = "copy"', 'port = "outside"')
    const { code, stderr } = await terraform.attempt(['apply', '-auto-approve'])
    terraform.edit('port = "outside"', 'port = "copy"')
    expect(code).toBe(1)
    // Terraform plans the two side by side: the later one is refused.
    expect(stderr.replaceAll(/[\s│]+/g, ' ')).toMatch(/stands in the chain of port suspect|is stitched by tap-monitoring/)
    await terraform.apply()
  })

  test('leaves nothing in the kernel once destroyed', async () => {
    await terraform.destroy()
    expect(await whatIsLeft(lab, before)).toEqual([])
  })
})
