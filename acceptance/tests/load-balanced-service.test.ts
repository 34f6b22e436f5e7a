// SPDX-License-Identifier: Apache-2.0
// The example load-balanced-service: one virtual address, three servers on two hosts; what drains keeps its sessions and gets no more.

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type KernelState, kernelState, whatIsLeft } from '../lab/kernel'
import { Lab } from '../lab/lab'
import type { Namespace } from '../lab/namespace'
import { type RunningProgram, until } from '../lab/process'
import { Terraform } from '../lab/terraform'
import { fetchHttp, fetchRepeatedly, ping, serveHttp } from '../lab/traffic'

const SERVICE = ['203.0.113.10', '2001:db8:10::10'] as const
const SERVERS = ['web1', 'web2', 'web3'] as const
/** Three servers and so many sessions: that one is left out by chance happens once in a million runs. */
const SESSIONS = 40
const LIMIT_MS = 15_000

let lab: Lab
let user: Namespace
let servers: RunningProgram[] = []
let terraform: Terraform
let before: KernelState

beforeAll(async () => {
  lab = await Lab.up({ hosts: 2 })
  const [edge1, edge2] = [lab.host('edge-1'), lab.host('edge-2')]
  user = edge1.workload('user')
  before = await kernelState(lab)
  terraform = Terraform.ofExample('load-balanced-service', lab)
  await terraform.init()
  await terraform.apply()
  servers = await Promise.all(SERVERS.map(name => serveHttp((name === 'web1' ? edge1 : edge2).workload(name), 8080, name)))
})

afterAll(async () => {
  for (const server of servers) await server.stop()
  await lab?.down()
})

/** Waits until new sessions go to these servers and to no others: what was asked for takes hold with the balancer's next tables. */
async function untilServing(address: string, servers: readonly string[]): Promise<void> {
  let serving: string[] = []
  const same = async () => {
    serving = await fetchRepeatedly(user, address, 80, SESSIONS)
    return serving.join() === servers.join()
  }
  await until(same, LIMIT_MS, () => `${address} is served by ${serving}, not ${servers}`)
}

/** Waits until these backends fail, with these reasons. */
async function untilFailing(expected: Record<string, string>): Promise<void> {
  let failing = {}
  const same = async () => {
    const { items } = (await lab.host('edge-1').request('GET', '/v1/functions/frontend/health')).body
    const fallen = items.filter(({ state }: { state: string }) => state === 'failing')
    failing = Object.fromEntries(fallen.map(({ name, reason }: Record<string, string>) => [name, reason]))
    return JSON.stringify(failing) === JSON.stringify(expected)
  }
  await until(same, LIMIT_MS, () => `fails: ${JSON.stringify(failing)}`)
}

const KEEPER = `
  const http = require('node:http')
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  const ask = n => http.get({ host: process.argv[1], port: 80, agent }, response => {
    let text = ''
    response.on('data', data => { text += data })
    response.on('end', () => { console.log(n + ' ' + text); setTimeout(ask, 100, n + 1) })
  }).on('error', error => { console.log('lost: ' + error.message) })
  ask(0)`

/** A client that asks again and again by one connection, and says what it is answered. */
async function keepAsking(address: string): Promise<RunningProgram> {
  const keeper = user.start(['node', '-e', KEEPER, address])
  await keeper.says('0 web')
  return keeper
}

describe('the example load-balanced-service', () => {
  test.each(SERVICE)('spreads the sessions of %s over all servers, on whatever host they are', async address => {
    await untilServing(address, SERVERS)
  })

  test.each(SERVICE)('answers pings of %s, and refuses ports that it does not serve', async address => {
    expect(await ping(user, address)).toBe(true)
    expect(await fetchHttp(user, address, 81)).toBe('refused')
  })

  test('shows its sessions and its backends', async () => {
    const table = async (name: string) =>
      JSON.stringify((await lab.host('edge-1').request('GET', `/v1/functions/frontend/tables/${name}`)).body)
    expect(await table('sessions4')).toContain('203.0.113.10')
    expect(await table('backends')).toContain('10.0.2.12')
  })

  test('serves by the others while a server does not answer, which is no change to plan, and by it again once it does', async () => {
    await untilFailing({})
    await servers[1]!.stop()
    await untilFailing({ web2: 'connection refused', 'web2-6': 'connection refused' })
    for (const address of SERVICE) await untilServing(address, ['web1', 'web3'])
    expect(await terraform.plan()).toMatchObject({ empty: true })
    servers[1] = await serveHttp(lab.host('edge-2').workload('web2'), 8080, 'web2')
    for (const address of SERVICE) await untilServing(address, SERVERS)
  })

  test('lets servers drain: they keep the sessions that they have, and get no more', async () => {
    const keepers = await Promise.all(SERVICE.map(keepAsking))
    const kept = keepers.map(({ stdout }) => /0 (web\d)/.exec(stdout)![1]!)
    await terraform.apply(['-var', `draining=${JSON.stringify([...new Set(kept)])}`])
    for (const [n, keeper] of keepers.entries()) {
      await untilServing(
        SERVICE[n]!,
        SERVERS.filter(name => !kept.includes(name))
      )
      const answered = keeper.stdout.trim().split('\n').length
      await keeper.says(`${answered + 3} ${kept[n]}`)
      const { stdout } = await keeper.stop()
      expect([...new Set([...stdout.matchAll(/\d+ (\w+)/g)].map(([, name]) => name))]).toEqual([kept[n]])
    }
  })

  test('leaves nothing in the kernel once destroyed', async () => {
    await terraform.destroy()
    expect(await whatIsLeft(lab, before)).toEqual([])
  })
})
