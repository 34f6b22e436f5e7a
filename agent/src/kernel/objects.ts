// SPDX-License-Identifier: Apache-2.0
// The compiled objects on disk: each is read and parsed once.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type MapSpec, type ObjectSpec, readObject } from '@inkev/bpf/catalogue/btf'
import type { CodeObject, FunctionKind } from '@inkev/bpf/catalogue/define'
import { sha256Of } from '@inkev/bpf/catalogue/elf'
import { layoutText } from '@inkev/bpf/catalogue/layout'
import { InkevError } from '../../api/errors'
import { digestOf } from '../plan/digest'

export interface CompiledObject {
  name: string
  /** The program that it is about; others in it are the road's. */
  main: string
  elf: Buffer
  spec: ObjectSpec
  /** SHA-256 of the ELF. */
  digest: string
}

export class Objects {
  private readonly known = new Map<string, CompiledObject>()
  /** Users' programs by name. Each is kept as long as somebody holds what it was read into: the resource, or a function that is made of it. */
  private readonly uploads = new Map<string, WeakRef<CodeObject>>()
  private readonly compiled = new WeakMap<CodeObject, CompiledObject>()

  constructor(private readonly directory: string) {}

  /** Throws INKEV_ERR_OPTION unless all are there. */
  require(names: Iterable<string>): void {
    for (const name of names) if (!existsSync(this.path(name))) throw unusable(this.path(name), 'it is not there')
  }

  /** Throws INKEV_ERR_OPTION when the object is not there or not readable. */
  get(name: string): CompiledObject {
    const upload = this.uploads.get(name)?.deref()
    if (upload) return this.of({ kind: name, object: upload })
    const known = this.known.get(name)
    if (known) return known
    const object = this.read(name)
    this.known.set(name, object)
    return object
  }

  /** The code of a kind. */
  of({ kind, object }: Pick<FunctionKind, 'kind' | 'object'>): CompiledObject {
    if (!object) return this.get(kind)
    const known = this.compiled.get(object)
    if (known) return known
    for (const [name, upload] of this.uploads) if (!upload.deref()) this.uploads.delete(name)
    const compiled = compiledOf(object)
    this.compiled.set(object, compiled)
    this.uploads.set(object.name, new WeakRef(object))
    return compiled
  }

  private read(name: string): CompiledObject {
    try {
      const elf = readFileSync(this.path(name))
      return { name, main: name, elf, spec: readObject(elf), digest: sha256Of(elf) }
    } catch (error) {
      throw unusable(this.path(name), (error as Error).message, error)
    }
  }

  private path(name: string): string {
    return join(this.directory, `${name}.bpf.o`)
  }
}

function compiledOf({ name, main, elf, spec }: CodeObject): CompiledObject {
  return { name, main, elf: Buffer.from(elf), spec, digest: sha256Of(elf) }
}

function unusable(path: string, reason: string, cause?: unknown): InkevError {
  const hint = 'Build it (node bpf/build.mjs), or name the directory by --objects.'
  return new InkevError('INKEV_ERR_OPTION', `the compiled function ${path} cannot be used: ${reason}`, undefined, hint, cause)
}

/** Names the layout of a map. */
export function layoutOf(map: MapSpec, maxEntries: number): string {
  return digestOf(layoutText(map, maxEntries)).slice(0, 8)
}
