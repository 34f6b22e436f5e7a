// SPDX-License-Identifier: Apache-2.0
// Which uploads a host takes: its policy, whose signature it trusts, and what the bytes are.

import { sha256Of } from '@inkev/bpf/catalogue/elf'
import { type ProgramPolicy, policyFault } from '@inkev/bpf/catalogue/policy'
import type { Program as ReadProgram } from '@inkev/bpf/catalogue/program'
import { type ErrorCode, InkevError } from '../../api/errors'
import { type Program, requireProgram } from './desired'
import { isSignedBy } from './signature'

/** The program as its ELF declares it. Nothing is read of bytes that no trusted key has signed. Throws INKEV_ERR_POLICY, INKEV_ERR_SIGNATURE, INKEV_ERR_PROGRAM. */
export function requireAllowed(policy: ProgramPolicy, name: string, program: Program): ReadProgram {
  const bytes = Buffer.from(program.elf, 'base64')
  if (!policy.uploads) refuse('INKEV_ERR_POLICY', 'elf', 'the host takes no programs')
  if (bytes.length > policy.max_elf_bytes)
    refuse(
      'INKEV_ERR_POLICY',
      'elf',
      `the ELF of program ${name} has ${bytes.length} bytes, and at most ${policy.max_elf_bytes} are allowed`
    )
  requireSignature(policy, name, program, bytes)
  const digest = sha256Of(bytes)
  if (digest !== program.sha256)
    refuse('INKEV_ERR_PROGRAM', 'sha256', `the ELF of program ${name} has the SHA-256 ${digest}`, 'Upload both anew.')
  const read = readOrRefuse(program)
  const fault = policyFault(policy, read.kind.object!)
  if (fault) refuse('INKEV_ERR_POLICY', 'elf', `program ${name}: ${fault}`)
  return read
}

function requireSignature({ keys }: ProgramPolicy, name: string, { signature }: Program, bytes: Buffer): void {
  if (keys.length === 0) return
  if (signature === undefined)
    refuse('INKEV_ERR_SIGNATURE', 'signature', `program ${name} is not signed, and the host takes signed ones only`)
  if (!isSignedBy(keys, bytes, signature))
    refuse('INKEV_ERR_SIGNATURE', 'signature', `the signature of program ${name} is by no key that the host trusts, or of another ELF`)
}

function readOrRefuse(program: Program): ReadProgram {
  try {
    return requireProgram(program)
  } catch (error) {
    if (error instanceof RangeError) refuse('INKEV_ERR_PROGRAM', 'elf', error.message)
    throw error
  }
}

function refuse(code: ErrorCode, path: string, message: string, hint?: string): never {
  throw new InkevError(code, message, path, hint)
}
