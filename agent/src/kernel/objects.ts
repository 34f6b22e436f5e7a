// SPDX-License-Identifier: Apache-2.0
// The compiled objects on disk: each is read and parsed once.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type MapSpec, type ObjectSpec, readObject } from '@inkev/bpf/catalogue/btf'
import type { Value } from '@inkev/bpf/catalogue/define'
import { InkevError } from '../../api/errors'
import { digestOf } from '../plan/digest'

export interface CompiledObject {
  name: string
  elf: Buffer
  spec: ObjectSpec
  /** Names its contents. */
  digest: string
}

export class Objects {
  private readonly known = new Map<string, CompiledObject>()

  constructor(private readonly directory: string) {}

  /** Throws INKEV_ERR_OPTION unless all are there. */
  require(names: Iterable<string>): void {
    for (const name of names) if (!existsSync(this.path(name))) throw unusable(this.path(name), 'it is not there')
  }

  /** Throws INKEV_ERR_OPTION when the object is not there or not readable. */
  get(name: string): CompiledObject {
    const known = this.known.get(name)
    if (known) return known
    const object = this.read(name)
    this.known.set(name, object)
    return object
  }

  private read(name: string): CompiledObject {
    try {
      const elf = readFileSync(this.path(name))
      return { name, elf, spec: readObject(elf), digest: digestOf(elf) }
    } catch (error) {
      throw unusable(this.path(name), (error as Error).message, error)
    }
  }

  private path(name: string): string {
    return join(this.directory, `${name}.bpf.o`)
  }
}

function unusable(path: string, reason: string, cause?: unknown): InkevError {
  const hint = 'Build it (node bpf/build.mjs), or name the directory by --objects.'
  return new InkevError('INKEV_ERR_OPTION', `the compiled function ${path} cannot be used: ${reason}`, undefined, hint, cause)
}

/**
 * Names the layout of a map: type, sizes, and where each field of its records lies. Maps of one layout can be taken over by another version of the program.
 */
export function layoutOf(map: MapSpec, maxEntries: number): string {
  return digestOf([map.type, map.keySize, map.valueSize, maxEntries, map.flags, fieldsOf(map)].join(' ')).slice(0, 8)
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
