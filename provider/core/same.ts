// SPDX-License-Identifier: Apache-2.0
// When two texts mean the same: `300s` and `5m`, `FD00::0:1` and `fd00::1`. What means the same is no drift.

import { normalise } from '@inkev/bpf/catalogue/addresses'
import { annotations, bitsPerSecond, type Meaning, nanoseconds, parsePortRange, protocolNumber } from '@inkev/bpf/catalogue/fields'
import { type Attribute, scalarOf } from './schema'
import { isEqual, isMembers, type Value } from './value'

/** Whether two values of an attribute mean the same. Nested objects are equal only to the letter: their attributes are compared one by one. */
export function isSame({ attributes, shape, source }: Pick<Attribute, 'attributes' | 'shape' | 'source'>, a: Value, b: Value): boolean {
  if (isEqual(a, b)) return true
  if (shape !== 'scalar' && isNothing(a) && isNothing(b)) return true
  if (attributes) return false
  const meaning = annotations(scalarOf({ shape, source }))?.meaning as Meaning | undefined
  const comparable = (value: Value) => (shape === 'set' ? inOrder(canonical(value, meaning)) : canonical(value, meaning))
  return isEqual(comparable(a), comparable(b))
}

function isNothing(value: Value): boolean {
  if (Array.isArray(value)) return value.length === 0
  return value === null || (isMembers(value) && Object.keys(value).length === 0)
}

function inOrder(value: Value): Value {
  return Array.isArray(value) ? value.toSorted() : value
}

function canonical(value: Value, meaning?: Meaning): Value {
  if (Array.isArray(value)) return value.map(element => canonical(element, meaning))
  const read = meaning && READERS[meaning]
  if (typeof value !== 'string' || !read) return value
  try {
    return String(read(value))
  } catch {
    return value
  }
}

/** Texts with the same reading mean the same. */
const READERS: { [M in Meaning]?: (text: string) => unknown } = {
  ipv4: normalise,
  ipv6: normalise,
  ip: normalise,
  cidr: normalise,
  interface_address: normalise,
  mac: normalise,
  duration: nanoseconds,
  rate: bitsPerSecond,
  protocol: protocolNumber,
  port_range: parsePortRange
}
