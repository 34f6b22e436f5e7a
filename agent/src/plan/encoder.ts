// SPDX-License-Identifier: Apache-2.0
// Map entries in bytes. Most entries of a pass are those of the pass before, in the same order: they are encoded once.

import { encodeEntries, type MapSpec } from '@inkev/bpf/catalogue/btf'
import type { Entry } from '@inkev/bpf/catalogue/define'
import type { Entries } from './state'

interface Encoded {
  entry: Entry
  key: string
  value: string
}

/** So many entries may have gone from one place of a map; what follows more of them is encoded again. */
const GONE_MAX = 16

export class Encoder {
  /** What each user of a map last encoded. */
  private readonly last = new Map<string, { spec: MapSpec; entries: Encoded[] }>()

  /** `user` tells maps of one name apart. Throws MismatchError where an entry is not of the map's types. */
  encode(user: string, specs: ReadonlyMap<string, MapSpec>, map: string, entries: Entry[]): Entries {
    const spec = specs.get(map)
    if (!spec) throw new RangeError(`the object has no map ${map}`)
    const name = `${user} ${map}`
    const before = this.last.get(name)
    const encoded = encodeAll(spec, entries, before?.spec === spec ? before.entries : [])
    this.last.set(name, { spec, entries: encoded })
    const bytes: Entries = new Map()
    for (const { key, value } of encoded) bytes.set(key, value)
    return bytes
  }

  forget(user: string): void {
    for (const name of this.last.keys()) if (name.startsWith(`${user} `)) this.last.delete(name)
  }
}

function encodeAll(spec: MapSpec, entries: Entry[], known: Encoded[]): Encoded[] {
  let next = 0
  return entries.map(entry => {
    for (let n = next; n < known.length && n < next + GONE_MAX; n++)
      if (isEqual(entry.key, known[n]!.entry.key) && isEqual(entry.value, known[n]!.entry.value)) {
        next = n + 1
        return known[n]!
      }
    return encodeOne(spec, entry)
  })
}

function encodeOne(spec: MapSpec, entry: Entry): Encoded {
  const [[key, value]] = encodeEntries(spec, [entry]) as [[Buffer, Buffer]]
  return { entry, key: key.toString('hex'), value: value.toString('hex') }
}

/** Whether plain values are equal. Asked of every entry in every pass. */
function isEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (ArrayBuffer.isView(a)) return ArrayBuffer.isView(b) && bytesOf(a).equals(bytesOf(b))
  const names = Object.keys(a)
  if (names.length !== Object.keys(b).length) return false
  for (const name of names) if (!isEqual(a[name as never], b[name as never])) return false
  return true
}

function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Buffer {
  return Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength)
}
