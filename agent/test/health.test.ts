// SPDX-License-Identifier: Apache-2.0
// Health checks on a real host: an HTTP server that goes bad and comes back, seen by the way that packets take; IPv4 and IPv6.

import { setTimeout as delay } from 'node:timers/promises'
import type { Host } from '@inkev/acceptance/lab/host'
import { Lab } from '@inkev/acceptance/lab/lab'
import { type RunningProgram, until } from '@inkev/acceptance/lab/process'
import { fetchRepeatedly } from '@inkev/acceptance/lab/traffic'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { becomes, db, gateway, port, put, statusOf, web } from './client'

/** Answers its name; or 503 after SIGUSR2 and until the next, and after SIGHUP to one question. */
const SERVER = `
  let bad = false
  let slip = false
  process.on('SIGUSR2', () => { bad = !bad; console.log(bad ? 'bad' : 'good') })
  process.on('SIGHUP', () => { slip = true })
  require('node:http')
    .createServer((_, response) => {
      response.writeHead(bad || slip ? 503 : 200, { connection: 'close' }).end(process.argv[1])
      if (slip) console.log('slipped')
      slip = false
    })
    .listen(8080, '::', () => console.log('listening'))`

const VIRTUAL = ['203.0.113.10', '2001:db8:10::10'] as const
/** That one of two servers is left out by chance happens once in ten million runs. */
const SESSIONS = 24
const LIMIT_MS = 15_000
const INTERVAL_MS = 300
const check = {
  protocol: 'http',
  path: '/healthz',
  interval: `${INTERVAL_MS}ms`,
  timeout: `${INTERVAL_MS}ms`,
  healthy_threshold: 2,
  unhealthy_threshold: 2
}
const backends = Object.fromEntries(
  [11, 12].flatMap((last, n) => [
    [`db${n + 1}`, { service: 'web', address: `10.0.2.${last}`, port: 8080 }],
    [`db${n + 1}-6`, { service: 'web6', address: `fd00:2::${last}`, port: 8080 }]
  ])
)
const balancer = {
  services: { web: { address: VIRTUAL[0], port: 80 }, web6: { address: VIRTUAL[1], port: 80 } },
  backends,
  health_checks: { web: check, web6: check },
  probe_ports: { elsewhere: { port: 'probe-2' }, here: { port: 'probe' } }
}

let lab: Lab
let host: Host
let servers: RunningProgram[]

beforeAll(async () => {
  lab = await Lab.up({ hosts: 1 })
  host = lab.host('edge-1')
  await put(host, 'networks/web', web)
  await put(host, 'networks/db', db)
  await put(host, 'functions/gateway', gateway)
  for (const network of ['web', 'db'])
    await put(host, `stitches/gateway-${network}`, { a: { function: 'gateway', port: network }, b: { network } })
  for (const [n, name] of ['db1', 'db2'].entries()) await put(host, `ports/${name}`, port('db', name, 11 + n))
  servers = ['db1', 'db2'].map(name => host.workload(name).start(['node', '-e', SERVER, name]))
  for (const server of servers) await server.says('listening')
  await put(host, 'ports/probe', port('web', 'probe', 99))
  await put(host, 'functions/front', { load_balancer: balancer })
  await put(host, 'ports/user', { ...port('web', 'user', 11), chain: ['front'] })
}, 60_000)

afterAll(async () => {
  for (const server of servers ?? []) await server.stop()
  await lab?.down()
})

/** Names and reasons of what fails. */
async function failing(): Promise<Record<string, string>> {
  const { items } = (await host.request('GET', '/v1/functions/front/health')).body
  expect(items.map(({ name }: { name: string }) => name)).toEqual(Object.keys(backends))
  return Object.fromEntries(
    items.flatMap(({ name, state, reason }: Record<string, string>) => (state === 'failing' ? [[name, reason]] : []))
  )
}

async function untilFailing(expected: Record<string, string>): Promise<void> {
  const same = async () => JSON.stringify(await failing()) === JSON.stringify(expected)
  await until(same, LIMIT_MS, async () => `fails: ${JSON.stringify(await failing())}\n${host.logTail()}`)
}

/** Waits until new sessions of both services are answered so. What fails is told before the tables follow. */
async function untilServing(answers: string[]): Promise<void> {
  let serving: string[][] = []
  const same = async () => {
    serving = await Promise.all(VIRTUAL.map(address => fetchRepeatedly(host.workload('user'), address, 80, SESSIONS)))
    return serving.every(each => each.join() === answers.join())
  }
  await until(same, LIMIT_MS, () => `serve: ${JSON.stringify(serving)}\n${host.logTail()}`)
}

async function untilStatus(reason: string | undefined): Promise<void> {
  const told = async () => (await statusOf(host, 'functions/front')).reason
  await until(
    async () => (await told()) === reason,
    LIMIT_MS,
    async () => `says: ${await told()}`
  )
}

test('a server that goes bad gets no new sessions until it comes back, over a restart of the agent', async () => {
  await becomes(host, 'functions/front', 'active')
  await untilFailing({})
  await untilStatus(undefined)
  servers[0]!.kill('SIGUSR2')
  await untilFailing({ db1: 'HTTP 503', 'db1-6': 'HTTP 503' })
  await untilServing(['db2'])
  await untilStatus('failing: db1 (HTTP 503), db1-6 (HTTP 503)')
  expect((await host.request('GET', '/metrics')).body).toContain('inkev_healthy{function="front",name="db1"} 0')
  await host.stopAgent()
  await host.startAgent()
  expect(Object.keys(await failing())).toEqual(['db1', 'db1-6'])
  servers[0]!.kill('SIGUSR2')
  await untilFailing({})
  await untilServing(['db1', 'db2'])
})

test('one bad answer is fewer than the threshold, and makes nobody fail', async () => {
  servers[1]!.kill('SIGHUP')
  await servers[1]!.says('slipped')
  await delay(INTERVAL_MS / 2)
  expect(await failing()).toEqual({})
})

test('where all fail, all are served, and the reason is told', async () => {
  for (const server of servers) await server.stop()
  await untilFailing(Object.fromEntries(Object.keys(backends).map(name => [name, 'connection refused'])))
  await untilServing(['failed'])
})

test('what cannot be asked is unknown, and told apart from a failure', async () => {
  await host.workload('probe').run(['ip', 'link', 'set', 'eth0', 'down'])
  const states = async () =>
    (await host.request('GET', '/v1/functions/front/health')).body.items.map(({ state }: { state: string }) => state)
  await until(
    async () => (await states()).every((state: string) => state === 'unknown'),
    LIMIT_MS,
    () => host.logTail()
  )
  expect(await failing()).toEqual({})
  const { state, reason } = await statusOf(host, 'functions/front')
  expect(state).toBe('degraded')
  expect(reason).toMatch(/^cannot probe: db1 \(from port probe: its namespace has no way there: network unreachable\), .*; failing: db1 \(/)
  expect((await host.request('GET', '/metrics')).body).not.toContain('inkev_healthy{function="front"')
})

test('without a port to ask from all are taken for healthy, and the status says so', async () => {
  await host.request('DELETE', '/v1/ports/probe')
  await untilFailing({})
  expect((await statusOf(host, 'functions/front')).reason).toContain('none of the ports probe-2, probe can ask it from this host')
})
