// SPDX-License-Identifier: Apache-2.0
// The example own-function: a user's programs from their sources to packets, one changed while they flow, and back to nothing.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { compileProgram } from '@inkev/bpf/testing/program'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { Host } from '../lab/host'
import { type KernelState, kernelState, whatIsLeft } from '../lab/kernel'
import { Lab } from '../lab/lab'
import type { Namespace } from '../lab/namespace'
import { Terraform } from '../lab/terraform'
import { fetchHttp, ping, SteadyPing, serveHttp } from '../lab/traffic'

const BOB = { v4: '10.0.0.12', v6: 'fd00::12' }

let lab: Lab
let edge: Host
let alice: Namespace
let bob: Namespace
let terraform: Terraform
let before: KernelState

beforeAll(async () => {
  lab = await Lab.up({ hosts: 1 })
  edge = lab.host('edge-1')
  alice = edge.workload('alice')
  bob = edge.workload('bob')
  before = await kernelState(lab)
  terraform = Terraform.ofExample('own-function', lab)
  for (const name of ['quota', 'meter', 'rewriter', 'tagger']) compile(name)
  await terraform.init()
  await terraform.apply()
})

afterAll(() => lab?.down())

/** As the example's head says; with `changes` to the source first. */
function compile(name: string, ...changes: [from: string, to: string][]): void {
  const path = join(terraform.folder, `${name}.bpf.c`)
  for (const [from, to] of changes) {
    const source = readFileSync(path, 'utf8')
    expect(source).toContain(from)
    writeFileSync(path, source.replace(from, to))
  }
  writeFileSync(join(terraform.folder, `${name}.bpf.o`), compileProgram(readFileSync(path, 'utf8')))
}

async function counted(counter: string, name = 'alice-quota'): Promise<number> {
  return (await edge.request('GET', `/v1/functions/${name}/counters`)).body[counter]
}

async function row(name: string, table: string, key: string | number) {
  const { items } = (await edge.request('GET', `/v1/functions/${name}/tables/${table}`)).body
  return items.find((item: { key: string | number }) => item.key === key)?.value
}

async function used(address: string): Promise<number> {
  return (await row('alice-quota', 'used', address)) ?? 0
}

/** SHA-256 of the code that measures alice's quota. */
async function codeRun(): Promise<string> {
  return (await edge.request('GET', '/v1/functions/alice-quota')).body.status.code
}

describe('the example own-function', () => {
  test('is followed by an empty plan', async () => {
    expect(await terraform.plan()).toMatchObject({ empty: true })
  })

  test('counts the bytes of each remote address', async () => {
    expect(await ping(alice, BOB.v4, 3)).toBe(true)
    expect(await ping(alice, BOB.v6, 3)).toBe(true)
    expect(await used(BOB.v4)).toBeGreaterThanOrEqual(2 * 84)
    expect(await used(BOB.v6)).toBeGreaterThanOrEqual(2 * 104)
    expect(await counted('over_quota')).toBe(0)
  })

  test('rewrites what is read from a web server, and nothing at another port', async () => {
    const text = `${'.'.repeat(100_001)}damned`
    const [web, other] = [await serveHttp(bob, 80, text), await serveHttp(bob, 8080, text)]
    const end = async (address: string, port: number) => (await fetchHttp(alice, address, port)).slice(-7)
    expect(await end(BOB.v6, 80)).toBe('.blamed')
    expect(await end(BOB.v6, 8080)).toBe('.damned')
    expect(await counted('replaced', 'courtesy')).toBe(1)
    await web.stop()
    await other.stop()
  })

  test('measures tenants, each in both directions', async () => {
    const [first, second] = [await row('tenants', 'rates', 1), await row('tenants', 'rates', 2)]
    expect(second.sent.bytes).toBeGreaterThan(200_000)
    expect(first.got.bytes).toBe(second.sent.bytes)
    expect(second.sent.peak_rate).toBeGreaterThan(0)
  })

  test('has no frame in its network without a tag', async () => {
    expect(await counted('no_tag', 'red')).toBe(0)
    expect(await counted('untagged', 'red')).toBeGreaterThan(0)
  })

  test('stops what goes beyond the quota, and nothing else', async () => {
    await alice.attempt(['ping', '-n', '-c', '8', '-i', '0.01', '-W', '1', '-s', '1400', BOB.v4])
    expect(await counted('over_quota')).toBeGreaterThan(0)
    expect(await ping(alice, BOB.v4)).toBe(false)
    expect(await ping(alice, BOB.v6)).toBe(true)
  })

  test('shows a changed field of configuration and a changed row by themselves, and applies them in place', async () => {
    terraform.edit('"10.0.0.12" = 10000', '"10.0.0.12" = 1000000')
    const { text } = await terraform.plan()
    expect(text).toMatch(/~ "10\.0\.0\.12" = "10000" -> "1000000"/)
    expect(text).toContain('0 to add, 1 to change, 0 to destroy')
    await terraform.apply()
    expect(await ping(alice, BOB.v4)).toBe(true)
    expect(await terraform.plan()).toMatchObject({ empty: true })
  })

  test('refuses at plan what the program does not know, or types otherwise', async () => {
    terraform.edit('{ enforce = true }', '{ enforce = "perhaps" }')
    expect((await terraform.attempt(['plan'])).stderr).toMatch(/"perhaps" is neither true nor\s+false/)
    terraform.edit('{ enforce = "perhaps" }', '{ strict = true }')
    expect((await terraform.attempt(['plan'])).stderr).toMatch(/has no field of its\s+(│\s+)?configuration strict/)
    terraform.edit('{ strict = true }', '{ enforce = true }')
  })

  test('runs new code after the next apply, with the memory of the old, and no packet is lost', async () => {
    const remembered = await used(BOB.v4)
    const steady = await SteadyPing.start(alice, BOB.v6)
    compile(
      'quota',
      ['count(COUNTER(passed));', 'count(COUNTER(passed));\n\tif (skb->len > 1000)\n\t\tcount(COUNTER(long_ones));'],
      ['INKEV_DOC("Packets beyond a quota.");', 'INKEV_DOC("Packets beyond a quota.");\n\tinkev_counter long_ones;']
    )
    const { text } = await terraform.plan()
    expect(text).toMatch(/~ sha256 +=/)
    expect(text).toContain('0 to add, 1 to change, 0 to destroy')
    const passed = await counted('passed')
    await terraform.apply()
    expect((await steady.stop()).lost).toBe(0)
    expect(await used(BOB.v4)).toBeGreaterThanOrEqual(remembered)
    expect(await counted('passed')).toBeGreaterThanOrEqual(passed)
    await alice.run(['ping', '-n', '-c', '1', '-s', '1200', BOB.v4])
    expect(await counted('long_ones')).toBe(2)
    expect(await terraform.plan()).toMatchObject({ empty: true })
    expect(text).toContain(`-> "${await codeRun()}"`)
  })

  test('tells what the verifier said, with the line of the source, and goes on as it was', async () => {
    compile('quota', ['bytes > *allowed', 'bytes > *allowed + *(allowed + 4096)'])
    const { code, stderr } = await terraform.attempt(['apply', '-auto-approve'])
    expect(code).toBe(1)
    expect(stderr.replaceAll(/\s*│?\s+/g, ' ')).toMatch(/invalid access to map value.*own\.bpf\.c:\d+/)
    expect(await ping(alice, BOB.v4)).toBe(true)
    expect(await terraform.run(['state', 'show', 'inkev_function.alice_quota'])).toContain(`"${await codeRun()}"`)
    compile('quota', ['bytes > *allowed + *(allowed + 4096)', 'bytes > *allowed'])
    expect(await terraform.plan()).toMatchObject({ empty: true })
  })

  test('tells what of its memory the next version could not take over, and goes on as it was', async () => {
    const before = await codeRun()
    compile('quota', ['BPF_MAP_TYPE_LRU_HASH', 'BPF_MAP_TYPE_HASH'])
    const { code, stderr } = await terraform.attempt(['apply', '-auto-approve'])
    expect(code).toBe(1)
    expect(stderr.replaceAll(/\s*│?\s+/g, ' ')).toMatch(
      /edge-1 refuses path.*map used cannot be taken over: it is of type hash now, and was of lru_hash/
    )
    expect(await codeRun()).toBe(before)
    expect(await ping(alice, BOB.v4)).toBe(true)
    compile('quota', ['(type, BPF_MAP_TYPE_HASH)', '(type, BPF_MAP_TYPE_LRU_HASH)'])
    expect(await terraform.plan()).toMatchObject({ empty: true })
  })

  test('leaves nothing in the kernel once destroyed', async () => {
    await terraform.destroy()
    expect(await whatIsLeft(lab, before)).toEqual([])
  })
})
