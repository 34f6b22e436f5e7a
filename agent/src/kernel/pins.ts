// SPDX-License-Identifier: Apache-2.0
// Names below `<bpffs>/inkev`: what outlives the agent, and by which a next start finds it again.
//
// core/<map>                                 the maps that all objects share
// core/<object>/…                            the road's own objects
// networks/<name>/…, functions/<name>/…      the functions, each with: function_<digest>, program_<digest>_<name>, <map>_<layout>;
//                                            the digest begins with the SHA-256 of the code
//                                            former, while packets wait: the way back to the version that had them
// links/<key>                                the links of the hooks

import { existsSync, mkdirSync, readdirSync, rmdirSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'

const PROGRAM = /^(function|program)_([0-9a-f]{12}|[0-9a-f]{76})(_|$)/

export class Pins {
  readonly root: string

  constructor(bpffs: string) {
    this.root = join(bpffs, 'inkev')
  }

  sharedMap(map: string): string {
    return join(this.root, 'core', map)
  }

  /** The directory of an object. */
  object(key: string): string {
    return join(this.root, key)
  }

  /** `program` is undefined for the one that the object is named after. */
  program(key: string, digest: string, program?: string): string {
    return join(this.object(key), program === undefined ? `function_${digest}` : `program_${digest}_${program}`)
  }

  map(key: string, map: string, layout: string): string {
    return join(this.object(key), `${map}_${layout}`)
  }

  /** Also one of the object's maps. */
  former(key: string): string {
    return join(this.object(key), 'former')
  }

  link(key: string): string {
    return join(this.root, 'links', encode(key))
  }

  /** Names of the shared maps that are pinned. */
  sharedMaps(): string[] {
    return list(join(this.root, 'core')).filter(name => !isDirectory(join(this.root, 'core', name)))
  }

  /** Keys of the objects of which anything is pinned. */
  objects(): string[] {
    return ['core', 'networks', 'functions'].flatMap(type =>
      list(join(this.root, type))
        .map(name => `${type}/${name}`)
        .filter(key => isDirectory(join(this.root, key)))
    )
  }

  /** The pinned programs of an object; of more than one digest while it is being replaced. */
  programs(key: string): { digest: string; main: boolean; path: string }[] {
    return list(this.object(key)).flatMap(name => {
      const [, word, digest] = PROGRAM.exec(name) ?? []
      return digest ? [{ digest, main: word === 'function', path: join(this.object(key), name) }] : []
    })
  }

  /** Paths of the pinned maps of an object. */
  maps(key: string): string[] {
    return list(this.object(key))
      .filter(name => !PROGRAM.test(name))
      .map(name => join(this.object(key), name))
  }

  links(): string[] {
    return list(join(this.root, 'links')).map(decode)
  }

  /** Makes the directories above a pin. */
  makeWay(path: string): string {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    return path
  }

  /** Removes a pin, and the directories that it leaves empty. */
  remove(path: string): void {
    rmSync(path, { force: true })
    this.prune(dirname(path))
  }

  private prune(directory: string): void {
    if (!directory.startsWith(this.root) || !existsSync(directory) || list(directory).length > 0) return
    rmdirSync(directory)
    this.prune(dirname(directory))
  }
}

function list(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : []
}

function isDirectory(path: string): boolean {
  return statSync(path).isDirectory()
}

/** The kernel takes no dots in names of pins. */
function encode(key: string): string {
  return key.replace(/[^A-Za-z0-9-]/g, letter => `_${letter.charCodeAt(0).toString(16).padStart(2, '0')}`)
}

function decode(name: string): string {
  return name.replace(/_([0-9a-f]{2})/g, (_, code) => String.fromCharCode(Number.parseInt(code, 16)))
}
