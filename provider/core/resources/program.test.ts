// SPDX-License-Identifier: Apache-2.0
// What a plan finds out of a program's file, and what is wrong with it, before any agent is asked.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { compileProgram, TEMPLATE, uploadOf } from '@inkev/bpf/testing/program'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { Refusal } from '../diagnostics'
import { UNKNOWN } from '../value'
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

  test('is nothing that a state holds', () => {
    expect(Object.keys(program.attributes)).toEqual(['name', 'path', 'hosts', 'sha256', 'signature', 'timeouts'])
  })
})
