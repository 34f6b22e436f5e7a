// SPDX-License-Identifier: Apache-2.0
// Terraform values in TypeScript: plain JSON, with one symbol for what is not known yet; and their form on the wire, JSON beside a mask.

/** Stands for a value that Terraform will only know during apply. */
export const UNKNOWN: unique symbol = Symbol('unknown')

export type Value = null | boolean | number | string | typeof UNKNOWN | Value[] | Members
export interface Members {
  [name: string]: Value
}

/** The mask has the shape of the value and is true where that is unknown. */
export interface WireValue {
  value: unknown
  unknown?: unknown
}

export function fromWire({ value, unknown }: WireValue): Value {
  if (unknown === true) return UNKNOWN
  if (Array.isArray(value)) return value.map((element, index) => fromWire({ value: element, unknown: (unknown as unknown[])?.[index] }))
  if (value === null || typeof value !== 'object') return value as Value
  const masks = (unknown ?? {}) as Record<string, unknown>
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, fromWire({ value: member, unknown: masks[name] })]))
}

export function toWire(value: Value): WireValue {
  return { value: withoutUnknown(value), unknown: maskOf(value) }
}

/** The value with null in the place of all that is unknown. */
export function withoutUnknown(value: Value): Value {
  if (value === UNKNOWN) return null
  if (Array.isArray(value)) return value.map(withoutUnknown)
  if (isMembers(value)) return mapMembers(value, withoutUnknown)
  return value
}

function maskOf(value: Value): unknown {
  if (value === UNKNOWN) return true
  if (Array.isArray(value)) return value.map(maskOf)
  if (isMembers(value)) return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, maskOf(member)]))
  return false
}

export function isMembers(value: Value | undefined): value is Members {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}

export function mapMembers(members: Members, change: (member: Value, name: string) => Value): Members {
  return Object.fromEntries(Object.entries(members).map(([name, member]) => [name, change(member, name)]))
}

/** Whether no part of it is unknown. */
export function isWhollyKnown(value: Value): boolean {
  if (value === UNKNOWN) return false
  if (Array.isArray(value)) return value.every(isWhollyKnown)
  return !isMembers(value) || Object.values(value).every(isWhollyKnown)
}

/** Whether two values are the same to the letter; the order of lists counts. */
export function isEqual(a: Value, b: Value): boolean {
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((element, index) => isEqual(element, b[index]!))
  if (!isMembers(a) || !isMembers(b)) return a === b
  const names = Object.keys(a)
  return names.length === Object.keys(b).length && names.every(name => name in b && isEqual(a[name]!, b[name]!))
}
