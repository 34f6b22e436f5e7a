// SPDX-License-Identifier: Apache-2.0
// Which maps another version of a program takes over, and what is said of the others.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { readObject } from './btf'
import { type MapShape, shapeOf, sharedBytes } from './layout'

const FIRST = '__u64 packets; __u8 state; enum mode { IDLE, BUSY } mode; struct inner { __u32 x; } last;'

/** A map whose values have these fields, as clang lays them out. */
function mapOf(fields: string, { key = '__u32', type = 'HASH' } = {}): MapShape {
  const folder = mkdtempSync(join(tmpdir(), 'inkev-layout-'))
  const [source, built] = [join(folder, 'map.bpf.c'), join(folder, 'map.bpf.o')]
  const map = `__uint(type, BPF_MAP_TYPE_${type}); __uint(max_entries, 8); __type(key, ${key}); __type(value, struct value);`
  try {
    writeFileSync(
      source,
      `#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\nstruct value { ${fields} };\nstruct { ${map} } map SEC(".maps");\n`
    )
    execFileSync(process.execPath, [join(__dirname, '../build.mjs'), 'object', source, built], { stdio: 'pipe' })
    const object = readObject(readFileSync(built))
    return shapeOf(object, object.maps.get('map')!)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const first = mapOf(FIRST)

test.each([
  ['a field more', `${FIRST} __u64 bytes;`, 20],
  ['a field more in its last structure', FIRST.replace('x;', 'x; __u32 y;'), 20],
  ['a new word', FIRST.replace('BUSY', 'BUSY, GONE'), 20]
])('a value with %s shares what it had, both ways', (_, fields, bytes) => {
  const grown = mapOf(fields)
  expect([sharedBytes(first, grown), sharedBytes(grown, first)]).toEqual([bytes, bytes])
})

test.each([
  ['another type', FIRST.replace('__u64', '__s64'), 'field packets is of type __s64 now, and was of __u64'],
  ['a field before others', `__u64 bytes; ${FIRST}`, 'its value has the field bytes where packets was'],
  ['a field elsewhere', FIRST.replace('state;', 'state __attribute__((aligned(16)));'), 'field state is at byte 16 now, and was at byte 8'],
  ['a word of another number', FIRST.replace('IDLE, BUSY', 'BUSY, IDLE'), 'field mode means BUSY by 0 now, and by 1 before'],
  ['a timer', FIRST.replace('__u64 packets', 'struct bpf_timer packets'), 'field packets is of type bpf_timer now, and was of __u64']
])('a value with %s is named', (_, fields, message) => {
  expect(() => sharedBytes(first, mapOf(fields))).toThrow(message)
})

test('a map of another key or type is named', () => {
  expect(() => sharedBytes(first, mapOf(FIRST, { key: '__u64' }))).toThrow('its key is of type __u64 now, and was of __u32')
  expect(() => sharedBytes(first, mapOf(FIRST, { type: 'LRU_HASH' }))).toThrow('it is of type lru_hash now, and was of hash')
})

test('a timer stays with its map', () => {
  const timed = 'struct bpf_timer timer; __u32 x;'
  expect(() => sharedBytes(mapOf(timed), mapOf(`${timed} __u64 y;`))).toThrow('field timer (bpf_timer) is bound to the map that holds it')
})
