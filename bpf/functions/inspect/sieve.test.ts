// SPDX-License-Identifier: Apache-2.0
// Generated patterns: a sieve lets through every place where one begins, and few others.

import { describe, expect, test } from '@jest/globals'
import { Random, SEED } from '../../testing/random'
import { makeSieve, type Sieve } from './sieve'

const random = new Random()
const bytes = (length: number) => Buffer.from(Array.from({ length }, () => random.below(256)))
const letters = (length: number) => Buffer.from(Array.from({ length }, () => random.pick([...'abz{@AZ'])).join(''))

/** As sieve.h asks it of the four bytes from a place on. */
function passes({ bits, mask, shift }: Sieve, place: Uint8Array): boolean {
  const next = Buffer.concat([place, Buffer.alloc(4)]).readUInt32LE()
  const bit = Math.imul(next & mask, 0x9e3779b1) >>> shift
  return ((bits[bit >>> 5]! >>> (bit & 31)) & 1) === 1
}

const inAnyCase = (pattern: Buffer) =>
  Buffer.from(
    Array.from(pattern.toString('latin1'), letter => random.pick([letter.toLowerCase(), letter.toUpperCase()])).join(''),
    'latin1'
  )

describe(`a sieve (SEED=${SEED})`, () => {
  test.each([1, 2, 3, 4, 8])('of patterns of %i bytes and more lets through every one of them, whatever follows', shortest => {
    for (let round = 0; round < 10; round++) {
      const patterns = Array.from({ length: 1 + random.below(300) }, () => bytes(shortest + random.below(10)))
      const sieve = makeSieve(patterns, false)
      const stopped = patterns.filter(pattern => !passes(sieve, Buffer.concat([pattern, bytes(4)])))
      expect(stopped).toEqual([])
      expect(patterns.filter(pattern => !passes(sieve, pattern))).toEqual([])
    }
  })

  test.each([1, 2, 3, 4, 8])('that folds case does so in any case, of patterns of %i bytes and more', shortest => {
    for (let round = 0; round < 10; round++) {
      const patterns = Array.from({ length: 1 + random.below(100) }, () =>
        Buffer.from(
          letters(shortest + random.below(6))
            .toString()
            .toLowerCase()
        )
      )
      const sieve = makeSieve(patterns, true)
      const stopped = patterns.filter(pattern => !passes(sieve, Buffer.concat([inAnyCase(pattern), letters(4)])))
      expect(stopped).toEqual([])
    }
  })

  test.each([3, 100, 300])('of %i patterns lets through one of fifty other places, or fewer', count => {
    const sieve = makeSieve(
      Array.from({ length: count }, () => bytes(4)),
      false
    )
    const places = Array.from({ length: 5_000 }, () => bytes(4))
    expect(places.filter(place => passes(sieve, place)).length).toBeLessThan(5_000 / 50)
  })

  test('of nothing lets nothing through', () => {
    const sieve = makeSieve([], false)
    expect(Array.from({ length: 1000 }, () => bytes(4)).filter(place => passes(sieve, place))).toEqual([])
  })
})
