// SPDX-License-Identifier: Apache-2.0
// Compiles programs as their users do: with clang alone, and the headers that stand alone.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sha256Of } from '../catalogue/elf'

const BPF = join(__dirname, '..')
/** Where it was compiled is no part of the result. */
const FLAGS = '-O2 -g -target bpf -mcpu=v3 -Wall -Werror -fdebug-compilation-dir=.'.split(' ')
const MULTIARCH = process.arch === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu'

/** The template of a program, in C. */
export const TEMPLATE = readFileSync(join(BPF, 'program/template.bpf.c'), 'utf8')

/** An ELF and its name, as `PUT /v1/programs/<name>` takes it. */
export interface Upload {
  sha256: string
  elf: string
}

export function compileProgram(source: string, ...flags: string[]): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'inkev-program-'))
  try {
    execFileSync(process.execPath, [join(BPF, 'build.mjs'), 'headers', folder])
    writeFileSync(join(folder, 'own.bpf.c'), source)
    const args = [...FLAGS, ...flags, '-I', '.', '-idirafter', `/usr/include/${MULTIARCH}`, '-c', 'own.bpf.c', '-o', 'own.bpf.o']
    execFileSync(process.env.CLANG ?? 'clang-19', args, { cwd: folder, stdio: 'pipe' })
    return readFileSync(join(folder, 'own.bpf.o'))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

export function uploadOf(elf: Buffer): Upload {
  return { sha256: sha256Of(elf), elf: elf.toString('base64') }
}
