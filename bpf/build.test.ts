// SPDX-License-Identifier: Apache-2.0
// The build of the catalogue, in a copy with kinds of its own: a new kind needs no more than its folder.

import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { readObject } from './catalogue/btf'

let copy: string

beforeEach(() => {
  copy = mkdtempSync(join(tmpdir(), 'inkev-build-'))
  symlinkSync(join(__dirname, '../node_modules'), join(copy, 'node_modules'))
  for (const part of ['build.mjs', 'catalogue', 'core'])
    cpSync(join(__dirname, part), join(copy, 'bpf', part), { recursive: true, filter: path => !path.endsWith('.bpf.c') })
  addKind('meter', 'METER_OVER')
})

afterEach(() => rmSync(copy, { recursive: true, force: true }))

/** A kind that drops packets longer than its configuration says. */
function addKind(kind: string, reason: string): void {
  const folder = join(copy, 'bpf/functions', kind)
  mkdirSync(folder, { recursive: true })
  writeFileSync(
    join(folder, `${kind}.ts`),
    `import { defineFunction } from '../../catalogue/define'
     import { u32 } from '../../catalogue/fields'
     export const ${kind} = defineFunction('${kind}', {
       doc: 'Drops long packets.',
       ports: ['inside', 'outside'],
       config: { longest: u32({ doc: 'Bytes.', default: 1500 }) },
       counters: { over: 'Packets that were too long.' }
     })`
  )
  writeFileSync(
    join(folder, `${kind}.bpf.c`),
    `#include "${kind}.gen.h"
     #include "graph.h"
     INKEV_FUNCTION(${kind}, skb)
     {
       const struct ${kind}_config *config = lookup_config();
       if (!config || skb->len > config->longest)
         return drop(skb, ${reason});
       return forward(skb, arrived_at(skb) == INSIDE ? OUTSIDE : INSIDE);
     }
     char LICENSE[] SEC("license") = "Dual BSD/GPL";`
  )
}

function build(...args: string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(copy, 'bpf/build.mjs'), ...args], { encoding: 'utf8' })
  return { status, output: stdout + stderr }
}

const object = (kind: string) => join(copy, `bpf/build/${kind}.bpf.o`)

test('a kind is found by its folder, and what is built has its program, configuration and counters', () => {
  expect(build()).toMatchObject({ status: 0 })
  expect(readFileSync(join(copy, 'bpf/functions/index.gen.ts'), 'utf8')).toContain("import { meter } from './meter/meter'")
  const { maps, programs } = readObject(readFileSync(object('meter')))
  expect(programs.get('meter')).toEqual({ name: 'meter', section: 'tc' })
  expect(maps.get('config')!.value!.decode(Buffer.from([0xdc, 5, 0, 0]))).toEqual({ longest: 1500 })
  expect(maps.get('counters')!.maxEntries).toBeGreaterThan(1)
})

test('what has not changed is neither generated nor compiled again', () => {
  build()
  expect(build()).toEqual({ status: 0, output: '' })
  writeFileSync(join(copy, 'bpf/core/types.h'), `${readFileSync(join(copy, 'bpf/core/types.h'), 'utf8')}\n`)
  expect(build().output).toMatch(/^compiled functions\/meter\/meter\.bpf\.c \(\d+ ms\)\n$/)
})

test('one kind that does not compile is told, and does not keep the others from being built', () => {
  addKind('broken', 'BROKEN_UNDECLARED')
  const { status, output } = build()
  expect(status).toBe(1)
  expect(output).toContain("use of undeclared identifier 'BROKEN_UNDECLARED'")
  expect(output).toContain('bpf: compiling: 1 failed')
  expect([existsSync(object('meter')), existsSync(object('broken'))]).toEqual([true, false])
})

test('one kind whose declaration cannot be read does not keep the others from being generated', () => {
  addKind('broken', 'BROKEN_OVER')
  writeFileSync(join(copy, 'bpf/functions/broken/broken.ts'), "import { gone } from './gone'")
  const { status, output } = build('generate')
  expect(status).toBe(1)
  expect(output).toContain('bpf: reading the kinds: 1 failed')
  expect(existsSync(join(copy, 'bpf/functions/meter/meter.gen.h'))).toBe(true)
})

test('a generated file that was edited is found', () => {
  build('generate')
  expect(build('check').status).toBe(0)
  writeFileSync(join(copy, 'bpf/functions/meter/meter.gen.h'), '')
  expect(build('check')).toMatchObject({ status: 1, output: expect.stringContaining('functions/meter/meter.gen.h is not as generated') })
})

test('a compiler that is missing is named, with what to do', () => {
  build('generate')
  const { status, stderr } = spawnSync(process.execPath, [join(copy, 'bpf/build.mjs'), 'compile'], {
    encoding: 'utf8',
    env: { ...process.env, CLANG: '/nonexistent/clang' }
  })
  expect([status, stderr]).toEqual([1, expect.stringContaining('/nonexistent/clang cannot be run: install it')])
})
