// SPDX-License-Identifier: Apache-2.0
// What keeps an agent from starting, and what the kernel refuses it: each is told in a sentence, and changes nothing.

import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Host } from '@inkev/acceptance/lab/host'
import { kernelState, whatIsLeft } from '@inkev/acceptance/lab/kernel'
import { Lab } from '@inkev/acceptance/lab/lab'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { port, put, statusOf, web } from './client'

const AGENT = join(__dirname, '../dist/inkev-agent.js')
const BPF = join(__dirname, '../../bpf')
const OBJECTS = join(BPF, 'build')

let lab: Lab
let host: Host
let folder: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'inkev-start-'))
  lab = await Lab.up({ hosts: 1, agents: false })
  host = lab.host('edge-1')
}, 60_000)

afterAll(async () => {
  await lab?.down()
  rmSync(folder, { recursive: true, force: true })
})

async function outcome(...args: string[]): Promise<string> {
  const { code, stderr } = await host.attempt([
    'node',
    AGENT,
    '--name',
    'edge-1',
    '--listen',
    `unix:${folder}/agent.sock`,
    '--state',
    `${folder}/state`,
    ...args
  ])
  expect(code).toBe(1)
  return stderr
}

describe('an agent does not start', () => {
  test.each([
    ['with an uplink that is missing', ['--uplink', 'eth9'], '--uplink eth9 is no device of this host (INKEV_ERR_UPLINK_MISSING)'],
    [
      'with a VTEP that is not the uplink’s',
      ['--uplink', 'uplink', '--vtep', '192.0.2.99'],
      '--vtep 192.0.2.99 is no address of uplink, which has 192.0.2.1'
    ],
    ['with a second uplink that is missing', ['--uplink', 'uplink', '--uplink', 'eth9'], '--uplink eth9 is no device of this host'],
    [
      'with a VTEP that is not the host’s',
      ['--uplink', 'uplink', '--uplink', 'lo', '--vtep', '192.0.2.99'],
      '--vtep 192.0.2.99 is no address of this host, which has 127.0.0.1'
    ],
    ['with an uplink that has no address', ['--uplink', 'lo'], 'INKEV_ERR_UPLINK_MISSING'],
    ['on a directory that is no BPF file system', ['--bpffs', '/tmp'], '--bpffs /tmp is no BPF file system (INKEV_ERR_OPTION)'],
    ['without the compiled functions', ['--objects', '/tmp'], '/tmp/port.bpf.o cannot be used'],
    [
      'on an address that is taken',
      ['--listen', 'tcp://127.0.0.1:9', '--listen', 'tcp://127.0.0.1:9'],
      '--listen 127.0.0.1:9 cannot be opened (EADDRINUSE)'
    ],
    ['open to other hosts', ['--listen', 'tcp://0.0.0.0:7443'], 'INKEV_ERR_INSECURE']
  ])('%s', async (_, args, message) => {
    const said = await outcome(...args)
    expect(said).toContain(message)
    expect(said).not.toMatch(/^ +at /m)
    expect(existsSync(`${folder}/agent.sock`)).toBe(false)
  })

  test('where it may not use eBPF', async () => {
    const { stderr } = await host.attempt([
      'setpriv',
      '--reuid',
      '65534',
      '--clear-groups',
      'node',
      AGENT,
      '--name',
      'edge-1',
      '--state',
      `${folder}/other`
    ])
    expect(stderr).toContain('INKEV_ERR_UNSUPPORTED')
  })

  test('beside another that uses its state', async () => {
    await host.startAgent()
    expect(await outcome('--state', join(host.folder, 'state'), '--uplink', 'uplink')).toContain('INKEV_ERR_BUSY')
    await host.stopAgent()
  })
})

/** The compiled functions, but for one whose program reads a packet without looking how long it is. */
function compileBroken(kind: string): string {
  const [objects, core] = [join(folder, 'objects'), join(folder, 'core')]
  cpSync(OBJECTS, objects, { recursive: true })
  cpSync(join(BPF, 'core'), core, { recursive: true })
  const graph = readFileSync(join(core, 'graph.h'), 'utf8')
  writeFileSync(join(core, 'graph.h'), graph.replace('return skb->cb[0] >> 16;', 'return *(__u32 *)(long)skb->data;'))
  const source = join(BPF, 'functions', kind)
  const includes = [
    '-I',
    core,
    '-I',
    join(core, 'include'),
    '-I',
    source,
    ...['x86_64', 'aarch64'].flatMap(machine => ['-idirafter', `/usr/include/${machine}-linux-gnu`])
  ]
  const flags = ['-O2', '-g', '-target', 'bpf', '-mcpu=v3', ...includes]
  execFileSync(process.env.CLANG ?? 'clang-19', [...flags, '-c', join(source, `${kind}.bpf.c`), '-o', join(objects, `${kind}.bpf.o`)])
  return objects
}

describe('what the kernel refuses', () => {
  test('of a device is answered, and the port is not there', async () => {
    await host.startAgent()
    const before = await kernelState(lab)
    await put(host, 'networks/web', web)
    const answer = await host.request('PUT', '/v1/ports/web1', { ...port('web', 'web1', 11), ifname: '..' })
    expect(answer).toMatchObject({ status: 422, body: { error: { code: 'INKEV_ERR_KERNEL' } } })
    expect((await host.request('GET', '/v1/ports/web1')).status).toBe(404)
    expect(await whatIsLeft(lab, before)).toEqual([])
    await host.stopAgent()
  })

  test('of a program is answered with the verifier’s words, and its ports are not led past it', async () => {
    const objects = compileBroken('firewall')
    await host.startAgent(['--objects', objects])
    await put(host, 'networks/web', web)
    await put(host, 'functions/rules', { firewall: {} })
    await put(host, 'ports/web1', { ...port('web', 'web1', 11), chain: ['rules'] })
    expect(await statusOf(host, 'functions/rules')).toMatchObject({
      state: 'degraded',
      reason: expect.stringContaining('invalid access to packet')
    })
    expect(await statusOf(host, 'ports/web1')).toEqual({ state: 'degraded', reason: 'function rules is not loaded' })
    const again = await host.request('PUT', '/v1/functions/rules', { firewall: { default_ingress: 'allow' } })
    expect(again).toMatchObject({ status: 422, body: { error: { code: 'INKEV_ERR_VERIFIER' } } })
    await host.stopAgent()
  })
})
