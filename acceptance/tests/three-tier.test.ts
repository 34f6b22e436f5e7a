// SPDX-License-Identifier: Apache-2.0
// The example three-tier: all kinds of a tenant's functions together, on three hosts, as visitors, workloads and intruders meet them.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TraceAnswer } from '@inkev/agent/api/trace'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type KernelState, kernelState, whatIsLeft } from '../lab/kernel'
import { Lab } from '../lab/lab'
import type { Namespace } from '../lab/namespace'
import type { RunningProgram } from '../lab/process'
import { Terraform } from '../lab/terraform'
import { fetchHttp } from '../lab/traffic'

const SERVICE = ['203.0.113.10', '2001:db8:1::10'] as const
const VISITOR = ['203.0.113.99', '2001:db8:1::99'] as const
const SHARED = ['203.0.113.2', '2001:db8:1::2'] as const
const DATABASE = ['10.0.2.11', 'fd00:2::b'] as const
const WEB = ['10.0.1.11', 'fd00:1::b'] as const
const VIRTUAL = ['10.0.9.10', 'fd00:9::10'] as const
const BULK = 4_000_000
/** So many sessions: that one of two servers gets none of them by chance happens once in 32,000 runs. */
const SESSIONS = 16

/** Says who it is and who asks; takes what it is given and, where asked to, gives as much. */
const SERVER = `
  const [name, port, bulk] = process.argv.slice(1)
  require('node:http').createServer((request, response) => {
    let got = 0
    request.on('data', data => { got += data.length })
    request.on('end', () => response.end(request.url === '/bulk' ? Buffer.alloc(Number(bulk)) : [name, request.socket.remoteAddress.replace('::ffff:', ''), got].join(' ')))
  }).listen(Number(port), '::', () => console.log('listening'))`

/** What busybox's client calls to configure the device. */
const UDHCPC_SCRIPT = `#!/bin/sh
case "$1" in bound) ip address add "$ip/$mask" dev "$interface"; ip route add default via "$router" ;; esac
`

let lab: Lab
let terraform: Terraform
let before: KernelState
let folder: string
const servers: RunningProgram[] = []

const visitor = () => lab.host('edge-2').workload('visitor')
const web1 = () => lab.host('edge-2').workload('web1')
const web2 = () => lab.host('edge-3').workload('web2')
const jobs = () => lab.host('edge-1').workload('jobs')
const db1 = () => lab.host('edge-3').workload('db1')

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'inkev-three-tier-'))
  lab = await Lab.up({ hosts: 3 })
  before = await kernelState(lab)
  terraform = Terraform.ofExample('three-tier', lab)
  await terraform.init()
  await terraform.apply()
  await Promise.all([serve(web1(), 'web1', 8080), serve(web2(), 'web2', 8080), serve(db1(), 'db1', 5432), serve(visitor(), 'visitor', 80)])
})

afterAll(async () => {
  for (const server of servers) await server.stop()
  await lab?.down()
  rmSync(folder, { recursive: true, force: true })
})

async function serve(on: Namespace, name: string, port: number): Promise<void> {
  const server = on.start(['node', '-e', SERVER, name, String(port), String(BULK)])
  servers.push(server)
  await server.says('listening')
}

/** What a server answers to so many bytes. */
async function send(from: Namespace, address: string, bytes: number): Promise<string> {
  const url = `http://${address.includes(':') ? `[${address}]` : address}/`
  return from.run(['curl', '--silent', '--show-error', '--globoff', '--max-time', '10', '--upload-file', '-', url], {
    input: 'x'.repeat(bytes)
  })
}

async function bytesFetched(from: Namespace, address: string): Promise<number> {
  const url = `http://${address.includes(':') ? `[${address}]` : address}/bulk`
  const script = `curl --silent --globoff --max-time 10 '${url}' | wc -c`
  return Number(await from.run(['sh', '-c', script]))
}

describe('the example three-tier', () => {
  test.each(SERVICE)('leads visitors of %s to the web servers of both hosts, which see who they are', async address => {
    const answers = new Set<string>()
    for (let n = 0; n < SESSIONS; n++) answers.add(await fetchHttp(visitor(), address, 80))
    const client = VISITOR[SERVICE.indexOf(address)]
    expect([...answers].sort()).toEqual([`web1 ${client} 0`, `web2 ${client} 0`])
  })

  test.each(SERVICE)('carries bulk to and from %s', async address => {
    expect(await bytesFetched(visitor(), address)).toBe(BULK)
    expect(await send(visitor(), address, BULK)).toMatch(new RegExp(`^web. .* ${BULK}$`))
  })

  test('gives a workload its address by DHCP, behind its security group', async () => {
    writeFileSync(join(folder, 'udhcpc'), UDHCPC_SCRIPT, { mode: 0o755 })
    const client = ['udhcpc', '-f', '-n', '-q', '-t', '4', '-T', '2', '-i', 'eth0', '-s', join(folder, 'udhcpc')]
    await jobs().run(client)
    expect(await jobs().run(['ip', '-4', '-br', 'address', 'show', 'dev', 'eth0'])).toContain('10.0.1.31/24')
  })

  test('lets the web tier out, as one address', async () => {
    const [v4, v6] = VISITOR
    expect(await fetchHttp(jobs(), v4, 80)).toBe(`visitor ${SHARED[0]} 0`)
    expect(await send(web1(), v4, BULK)).toBe(`visitor ${SHARED[0]} ${BULK}`)
    expect(await send(web2(), v6, BULK)).toBe(`visitor ${SHARED[1]} ${BULK}`)
  })

  test('leads workloads to the service by its outside address too, be they its own servers', async () => {
    expect(await fetchHttp(jobs(), SERVICE[0], 80)).toMatch(`${SHARED[0]} 0`)
    expect(await fetchHttp(web1(), SERVICE[0], 80)).toMatch(`${SHARED[0]} 0`)
    expect(await fetchHttp(web2(), SERVICE[1], 80)).toMatch(`${SHARED[1]} 0`)
  })

  test('routes between tiers on the host of the sender', async () => {
    expect(await fetchHttp(web1(), DATABASE[0], 5432)).toBe(`db1 ${WEB[0]} 0`)
    expect(await fetchHttp(web1(), DATABASE[1], 5432)).toBe(`db1 ${WEB[1]} 0`)
  })

  test('fragments and pings go all the way out and back', async () => {
    for (const address of VISITOR) await web2().run(['ping', '-n', '-c', '2', '-i', '0.2', '-W', '2', '-s', '4000', address])
  })

  test('keeps everybody from what is not theirs', async () => {
    const attempts = {
      'web tier to another port of the database': fetchHttp(web1(), DATABASE[0], 22),
      'data tier to the outside': fetchHttp(db1(), VISITOR[0], 80),
      'data tier to the web tier': fetchHttp(db1(), WEB[1], 8080),
      'visitor to another port of the service': fetchHttp(visitor(), SERVICE[0], 8080),
      'visitor past the balancer': fetchHttp(visitor(), WEB[1], 8080),
      'visitor to the database': fetchHttp(visitor(), DATABASE[1], 5432)
    }
    for (const [attempt, outcome] of Object.entries(attempts))
      expect([attempt, await outcome]).toEqual([attempt, expect.stringMatching(/^(refused|no answer)$/)])
  })

  test.each(SERVICE)('tells by a trace what becomes of a visitor’s packet to %s on its way across the border', async address => {
    const source = VISITOR[SERVICE.indexOf(address)]
    const described = {
      from: { host: 'edge-2', network: 'public' },
      packet: { ip: { source, destination: address }, tcp: { destination_port: 80 } }
    }
    const { body } = await lab.host('edge-1').request('POST', '/v1/trace', described)
    const { steps, ...told }: TraceAnswer = body
    expect(steps.map(({ at }) => at.split('/')[1])).toEqual(
      'edge-2 public translator perimeter border frontend transit gateway web overlay'.split(' ')
    )
    const at = (name: string) => steps.find(step => step.at === `functions/${name}`)!
    const ip = address === SERVICE[0] ? 'ipv4' : 'ipv6'
    expect(at('translator').changed).toEqual({ [`${ip}.dst`]: `${address} -> ${VIRTUAL[SERVICE.indexOf(address)]}` })
    expect(at('perimeter').matched).toEqual([`service-${address === SERVICE[0] ? 'v4' : 'v6'}`])
    expect(at('frontend')).toMatchObject({ counted: { sessions_opened: 1 }, changed: { 'tcp.dport': '80 -> 8080' } })
    expect(told).toMatchObject({ verdict: 'tunnelled', to: expect.stringMatching(/hosts\/edge-[23]/) })
  })

  test('is followed by an empty plan', async () => {
    expect(await terraform.plan()).toMatchObject({ empty: true })
  })

  test('leaves nothing in the kernel once destroyed', async () => {
    await terraform.destroy()
    expect(await whatIsLeft(lab, before)).toEqual([])
  })
})
