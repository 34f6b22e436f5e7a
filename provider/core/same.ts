// SPDX-License-Identifier: Apache-2.0
// When two texts mean the same: `300s` and `5m`, `FD00::0:1` and `fd00::1`. What means the same is no drift.

import { normalise } from '@inkev/bpf/catalogue/addresses'
import { nanoseconds, protocolNumber } from '@inkev/bpf/catalogue/fields'
import type { Attribute, Rule } from './schema'
import { isEqual, isMembers, type Value } from './value'

const BITS_PER_SECOND: Record<string, number> = { bit: 1, kbit: 1e3, mbit: 1e6, gbit: 1e9 }
const PACKETS_PER_SECOND: Record<string, number> = { pps: 1, kpps: 1e3, mpps: 1e6 }

/** Whether two values of an attribute mean the same. Nested objects are equal only to the letter: their attributes are compared one by one. */
export function isSame({ shape, rule }: Pick<Attribute, 'shape' | 'rule'>, a: Value, b: Value): boolean {
  if (isEqual(a, b)) return true
  if (shape !== 'scalar' && isNothing(a) && isNothing(b)) return true
  const comparable = shape === 'set' ? sorted : canonical
  return isEqual(comparable(a, rule), comparable(b, rule))
}

function isNothing(value: Value): boolean {
  if (Array.isArray(value)) return value.length === 0
  return value === null || (isMembers(value) && Object.keys(value).length === 0)
}

function sorted(value: Value, rule?: Rule): Value {
  const comparable = canonical(value, rule)
  return Array.isArray(comparable) ? comparable.toSorted() : comparable
}

function canonical(value: Value, rule?: Rule): Value {
  if (Array.isArray(value)) return value.map(element => canonical(element, rule))
  if (typeof value !== 'string') return value
  try {
    return canonicalText(value, rule)
  } catch {
    return value
  }
}

function canonicalText(text: string, rule?: Rule): string {
  switch (rule?.meaning) {
    case 'ipv4':
    case 'ipv6':
    case 'ip':
    case 'cidr':
    case 'interface_address':
    case 'mac':
      return normalise(text)
    case 'duration':
      return String(nanoseconds(text))
    case 'protocol':
      return String(protocolNumber(text))
    case 'port_range': {
      const [first, last = first] = text.split('-').map(Number)
      return `${first}-${last}`
    }
    case 'rate': {
      const [, amount, unit] = /^([0-9]+)([a-z]+)$/.exec(text)!
      return unit! in BITS_PER_SECOND
        ? `${Number(amount) * BITS_PER_SECOND[unit!]!} bit/s`
        : `${Number(amount) * PACKETS_PER_SECOND[unit!]!}/s`
    }
    default:
      return text
  }
}
