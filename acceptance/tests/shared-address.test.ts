// SPDX-License-Identifier: Apache-2.0
// The example shared-address: one address for three hosts, whose sessions two of them keep.

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type KernelState, kernelState, whatIsLeft } from '../lab/kernel'
import { Lab } from '../lab/lab'
import type { Namespace } from '../lab/namespace'
import type { RunningProgram } from '../lab/process'
import { Terraform } from '../lab/terraform'
import { fetchHttp, ping } from '../lab/traffic'

const SHARED = ['203.0.113.2', '2001:db8:1::2'] as const
const VISITOR = ['203.0.113.99', '2001:db8:1::99'] as const
const SHARES = { 'edge-1': [1024, 32_767], 'edge-2': [32_768, 65_535] } as const
const APPS = ['app1', 'app2', 'app3'] as const

/** A web server that tells each client who the client is. */
const MIRROR = `
  require('node:http').createServer(({ socket }, response) => response.end(socket.remoteAddress.replace('::ffff:', '') + ' ' + socket.remotePort))
    .listen(80, '::', () => console.log('listening'))`

/** A connection in use, which tells at a signal that it still is. */
const ECHO = `require('node:net').createServer(socket => socket.pipe(socket)).listen(7, '::', () => console.log('listening'))`
const TALKER = `
  const socket = require('node:net').connect({ host: '${VISITOR[0]}', port: 7 }, () => console.log('connected'))
  setInterval(() => socket.write('hello'), 100)
  process.on('SIGUSR2', () => socket.once('data', () => console.log('still there')))
  socket.on('data', () => {})`

let lab: Lab
let apps: Record<(typeof APPS)[number], Namespace>
let visitor: Namespace
let servers: RunningProgram[] = []
let terraform: Terraform
let before: KernelState

beforeAll(async () => {
  lab = await Lab.up({ hosts: 3 })
  apps = { app1: lab.host('edge-1').workload('app1'), app2: lab.host('edge-2').workload('app2'), app3: lab.host('edge-3').workload('app3') }
  visitor = lab.host('edge-3').workload('visitor')
  before = await kernelState(lab)
  terraform = Terraform.ofExample('shared-address', lab)
  await terraform.init()
  await terraform.apply()
  servers = [visitor.start(['node', '-e', MIRROR]), apps.app3.start(['node', '-e', MIRROR]), visitor.start(['node', '-e', ECHO])]
  for (const server of servers) await server.says('listening')
})

afterAll(() => lab?.down())

/** As whom, and which gateway's, an app is known. */
async function knownAs(app: Namespace, family: 0 | 1): Promise<[address: string, gateway: string]> {
  const [address = '', port] = (await fetchHttp(app, VISITOR[family], 80)).split(' ')
  const gateway = Object.entries(SHARES).find(([, [first, last]]) => Number(port) >= first && Number(port) <= last)
  return [address, gateway?.[0] ?? `none has ${port}`]
}

describe('the example shared-address', () => {
  test.each([0, 1] as const)('lets every host out, each gateway by its own ports, and answers find back (family %#)', async family => {
    for (const app of Object.values(apps)) expect(await ping(app, VISITOR[family], 5)).toBe(true)
    for (let n = 0; n < 3; n++) {
      expect(await knownAs(apps.app1, family)).toEqual([SHARED[family], 'edge-1'])
      expect(await knownAs(apps.app2, family)).toEqual([SHARED[family], 'edge-2'])
    }
    const [address, gateway] = await knownAs(apps.app3, family)
    expect([address, Object.keys(SHARES)]).toEqual([SHARED[family], expect.arrayContaining([gateway])])
    expect(await knownAs(apps.app3, family)).toEqual([address, gateway])
  })

  test('leads visitors, and the inside, to the forwarded port', async () => {
    for (const address of SHARED) {
      expect(await fetchHttp(visitor, address, 8080)).toMatch(/^(203\.0\.113|2001:db8:1:)[.:]99 /)
      expect(await fetchHttp(apps.app1, address, 8080)).toContain(`${address} `)
    }
  })

  test('keeps a flow while another gateway leaves, and lets all others out by those that stay', async () => {
    const talker = apps.app1.start(['node', '-e', TALKER])
    await talker.says('connected')
    await terraform.apply(['-var', `gateways={ edge-1 = { ports = "1024-32767" } }`])
    talker.kill('SIGUSR2')
    await talker.says('still there')
    await talker.stop()
    for (const app of Object.values(apps)) expect(await knownAs(app, 0)).toEqual([SHARED[0], 'edge-1'])
  })

  test('leaves nothing in the kernel once destroyed', async () => {
    await Promise.all(servers.map(server => server.stop()))
    await terraform.destroy()
    expect(await whatIsLeft(lab, before)).toEqual([])
  })
})
