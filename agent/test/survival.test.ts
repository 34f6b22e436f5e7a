// SPDX-License-Identifier: Apache-2.0
// A real host on which things go wrong: agents die half-way, others take away what is ours, clients come in any order.

import { createHash } from 'node:crypto'
import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Host } from '@inkev/acceptance/lab/host'
import { type KernelState, kernelState, whatIsLeft } from '@inkev/acceptance/lab/kernel'
import { Lab } from '@inkev/acceptance/lab/lab'
import { run, sleep, until } from '@inkev/acceptance/lab/process'
import { SteadyConnection, SteadyPing } from '@inkev/acceptance/lab/traffic'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { becomes, packetsLost, port, put, putAll, type Resource, removeAll, routed, statusOf, TYPES } from './client'

let lab: Lab
let host: Host
let before: KernelState

const tenant: Resource[] = [
  ...routed,
  ['functions/rules', { firewall: { default_ingress: 'allow' } }],
  ['ports/web1', port('web', 'web1', 11)],
  ['ports/web2', port('web', 'web2', 12)],
  ['ports/db1', { ...port('db', 'db1', 11), chain: ['rules'] }]
]

beforeAll(async () => {
  lab = await Lab.up({ hosts: 1 })
  host = lab.host('edge-1')
  before = await kernelState(lab)
}, 60_000)

afterEach(() => removeAll(host))

afterAll(async () => {
  await lab?.down()
})

function build(): Promise<void> {
  return putAll(host, tenant)
}

async function works(): Promise<void> {
  expect(await packetsLost(host, 'web1', '10.0.1.12')).toBe(0)
  expect(await packetsLost(host, 'web1', '10.0.2.11')).toBe(0)
  expect(await packetsLost(host, 'db1', 'fd00:1::12')).toBe(0)
}

describe('an agent that is killed', () => {
  test.each([5, 120, 400])('%i ms into the building of a tenant finishes it when it starts again', async delay => {
    const building = Promise.allSettled(tenant.map(([path, body]) => host.request('PUT', `/v1/${path}`, body)))
    await sleep(delay)
    await host.stopAgent('SIGKILL')
    await building
    await host.startAgent()
    await build()
    await works()
    await removeAll(host)
    expect(await whatIsLeft(lab, before)).toEqual([])
  })

  test.each([10, 80])('%i ms into its removal leaves nothing when it starts again', async delay => {
    await build()
    const removing = (async () => {
      for (const type of TYPES)
        for (const [path] of tenant.filter(([path]) => path.startsWith(type))) await host.request('DELETE', `/v1/${path}`).catch(() => {})
    })()
    await sleep(delay)
    await host.stopAgent('SIGKILL')
    await removing
    await host.startAgent()
    await removeAll(host)
    expect(await whatIsLeft(lab, before)).toEqual([])
  })
})

describe('a namespace', () => {
  test('that a killed agent left half made is made anew', async () => {
    await build()
    await host.stopAgent('SIGKILL')
    await host.run(['umount', '-l', '/run/netns/web1'])
    await host.startAgent()
    await works()
  })
})

describe('an agent with other code', () => {
  let objects: string

  beforeAll(() => {
    objects = mkdtempSync(join(tmpdir(), 'inkev-objects-'))
    cpSync(join(__dirname, '../../bpf/build'), objects, { recursive: true })
    for (const object of ['port', 'bridge', 'router', 'firewall', 'uplink'])
      appendFileSync(join(objects, `${object}.bpf.o`), 'another version')
  })

  afterAll(() => rmSync(objects, { recursive: true }))

  test('takes over in place: no packet is lost, no session ends, nothing of the old code is left', async () => {
    await build()
    await put(host, 'functions/rules', {
      firewall: { rules: { ping: { priority: 1, direction: 'ingress', protocol: 'icmp', action: 'allow' } } }
    })
    const pins = await host.run(['find', '/sys/fs/bpf/inkev', '-type', 'f'])
    const lost = packetsLost(host, 'web1', '10.0.2.11', 600, 0.005)
    await sleep(500)
    await host.stopAgent('SIGKILL')
    await host.startAgent(['--objects', objects])
    expect(await lost).toBe(0)
    const counters = (await host.request('GET', '/v1/functions/rules/counters')).body
    expect(counters.sessions_opened).toBe(1)
    for (const [path, object] of [
      ['functions/rules', 'firewall'],
      ['networks/web', 'bridge']
    ]) {
      const sum = createHash('sha256').update(readFileSync(join(objects, `${object}.bpf.o`)))
      expect((await host.request('GET', `/v1/${path}`)).body.status.code).toBe(sum.digest('hex'))
    }
    expect((await host.run(['find', '/sys/fs/bpf/inkev', '-type', 'f'])).split('\n').length).toBe(pins.split('\n').length)
    await host.stopAgent()
  })
})

describe('an agent whose firewall and NAT keep more of each session', () => {
  const rules = { icmp: { priority: 1, direction: 'ingress', protocol: 'icmp', action: 'allow' } }
  const echo = { priority: 2, direction: 'ingress', protocol: 'tcp', ports: '7', action: 'allow' }
  let copy: string

  beforeAll(async () => {
    copy = mkdtempSync(join(tmpdir(), 'inkev-next-'))
    cpSync(join(__dirname, '../../bpf'), copy, { recursive: true, filter: path => !path.includes('node_modules') })
    const header = join(copy, 'core/session.h')
    writeFileSync(header, readFileSync(header, 'utf8').replace(/(SESSION_DATA data;[^\n]*\n#endif\n)/, '$1\t__u64 of_the_next_version;\n'))
    const compile = (kind: string) =>
      run(['node', join(copy, 'build.mjs'), 'object', join(copy, `functions/${kind}/${kind}.bpf.c`), join(copy, `build/${kind}.bpf.o`)])
    await Promise.all(['firewall', 'nat'].map(compile))
  })

  afterAll(() => rmSync(copy, { recursive: true }))

  test('moves the sessions, there and back: a ping and a TCP connection through both go on, though nothing would admit them anew', async () => {
    await build()
    await put(host, 'functions/translator', { nat: { sources: { web: { source: '10.0.1.0/24', pool: '10.0.2.99/32' } } } })
    await host.request('POST', '/v1/bulk', [
      change('gateway-db', { function: 'gateway', port: 'db' }, { function: 'translator', port: 'inside' }),
      change('translator-db', { function: 'translator', port: 'outside' }, { network: 'db' })
    ])
    await put(host, 'functions/rules', { firewall: { rules: { ...rules, echo } } })
    const ping = await SteadyPing.start(host.workload('web1'), '10.0.2.11')
    const connection = await SteadyConnection.start(host.workload('web1'), host.workload('db1'), '10.0.2.11')
    await put(host, 'functions/rules', { firewall: {} })
    for (const args of [['--objects', join(copy, 'build')], []]) {
      const former = await codesOf('rules', 'translator')
      await host.stopAgent('SIGKILL')
      await host.startAgent(args)
      expect((await codesOf('rules', 'translator')).filter(code => former.includes(code))).toEqual([])
    }
    const [{ lost }, { back, ended }] = [await ping.stop(), await connection.stop()]
    expect({ lost, ended }).toEqual({ lost: 0, ended: '' })
    expect(back).toBeGreaterThan(100_000)
    for (const name of ['rules', 'translator'])
      expect((await host.request('GET', `/v1/functions/${name}/counters`)).body.sessions_opened).toBe(2)
    expect(host.logTail(200)).not.toContain('starts empty')
  })
})

function codesOf(...names: string[]): Promise<string[]> {
  return Promise.all(names.map(async name => (await host.request('GET', `/v1/functions/${name}`)).body.status.code))
}

/** A stitch, as POST /v1/bulk takes it. */
function change(name: string, a: object, b: object): object {
  return { method: 'PUT', resource: 'stitches', name, body: { a, b } }
}

describe('an agent that finds maps laid out by another version', () => {
  test('removes what cannot be taken over, and builds it anew', async () => {
    await build()
    await host.stopAgent()
    const map = '/sys/fs/bpf/inkev/core/workloads'
    await host.run(['rm', map])
    await host.run(['bpftool', 'map', 'create', map, 'type', 'array', 'key', '4', 'value', '8', 'entries', '16', 'name', 'workloads'])
    await host.startAgent()
    await works()
  })
})

describe('what others take away is restored', () => {
  const showLink = () => host.attempt(['bpftool', '-j', 'link', 'show', 'pinned', '/sys/fs/bpf/inkev/links/ports_2fweb1'])
  const linkId = async () => JSON.parse((await showLink()).stdout).id as number | undefined

  test('a hook that was detached', async () => {
    await build()
    const id = await linkId()
    await host.run(['bpftool', 'link', 'detach', 'id', String(id)])
    await until(
      async () => ![id, undefined].includes(await linkId()),
      10_000,
      () => 'the hook is not restored'
    )
    await works()
  })

  test('a hook whose pin was removed', async () => {
    await build()
    await host.run(['rm', '/sys/fs/bpf/inkev/links/ports_2fweb1'])
    await until(
      async () => (await showLink()).code === 0,
      10_000,
      () => 'the pin is not restored'
    )
    await works()
  })

  test('a device that was deleted', async () => {
    await build()
    await host.workload('web1').run(['ip', 'link', 'del', 'eth0'])
    await until(
      async () => (await host.workload('web1').attempt(['ip', 'link', 'show', 'eth0'])).code === 0,
      10_000,
      () => 'the device is not restored'
    )
    await becomes(host, 'ports/web1', 'active')
    await works()
  })

  test('a device that was set down', async () => {
    await build()
    await host.run(['ip', 'link', 'set', 'ik-web1', 'down'])
    await until(
      async () => (await host.run(['ip', '-br', 'link', 'show', 'ik-web1'])).includes('UP'),
      10_000,
      () => 'the device stays down'
    )
    await works()
  })
})

describe('clients', () => {
  test('of which eight come at once, in any order, lead to the same state as one', async () => {
    await build()
    const state = async () => {
      const lists = await Promise.all(TYPES.map(async type => (await host.request('GET', `/v1/${type}`)).body.items))
      return lists
        .flat()
        .map(item => JSON.stringify(item))
        .sort()
    }
    const one = await state()
    await removeAll(host)

    const queue = tenant.map(each => each).sort(() => Math.random() - 0.5)
    const client = async () => {
      for (let next = queue.shift(); next; next = queue.shift()) await put(host, ...next)
    }
    await Promise.all(Array.from({ length: 8 }, client))
    expect(await state()).toEqual(one)
    await works()
  })

  test('put a function into the chain of a port and take it out, and no packet is lost', async () => {
    await build()
    await put(host, 'functions/more', { firewall: { default_ingress: 'allow' } })
    const lost = packetsLost(host, 'web1', '10.0.2.11', 500, 0.005)
    await sleep(300)
    await put(host, 'ports/web1', { ...port('web', 'web1', 11), chain: ['more'] })
    await sleep(800)
    await put(host, 'ports/web1', port('web', 'web1', 11))
    expect(await lost).toBe(0)
  })

  test('re-stitch a function in and out, and no packet is lost', async () => {
    await build()
    await put(host, 'functions/middle', { firewall: { default_ingress: 'allow' } })
    const bulk = (changes: object[]) => host.request('POST', '/v1/bulk', changes)
    const gatewayWeb = (b: object) => ({
      method: 'PUT',
      resource: 'stitches',
      name: 'gateway-web',
      body: { a: { function: 'gateway', port: 'web' }, b }
    })
    const lost = packetsLost(host, 'web1', '10.0.2.11', 500, 0.005)
    await sleep(300)
    const inserted = await bulk([
      gatewayWeb({ function: 'middle', port: 'outside' }),
      {
        method: 'PUT',
        resource: 'stitches',
        name: 'middle-web',
        body: { a: { function: 'middle', port: 'inside' }, b: { network: 'web' } }
      }
    ])
    expect(inserted.body.map(({ status }: { status: number }) => status)).toEqual([200, 201])
    await sleep(800)
    const removed = await bulk([gatewayWeb({ network: 'web' }), { method: 'DELETE', resource: 'stitches', name: 'middle-web' }])
    expect(removed.body.map(({ status }: { status: number }) => status)).toEqual([200, 204])
    expect(await lost).toBe(0)
    expect(await statusOf(host, 'functions/middle')).toMatchObject({ state: 'idle' })
  })
})
