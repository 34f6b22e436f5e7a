// SPDX-License-Identifier: Apache-2.0
// What the layout of a map is: maps of one layout can be taken over by another version of the program.

import type { MapSpec } from './btf'
import type { Value } from './define'

/** Type, sizes, and where each field of the records lies. Throws MismatchError where a record holds what has no value, such as a pointer. */
export function layoutText(map: MapSpec, maxEntries = map.maxEntries): string {
  return [map.type, map.keySize, map.valueSize, maxEntries, map.flags, fieldsOf(map)].join(' ')
}

const fields = new WeakMap<MapSpec, string>()

/** Found out once for each map, as every instance of a function asks for it. */
function fieldsOf(map: MapSpec): string {
  const known = fields.get(map) ?? [map.key, map.value].map(codec => (codec ? describe(codec.decode(ramp(codec.size))) : '')).join(' ')
  fields.set(map, known)
  return known
}

/** Bytes that tell their own place, so that the decoded record shows where each field was read. */
function ramp(size: number): Buffer {
  return Buffer.from(Array.from({ length: size }, (_, n) => (n * 7 + 1) & 0x7f))
}

function describe(value: Value): string {
  return JSON.stringify(value, (_, field) => (typeof field === 'bigint' ? field.toString() : field))
}
