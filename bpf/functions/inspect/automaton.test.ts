// SPDX-License-Identifier: Apache-2.0
// Generated words: the automaton and the sieve find what a plain search finds.

import { describe, expect, test } from '@jest/globals'
import { Random, SEED } from '../../testing/random'
import { type Automaton, buildAutomaton, lowerCase, stateCount, type Word } from './automaton'

const random = new Random()
/** Few letters: words overlap, contain and repeat each other. */
const bytes = (length: number, letters = 'aabBA') => Buffer.from(Array.from({ length }, () => random.pick([...letters])).join(''))
const words = (count: number, letters?: string): Word[] =>
  Array.from({ length: count }, (_, n) => ({ bytes: bytes(1 + random.below(7), letters), number: 1 + n }))

/** `number@end` of every word in the text, as the automaton tells them. */
function search({ next, match, chained }: Automaton, text: Uint8Array): string[] {
  const found: string[] = []
  let state = 0
  for (const [position, byte] of text.entries()) {
    state = next[256 * state + byte]!
    for (let number = match[state]; number !== undefined; number = chained.get(number)) found.push(`${number}@${position + 1}`)
  }
  return found.sort()
}

/** The same by trying every word at every place. */
function searchPlainly(all: Word[], text: Uint8Array, fold: boolean): string[] {
  const read = Buffer.from(fold ? text.map(lowerCase) : text)
  const ends = (word: Word) =>
    Array.from({ length: text.length }, (_, begin) => begin)
      .filter(begin => read.subarray(begin, begin + word.bytes.length).equals(word.bytes))
      .map(begin => `${word.number}@${begin + word.bytes.length}`)
  return all.flatMap(ends).sort()
}

test.each([
  ['', false],
  [', in any case where it is told so', true]
])(`an automaton finds every word in every place%s (SEED=${SEED})`, (_, fold) => {
  for (let round = 0; round < 200; round++) {
    const all = words(random.below(12), fold ? 'aab' : undefined)
    const automaton = buildAutomaton(all, fold)
    const text = bytes(random.below(60))
    expect([all, text.toString(), search(automaton, text)]).toEqual([all, text.toString(), searchPlainly(all, text, fold)])
    expect(automaton.match.length).toBe(Math.max(1, stateCount(all)))
  }
})

describe('the states of an automaton', () => {
  test('are as many as the beginnings that words have', () => {
    const of = (...texts: string[]) => stateCount(texts.map((text, n) => ({ bytes: Buffer.from(text), number: n })))
    expect([of(), of('a'), of('abc'), of('abc', 'abc'), of('abc', 'abd'), of('b', 'ab', 'a')]).toEqual([0, 2, 4, 4, 5, 4])
  })

  test('behind one byte come first, so that a search knows that it may begin anew', () => {
    for (let round = 0; round < 50; round++) {
      const all = words(1 + random.below(12))
      const { next, firstBytes } = buildAutomaton(all, false)
      const behindOne = new Set(all.map(word => next[word.bytes[0]!]!))
      expect([...behindOne].sort((a, b) => a - b)).toEqual(Array.from({ length: firstBytes }, (_, n) => 1 + n))
    }
  })
})
