// SPDX-License-Identifier: Apache-2.0
// Map entries in bytes. Most entries of a pass are those of the pass before: they are encoded once.

import { encodeEntries, type MapSpec } from '@inkev/bpf/catalogue/btf'
import type { Entry } from '@inkev/bpf/catalogue/define'
import type { Entries } from './state'

type Encoded = [key: string, value: string]

export class Encoder {
  /** What each user of a map last encoded, by the entry as JSON. */
  private readonly last = new Map<string, { spec: MapSpec; entries: Map<string, Encoded> }>()

  /** `user` tells maps of one name apart. Throws MismatchError where an entry is not of the map's types. */
  encode(user: string, specs: ReadonlyMap<string, MapSpec>, map: string, entries: Entry[]): Entries {
    const spec = specs.get(map)
    if (!spec) throw new RangeError(`the object has no map ${map}`)
    const name = `${user} ${map}`
    const before = this.last.get(name)
    const known = before?.spec === spec ? before.entries : new Map<string, Encoded>()
    const now = new Map<string, Encoded>()
    for (const entry of entries) {
      const json = asJson(entry)
      now.set(json, known.get(json) ?? encodeOne(spec, entry))
    }
    this.last.set(name, { spec, entries: now })
    return new Map(now.values())
  }

  forget(user: string): void {
    for (const name of this.last.keys()) if (name.startsWith(`${user} `)) this.last.delete(name)
  }
}

function encodeOne(spec: MapSpec, entry: Entry): Encoded {
  const [[key, value]] = encodeEntries(spec, [entry]) as [[Buffer, Buffer]]
  return [key.toString('hex'), value.toString('hex')]
}

/** Text that is equal for equal entries. */
function asJson(entry: Entry): string {
  return JSON.stringify(entry, (_, value) => (typeof value === 'bigint' ? `${value}n` : value))
}
