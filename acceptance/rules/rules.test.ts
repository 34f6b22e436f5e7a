// SPDX-License-Identifier: Apache-2.0
// The rules of this repository, held by reading its files.

import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { PROJECT } from '../lab/project'

const SOURCE = /\.(ts|mjs|cjs|go|c|cc|h|hh)$/
const TEST = /\.test\.ts$|_test\.go$/
const GENERATED = /\.gen\./
/** The kernel half may go into other people's GPL programs; the rest is Apache's. */
const LICENCES = { kernel: 'GPL-2.0-only OR BSD-2-Clause', rest: 'Apache-2.0' }

const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { cwd: PROJECT, encoding: 'utf8' })
  .split('\n')
  .filter(file => file && existsSync(join(PROJECT, file)) && file !== 'acceptance/rules/rules.test.ts')
const textOf = (file: string) => readFileSync(join(PROJECT, file), 'utf8')
/** The kinds that an operator can name; one that is `internal` is a part of something else. */
const kinds = files
  .flatMap(file => /^bpf\/functions\/([^/]+)\/\1\.ts$/.exec(file)?.[1] ?? [])
  .filter(kind => !textOf(`bpf/functions/${kind}/${kind}.ts`).includes('internal: true'))
const sources = files.filter(file => SOURCE.test(file))

describe('every source file', () => {
  test('begins with its licence', () => {
    const wrong = sources.filter(file => {
      const licence = /^bpf\/.*\.(c|h)$|\.bpf\.c$/.test(file) ? LICENCES.kernel : LICENCES.rest
      return !textOf(file).split('\n')[0]!.includes(`SPDX-License-Identifier: ${licence}`)
    })
    expect(wrong).toEqual([])
  })

  test('says next in a sentence what it is for', () => {
    const wrong = sources.filter(file => !/^[^\n]*\n(\/\/ \S|\/\* \S| \* \S|\/\*\n \* \S)/.test(textOf(file)))
    expect(wrong).toEqual([])
  })

  test('asks nobody to keep two places alike', () => {
    const asks = /\b(in sync with|must be in sync|keep (these|this|it|them)? ?synchroni[sz]ed|should also be updated)\b/i
    expect(sources.filter(file => asks.test(textOf(file)))).toEqual([])
  })

  test('names no folder of the machine it was written on', () => {
    const path = /(^|[^\w.-])\/(work|farm|home)\//m
    expect(files.filter(file => /\.(ts|mjs|cjs|go|c|cc|h|hh|md|json|tf|sum|mod)$/.test(file) && path.test(textOf(file)))).toEqual([])
  })
})

test('a packet is dropped in one place only, which counts it', () => {
  const drops = sources.filter(file => file.startsWith('bpf/') && !TEST.test(file) && /\b(TC_ACT_SHOT|XDP_DROP)\b/.test(codeOf(file)))
  expect(drops).toEqual(['bpf/core/graph.h'])
})

test.each(kinds)('the kind %s is named nowhere outside its folder, save where all kinds are listed or shown', kind => {
  const name = new RegExp(`['"\`/]${kind}['"\`/]|\\b${kind}_[a-z]|\\b${kind.toUpperCase()}_[A-Z]`)
  /** Another kind may have an option of the same name. */
  const shown = (file: string) =>
    TEST.test(file) ||
    GENERATED.test(file) ||
    /^(acceptance|examples|docs|bpf\/testing|bpf\/functions|bpf\/catalogue\/fixtures)\//.test(file)
  const outside = sources.filter(file => !shown(file))
  expect(outside.filter(file => name.test(codeOf(file)))).toEqual([])
})

test('every example opens with a drawing', () => {
  const mains = files.filter(file => /^examples\/terraform\/[^/]+\/main\.tf$/.test(file))
  expect(mains.length).toBeGreaterThan(0)
  expect(mains.filter(file => !/^(#.+\n)+#\n(#.*\n)*#.*\+-{3,}/.test(textOf(file)))).toEqual([])
})

test('every top folder has a README that names all its files', () => {
  const tops = ['bpf', 'native', 'agent', 'provider', 'examples', 'acceptance']
  const complaints = tops.flatMap(top => {
    const readme = `${top}/README.md`
    if (!files.includes(readme)) return [`${readme} is missing`]
    const text = textOf(readme)
    const entries = new Set(files.filter(file => file.startsWith(`${top}/`)).map(file => file.split('/')[1]!))
    const untold = [...entries].filter(
      entry => !TEST.test(entry) && !/^(README\.md|LICENSE.*|package\.json|\..*|go\.sum)$/.test(entry) && !text.includes(entry)
    )
    return untold.map(entry => `${readme} does not tell of ${entry}`)
  })
  expect(complaints).toEqual([])
})

/** The text of a source file without its comments. */
function codeOf(file: string): string {
  return textOf(file)
    .replaceAll(/\/\*[\s\S]*?\*\//g, '')
    .replaceAll(/(^|\s)\/\/.*$/gm, '$1')
}
