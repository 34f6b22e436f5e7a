// SPDX-License-Identifier: Apache-2.0
// Programs in C that tests run.

import { execFileSync } from 'node:child_process'
import { existsSync, renameSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** The path of the program that NAME.c of this folder is, compiled once; by renaming, as other tests may do it at the same time. */
export function compiled(name: string): string {
  const program = join(__dirname, '../build', name)
  const sources = [`${name}.c`, 'tap.h'].map(file => join(__dirname, file))
  const newest = Math.max(...sources.map(source => statSync(source).mtimeMs))
  if (existsSync(program) && statSync(program).mtimeMs > newest) return program
  const scratch = `${program}.${process.pid}`
  execFileSync('cc', ['-O2', '-Wall', '-o', scratch, sources[0]!])
  renameSync(scratch, program)
  return program
}
