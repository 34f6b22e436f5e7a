// SPDX-License-Identifier: Apache-2.0
// What a plan finds out of a program's file, and what is wrong with it, before any agent is asked.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DEFAULT_POLICY } from '@inkev/bpf/catalogue/policy'
import { compileProgram, TEMPLATE, uploadOf } from '@inkev/bpf/testing/program'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { Agent } from '../agent'
import { Refusal } from '../diagnostics'
import { plan } from '../lifecycle'
import { type Members, UNKNOWN } from '../value'
import { World } from '../world'
import { program } from './program'

const elf = compileProgram(TEMPLATE)
let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'inkev-provider-'))
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

function file(name: string, contents: Buffer | string): string {
  writeFileSync(join(folder, name), contents)
  return join(folder, name)
}

/** The one diagnostic of a refusal. */
function refused(work: () => unknown): unknown {
  try {
    work()
  } catch (error) {
    if (error instanceof Refusal) return error.diagnostics[0]
    throw error
  }
  return undefined
}

describe('the file of a program', () => {
  test('has its sum in the plan, and is sent with it', () => {
    const path = file('own.bpf.o', elf)
    const upload = uploadOf(elf)
    expect(program.compute!({ path })).toEqual({ sha256: upload.sha256 })
    expect(program.content!({ path, sha256: upload.sha256 })).toEqual(upload)
  })

  test('that is not known yet is no fault', () => {
    expect(program.compute!({ path: UNKNOWN })).toEqual({})
    expect(program.content!({ path: UNKNOWN, sha256: UNKNOWN })).toEqual({ sha256: UNKNOWN })
  })

  test.each([
    ['is missing', () => join(folder, 'missing.o'), /missing\.o cannot be read \(ENOENT\)\. Compile it first/],
    ['is no ELF', () => file('text.o', 'hello'), /text\.o: not a 64-bit little-endian ELF object\. Compile it with clang/]
  ])('that %s is refused at its attribute', (_, path, detail) => {
    expect(refused(() => program.compute!({ path: path() }))).toEqual({
      severity: 'error',
      summary: 'Invalid path',
      detail: expect.stringMatching(detail),
      path: [{ attribute: 'path' }]
    })
  })

  test('that has changed since the plan is not sent', () => {
    const path = file('changed.bpf.o', elf)
    expect(refused(() => program.content!({ path, sha256: '0'.repeat(64) }))).toMatchObject({
      detail: expect.stringContaining('has changed since this plan was made')
    })
  })

  test('is judged by the policy of each host where it is new there, and stays where it is', async () => {
    const { sha256 } = uploadOf(elf)
    const host = async () => ({ name: 'edge-1', programs: { ...DEFAULT_POLICY, uploads: false } })
    const agents = new Map([['edge-1', { within: () => ({ host }) } as unknown as Agent]])
    const config = { name: 'own', path: file('kept.bpf.o', elf), hosts: ['edge-1'], sha256: null, signature: null, timeouts: null }
    const told = async (prior: Members | null) => {
      const request = { config, prior, proposed: { ...config, sha256: prior ? sha256 : null }, identity: null, private: { etags: {} } }
      return (await plan(program, request, new World(agents), AbortSignal.timeout(10_000))).diagnostics
    }
    expect(await told(null)).toEqual([
      expect.objectContaining({ path: [{ attribute: 'path' }], detail: expect.stringContaining('takes no programs') })
    ])
    expect(await told({ ...config, sha256 })).toEqual([])
    expect(await told({ ...config, sha256: '0'.repeat(64) })).toHaveLength(1)
  })

  test('is nothing that a state holds', () => {
    expect(Object.keys(program.attributes)).toEqual(['name', 'path', 'hosts', 'sha256', 'signature', 'timeouts'])
  })
})
