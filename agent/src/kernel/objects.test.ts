// SPDX-License-Identifier: Apache-2.0
// What the agent keeps of programs that users upload, and for how long.

import { setTimeout } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { CodeObject } from '@inkev/bpf/catalogue/define'
import { expect, test } from '@jest/globals'
import { Objects } from './objects'

setFlagsFromString('--expose-gc')
const collect: () => void = runInNewContext('gc')

/** A program as readProgram() answers it. */
function upload(version: number): CodeObject {
  return { name: `programs/${version}`, main: 'own', elf: Buffer.from(`version ${version}`), spec: {} } as never
}

test('a version of a program is known by its name while somebody holds it, and let go with it', async () => {
  const objects = new Objects('/nowhere')
  const held = upload(1)
  const first = objects.of({ kind: 'program', object: held })
  const lost = [2, 3].map(version => new WeakRef(objects.of({ kind: 'program', object: upload(version) })))
  await setTimeout(0)
  collect()
  expect(lost.map(compiled => compiled.deref())).toEqual([undefined, undefined])
  expect(objects.get('programs/1')).toBe(first)
  expect(objects.of({ kind: 'program', object: held })).toBe(first)
  expect(() => objects.get('programs/2')).toThrow('/nowhere/programs/2.bpf.o cannot be used')
})
