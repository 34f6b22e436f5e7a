// SPDX-License-Identifier: Apache-2.0
// Programs of users on a real host: uploaded, run in a chain, refused with a reason, replaced while packets flow.

import type { Host } from '@inkev/acceptance/lab/host'
import { type KernelState, kernelState, whatIsLeft } from '@inkev/acceptance/lab/kernel'
import { Lab } from '@inkev/acceptance/lab/lab'
import { compileProgram, TEMPLATE, type Upload, uploadOf } from '@inkev/bpf/testing/program'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { packetsLost, port, put, remove, statusOf, web } from './client'

let lab: Lab
let host: Host
let before: KernelState

const TYPES = ['ports', 'functions', 'programs', 'networks']

beforeAll(async () => {
  lab = await Lab.up({ hosts: 1 })
  host = lab.host('edge-1')
  before = await kernelState(lab)
}, 60_000)

afterEach(async () => {
  if (host.agentPid === undefined) await host.startAgent()
  for (const type of TYPES)
    for (const { name } of (await host.request('GET', `/v1/${type}`)).body.items) await host.request('DELETE', `/v1/${type}/${name}`)
  expect(await whatIsLeft(lab, before)).toEqual([])
})

afterAll(async () => {
  await lab?.down()
})

const limiter = uploadOf(compileProgram(TEMPLATE))

function compiled(...changes: [from: string, to: string][]): Upload {
  const source = changes.reduce((text, [from, to]) => {
    expect(text).toContain(from)
    return text.replace(from, to)
  }, TEMPLATE)
  return uploadOf(compileProgram(source))
}

/** Two ports of one network, the first behind a function of the program. */
async function limitWeb1(config: Record<string, string> = {}, program: Upload = limiter): Promise<void> {
  await put(host, 'programs/limiter', program)
  await put(host, 'networks/web', web)
  await put(host, 'functions/limit', { program: { name: 'limiter', config } })
  await put(host, 'ports/web1', { ...port('web', 'web1', 11), chain: ['limit'] })
  await put(host, 'ports/web2', port('web', 'web2', 12))
}

async function counters(): Promise<Record<string, number>> {
  return (await host.request('GET', '/v1/functions/limit/counters')).body
}

describe('a program', () => {
  test('counts and drops packets in the chain of a port as its source says', async () => {
    await limitWeb1({ longest: '1000' })
    expect(await packetsLost(host, 'web1', '10.0.1.12')).toBe(0)
    expect(await packetsLost(host, 'web1', 'fd00:1::12')).toBe(0)
    expect(await counters()).toMatchObject({ too_long: 0, passed: expect.anything() })
    expect((await counters()).passed).toBeGreaterThanOrEqual(12)
    await host.workload('web1').attempt(['ping', '-n', '-c', '1', '-W', '1', '-s', '1200', '10.0.1.12'])
    expect(await counters()).toMatchObject({ too_long: 1 })
    expect((await host.request('GET', '/metrics')).body).toMatch(/inkev_program_too_long_total\{function="limit"\} 1/)
  })
})
