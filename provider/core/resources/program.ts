// SPDX-License-Identifier: Apache-2.0
// inkev_program: an eBPF object of the user's own, uploaded to all its hosts. Its file is read where Terraform runs.

import { readFileSync } from 'node:fs'
import { sha256Of } from '@inkev/bpf/catalogue/elf'
import { name, path } from '@inkev/bpf/catalogue/fields'
import { readProgram } from '@inkev/bpf/catalogue/program'
import { problemDiagnostic, Refusal } from '../diagnostics'
import { defineResource, hostSet, hostsOf, reflectHosts } from '../resource'
import { type Members, UNKNOWN } from '../value'

export const program = defineResource({
  type: 'inkev_program',
  rest: 'programs',
  description:
    'An eBPF object compiled with inkev/function.h, of which functions are made. A new one replaces the code that runs, while packets flow.',
  own: {
    name: name({ doc: 'Name of the program.', replace: true }),
    path: path({ doc: 'The compiled ELF, where Terraform runs.', example: 'limiter.bpf.o' }),
    hosts: hostSet('The hosts that have the program.')
  },
  adjust: { path: { sentAs: 'elf' }, sha256: { required: false, computed: true, follows: ['path'] } },
  identity: ['name'],
  hosts: hostsOf,
  reflect: reflectHosts,

  compute({ path }): Members {
    return typeof path === 'string' ? { sha256: sha256Of(readElf(path)) } : {}
  },

  content({ path, sha256 }): Members {
    if (typeof path !== 'string' || typeof sha256 !== 'string') return { sha256: UNKNOWN }
    const elf = readElf(path)
    if (sha256Of(elf) !== sha256) throw refusal(`${path} has changed since this plan was made`, 'Plan again.')
    return { sha256, elf: elf.toString('base64') }
  }
})

/** The file, which is judged before anyone is asked. */
function readElf(path: string): Buffer {
  const elf = readFile(path)
  try {
    readProgram(path, elf)
    return elf
  } catch (error) {
    if (error instanceof RangeError)
      throw refusal(`${path}: ${error.message}`, 'Compile it with clang -O2 -g -target bpf and inkev/function.h.')
    throw error
  }
}

function readFile(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    throw refusal(`${path} cannot be read (${(error as NodeJS.ErrnoException).code})`, 'Compile it first, or correct the path.')
  }
}

function refusal(message: string, hint: string): Refusal {
  return new Refusal([problemDiagnostic({ path: [{ attribute: 'path' }], message, hint })])
}
