// SPDX-License-Identifier: Apache-2.0
// Values on the wire.

import { expect, test } from '@jest/globals'
import { fromWire, isEqual, isWhollyKnown, type Members, toWire, UNKNOWN, withoutUnknown } from './value'

const value: Members = { a: 1, b: [UNKNOWN, 'x'], c: { d: UNKNOWN, e: null }, f: UNKNOWN }

test('a value comes back from the wire as it went, unknown parts included', () => {
  expect(fromWire(JSON.parse(JSON.stringify(toWire(value))))).toEqual(value)
})

test('a value is wholly known when no part of it is unknown', () => {
  expect(isWhollyKnown(value)).toBe(false)
  expect(isWhollyKnown(withoutUnknown(value))).toBe(true)
})

test('two objects are equal when all members are, in whatever order', () => {
  expect(isEqual({ a: 1, b: [2] }, { b: [2], a: 1 })).toBe(true)
  expect(isEqual({ a: 1 }, { a: 1, b: null })).toBe(false)
  expect(isEqual({ a: UNKNOWN }, { a: UNKNOWN })).toBe(true)
})
