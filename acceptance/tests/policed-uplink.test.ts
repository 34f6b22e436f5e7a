// SPDX-License-Identifier: Apache-2.0
// The example policed-uplink: what two tenants send and get is held to their rates, and rates that cannot be are refused at plan.

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { Host } from '../lab/host'
import { type KernelState, kernelState, whatIsLeft } from '../lab/kernel'
import { Lab } from '../lab/lab'
import { Terraform } from '../lab/terraform'

const SERVER = { v4: '10.0.0.20', v6: 'fd00::20' }
/** INKEV_RATE_SECONDS=10 measures as long as it takes to demand the rates themselves: 2 % for UDP, 5 % for TCP. */
const SECONDS = Number(process.env.INKEV_RATE_SECONDS ?? 3)
const TOLERANCE = SECONDS >= 10 ? { udp: 0.02, tcp: 0.05 } : { udp: 0.25, tcp: 0.4 }

let lab: Lab
let edge: Host
let terraform: Terraform
let before: KernelState

beforeAll(async () => {
  lab = await Lab.up({ hosts: 1 })
  edge = lab.host('edge-1')
  before = await kernelState(lab)
  terraform = Terraform.ofExample('policed-uplink', lab)
  await terraform.init()
  await terraform.apply()
})

afterAll(() => lab?.down())

interface Run {
  tenant: string
  port: number
  address?: string
  options?: string[]
}

/** Megabits per second that arrive of what iperf3 sends from a tenant to the server, IP headers included. `headers`: of a packet, and its payload. */
async function arrives({ tenant, port, address = SERVER.v4, options = [] }: Run, headers: number, payload: number): Promise<number> {
  const server = edge.workload('server').start(['iperf3', '-s', '-1', '-p', `${port}`, '--forceflush'], { limit: SECONDS * 1000 + 20_000 })
  await server.says('Server listening')
  const command = ['iperf3', '-c', address, '-p', `${port}`, '-t', `${SECONDS}`, '-J', ...options]
  const report = await edge.workload(tenant).run(command, { limit: SECONDS * 1000 + 15_000 })
  await server.stop()
  const { bytes } = JSON.parse(report).end.sum_received
  return (bytes * 8 * (1 + headers / payload)) / SECONDS / 1e6
}

const UDP = ['-u', '-b', '60M', '-l', '1200']
const TCP = ['-C', 'reno']
const within = (megabits: number, rate: number, tolerance: number) => expect(Math.abs(megabits / rate - 1)).toBeLessThan(tolerance)

describe('the example policed-uplink', () => {
  test('gives each tenant its own rate at the same time, by UDP on IPv4 and IPv6', async () => {
    const [a, b] = await Promise.all([
      arrives({ tenant: 'tenant-a', port: 5201, options: UDP }, 28, 1200),
      arrives({ tenant: 'tenant-b', port: 5202, options: UDP, address: SERVER.v6 }, 48, 1200)
    ])
    const burst = (20 * 0.25) / SECONDS
    within(a - burst, 20, TOLERANCE.udp)
    within(b - burst, 20, TOLERANCE.udp)
  })

  test.each([
    ['from', 20, TCP],
    ['to', 40, [...TCP, '-R']]
  ])('lets TCP %s a tenant fill %i Mbit/s', async (_, rate, options) => {
    within(await arrives({ tenant: 'tenant-a', port: 5203, options }, 52, 1398), rate, TOLERANCE.tcp)
  })

  test('counts and shows what was dropped, by the names of its limits', async () => {
    const counters = (await edge.request('GET', '/v1/functions/bronze/counters')).body
    expect(JSON.stringify(counters)).toMatch(/dropped/)
    const { body } = await edge.request('GET', '/v1/functions/bronze/tables/exceeded')
    expect(JSON.stringify(body)).toMatch(/"upload"/)
  })

  test('is followed by an empty plan', async () => {
    expect(await terraform.plan()).toMatchObject({ empty: true })
  })

  test('changes its rate in place', async () => {
    terraform.edit('rate = "20mbit"', 'rate = "5mbit"')
    await terraform.apply()
    const burst = (5 * 0.25) / SECONDS
    within((await arrives({ tenant: 'tenant-a', port: 5204, options: UDP }, 28, 1200)) - burst, 5, TOLERANCE.udp)
  })

  test('refuses a rate of zero at plan, on its attribute', async () => {
    terraform.edit('rate = "5mbit"', 'rate = "0mbit"')
    const { code, stderr } = await terraform.attempt(['plan'])
    expect(code).toBe(1)
    expect(stderr.replaceAll(/[\s│]+/g, ' ')).toContain('a rate of zero lets nothing pass')
    terraform.edit('rate = "0mbit"', 'rate = "5mbit"')
  })

  test('leaves nothing in the kernel once destroyed', async () => {
    await terraform.destroy()
    expect(await whatIsLeft(lab, before)).toEqual([])
  })
})
