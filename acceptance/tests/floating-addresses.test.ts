// SPDX-License-Identifier: Apache-2.0
// The example floating-addresses: who appears as whom, outside and inside.

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type KernelState, kernelState, whatIsLeft } from '../lab/kernel'
import { Lab } from '../lab/lab'
import type { Namespace } from '../lab/namespace'
import type { RunningProgram } from '../lab/process'
import { Terraform } from '../lab/terraform'
import { FLOWING, fetchHttp, ping, throughput } from '../lab/traffic'

const SHARED = ['203.0.113.2', '2001:db8:1::2'] as const
const FLOATING = ['203.0.113.11', '2001:db8:1::11'] as const
const VISITOR = ['203.0.113.99', '2001:db8:1::99'] as const

/** A web server that tells each client who the client is. */
const MIRROR = `
  require('node:http').createServer(({ socket }, response) => response.end(socket.remoteAddress.replace('::ffff:', '')))
    .listen(80, '::', () => console.log('listening'))`

let lab: Lab
let web: Namespace
let app: Namespace
let visitor: Namespace
let servers: RunningProgram[] = []
let terraform: Terraform
let before: KernelState

beforeAll(async () => {
  lab = await Lab.up({ hosts: 2 })
  web = lab.host('edge-1').workload('web')
  app = lab.host('edge-1').workload('app')
  visitor = lab.host('edge-2').workload('visitor')
  before = await kernelState(lab)
  terraform = Terraform.ofExample('floating-addresses', lab)
  await terraform.init()
  await terraform.apply()
  servers = [web, app, visitor].map(on => on.start(['node', '-e', MIRROR]))
  for (const server of servers) await server.says('listening')
})

afterAll(() => lab?.down())

/** As whom `from` is known at a port of each address. */
async function knownAs(from: Namespace, addresses: readonly string[], port = 80): Promise<string[]> {
  return [await fetchHttp(from, addresses[0]!, port), await fetchHttp(from, addresses[1]!, port)]
}

describe('the example floating-addresses', () => {
  test('shows a host by its floating address, and others by the one that they share', async () => {
    expect(await knownAs(web, VISITOR)).toEqual(FLOATING)
    expect(await knownAs(app, VISITOR)).toEqual(SHARED)
    for (const address of VISITOR) for (const from of [web, app]) expect(await ping(from, address, 3)).toBe(true)
  })

  test('leads visitors to the floating address and the forwarded port, and nowhere else', async () => {
    expect(await knownAs(visitor, FLOATING)).toEqual(VISITOR)
    expect(await knownAs(visitor, SHARED, 8080)).toEqual(VISITOR)
    expect(await knownAs(visitor, SHARED, 80)).toEqual(['no answer', 'no answer'])
    for (const address of FLOATING) expect(await ping(visitor, address, 3)).toBe(true)
    expect(await ping(visitor, SHARED[0])).toBe(false)
  })

  test('leads the inside back to itself where it asks for outside addresses', async () => {
    expect(await knownAs(app, FLOATING)).toEqual(SHARED)
    expect(await knownAs(web, SHARED, 8080)).toEqual(FLOATING)
  })

  test('tells a sender inside what the way outside says of its packets', async () => {
    const { stdout } = await app.attempt(['ping', '-n', '-c', '1', '-M', 'do', '-s', '8000', '-W', '2', VISITOR[0]])
    expect(stdout).toMatch(/too long|Frag needed|message too long|0 received/i)
    expect(await fetchHttp(app, VISITOR[0], 9)).toBe('refused')
  })

  test('carries a stream through it', async () => {
    expect(await throughput(app, visitor, VISITOR[0], 1)).toBeGreaterThan(FLOWING)
  })

  test('is followed by an empty plan', async () => {
    expect(await terraform.plan()).toMatchObject({ empty: true })
  })

  test('leaves nothing in the kernel once destroyed', async () => {
    await Promise.all(servers.map(server => server.stop()))
    await terraform.destroy()
    expect(await whatIsLeft(lab, before)).toEqual([])
  })
})
