// SPDX-License-Identifier: Apache-2.0
// Programs as the agent and the provider read them, before any kernel does.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { compileProgram, TEMPLATE } from '../testing/program'
import { Random, SEED } from '../testing/random'
import { readObject } from './btf'
import { isChainable } from './define'
import { readElf } from './elf'
import { RESERVED_MAPS, ROAD_MAPS } from './policy'
import { readProgram } from './program'

const template = compileProgram(TEMPLATE)
const quotaSource = readFileSync(join(__dirname, '../../examples/terraform/own-function/quota.bpf.c'), 'utf8')
const quota = compileProgram(quotaSource)

/** The operation of a load of 64 bits, and its source register where a loader has put the descriptor of a map. */
const [LOAD, MAP_DESCRIPTOR] = [0x18, 1 << 4]

describe('a program', () => {
  test('is a kind of function that can stand in a chain', () => {
    const { kind } = readProgram('template', template)
    expect(kind).toMatchObject({ kind: 'program', object: { name: 'template', main: 'limiter' } })
    expect(isChainable(kind)).toBe(true)
  })

  test('makes the entries of its maps from texts, by the types of its C', () => {
    const { kind } = readProgram('quota', quota)
    const given = { config: { enforce: 'false' }, tables: { quotas: { rows: { '10.0.0.12': '5', 'fd00::12': '18446744073709551615' } } } }
    expect(kind.check!(given)).toEqual([])
    expect(kind.image!(given, {} as never).maps).toEqual({
      config: [{ key: 0, value: { enforce: false } }],
      quotas: [
        { key: '10.0.0.12', value: 5n },
        { key: 'fd00::12', value: 18446744073709551615n }
      ]
    })
  })

  test('names the row that is not of its types', () => {
    const { kind } = readProgram('quota', quota)
    expect(kind.check!({ tables: { quotas: { rows: { '10.0.0': '5' } } } })).toEqual([
      expect.objectContaining({ path: 'tables.quotas.rows.10.0.0', message: expect.stringContaining('10.0.0') })
    ])
    expect(kind.check!({ tables: { quotas: { rows: { '10.0.0.1': '-5' } } } })).toEqual([
      { path: 'tables.quotas.rows.10.0.0.1', message: '"-5" is not an integer (__u64)' }
    ])
  })

  test('is told which of its maps holds what cannot be shown', () => {
    const pointing = TEMPLATE.replace('__u32 longest', 'struct sk_buff *packet;\n\t__u32 longest')
    expect(() => readProgram('pointing', compileProgram(pointing))).toThrow('map config: a pointer has no value outside the kernel')
  })

  test('is refused when it uses functions, variables or settings of the kernel', () => {
    const externs =
      'extern void ask(void *packet) SEC(".ksyms");\nextern const void runqueues SEC(".ksyms");\nextern int CONFIG_HZ SEC(".kconfig");'
    const source = TEMPLATE.replace('INKEV_FUNCTION(', `${externs}\n\nINKEV_FUNCTION(`)
    const using = source.replace('count(COUNTER(passed));', 'ask(skb);\n\tif (CONFIG_HZ == (long)&runqueues)\n\t\treturn 0;')
    expect(() => readProgram('foreign', compileProgram(using))).toThrow(
      /^it uses (?=.*ask)(?=.*runqueues)(?=.*CONFIG_HZ).* of the kernel's own/
    )
  })

  test('is refused when it holds the descriptor of another’s map, or has the loader look for one by its name', () => {
    const forged = Buffer.from(template)
    const code = readElf(forged).code.find(section => section.includes(LOAD))!
    code[code.findIndex((byte, at) => at % 8 === 0 && byte === LOAD) + 1]! |= MAP_DESCRIPTOR
    expect(() => readProgram('forged', forged)).toThrow('it holds numbers that only its loader may put there')
    const pinned = quotaSource.replace('__uint(type,', '__uint(pinning, 1);\n\t__uint(type,')
    expect(() => readProgram('pinned', compileProgram(pinned))).toThrow(/map \w+ is pinned by its name/)
  })

  test('shown to the reader in any damaged form is read or refused, and breaks nothing', () => {
    const random = new Random()
    for (let n = 0; n < 500; n++) {
      const damaged = Buffer.from(template)
      for (let byte = 0; byte < 1 + random.below(8); byte++) damaged[random.below(damaged.length)] = random.below(256)
      try {
        readProgram('damaged', damaged)
      } catch (error) {
        expect([SEED, n, (error as Error).name]).toEqual([SEED, n, expect.stringMatching(/^(RangeError|MismatchError)$/)])
      }
    }
  })
})

test("names that the policy keeps from programs are those of the road's maps", () => {
  const objects = ['port', 'uplink', 'overlay', 'replica', 'vlan'].map(name =>
    readObject(readFileSync(join(__dirname, `../build/${name}.bpf.o`)))
  )
  const names = new Set(objects.flatMap(({ maps }) => [...maps.keys()]).filter(name => name !== 'counters'))
  expect([...RESERVED_MAPS, ...ROAD_MAPS].toSorted()).toEqual([...names].toSorted())
})
