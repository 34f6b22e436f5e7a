// SPDX-License-Identifier: Apache-2.0
// Which uploads a host takes, by what its administrator says.

import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { DEFAULT_POLICY, type ProgramPolicy } from '@inkev/bpf/catalogue/policy'
import { compileProgram, TEMPLATE, uploadOf } from '@inkev/bpf/testing/program'
import { describe, expect, test } from '@jest/globals'
import type { InkevError } from '../../api/errors'
import type { Program } from './desired'
import { requireAllowed } from './programs'

/** The template, with memory of its own. */
const SOURCE = TEMPLATE.replace(
  'INKEV_FUNCTION(',
  `struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} seen SEC(".maps");

INKEV_FUNCTION(`
)
const limiter = uploadOf(compileProgram(SOURCE))

/** The code, the field and the sentence of the refusal; undefined where there is none. */
function refusal(policy: Partial<ProgramPolicy>, program: Program = limiter): string[] | undefined {
  try {
    requireAllowed({ ...DEFAULT_POLICY, ...policy }, 'limiter', program)
    return undefined
  } catch (error) {
    const { code, path, message } = error as InkevError
    return [code, path!, message]
  }
}

describe('an upload', () => {
  test('is taken where nothing is said', () => {
    expect(refusal({})).toBeUndefined()
  })

  test.each<[string, Partial<ProgramPolicy>, RegExp]>([
    ['where none is taken', { uploads: false }, /takes no programs/],
    ['that is too large', { max_elf_bytes: 1000 }, /has \d+ bytes, and at most 1000/],
    [
      'with a map of a type that is not named',
      { map_types: ['hash'] },
      /map seen is of a type \(lru_hash\) that the policy does not allow: hash are/
    ],
    ['with a map that has too many entries', { max_map_entries: 2 }, /map seen has 64 entries: the policy allows 1 to 2/],
    ['that calls a helper which is not named', { helpers: ['redirect'] }, /helper bpf_\w+ \(\d+\), which the policy does not allow/]
  ])('%s is refused', (_, policy, message) => {
    expect(refusal(policy)).toEqual(['INKEV_ERR_POLICY', 'elf', expect.stringMatching(message)])
  })

  test('may call a helper that the administrator names by its number', () => {
    const printing = uploadOf(compileProgram(SOURCE.replace('count(COUNTER(passed));', 'bpf_printk("passed");')))
    expect(refusal({}, printing)).toEqual(['INKEV_ERR_POLICY', 'elf', expect.stringContaining("kernel's helper 6,")])
    expect(refusal({ helpers: [...DEFAULT_POLICY.helpers, '6'] }, printing)).toBeUndefined()
  })
})

describe('where keys are named, an upload', () => {
  const [ours, other, stranger] = [1, 2, 3].map(() => generateKeyPairSync('ed25519')) as [KeyPair, KeyPair, KeyPair]
  const policy = { keys: [other, ours].map(({ publicKey }) => publicKey.export({ format: 'der', type: 'spki' }).toString('base64')) }
  const signedBy = ({ privateKey }: KeyPair, program = limiter): Program => ({
    ...program,
    signature: sign(null, Buffer.from(program.elf, 'base64'), privateKey).toString('base64')
  })

  test('that one of them has signed is taken', () => {
    expect(refusal(policy, signedBy(ours))).toBeUndefined()
    expect(refusal(policy, signedBy(other))).toBeUndefined()
  })

  test.each<[string, Program, RegExp]>([
    ['is not signed', limiter, /is not signed/],
    ['is signed by a stranger', signedBy(stranger), /by no key that the host trusts/],
    ['carries the signature of another ELF', { ...signedBy(ours), ...uploadOf(Buffer.from('other')) }, /or of another ELF/]
  ])('that %s is refused, and not read', (_, program, message) => {
    expect(refusal(policy, program)).toEqual(['INKEV_ERR_SIGNATURE', 'signature', expect.stringMatching(message)])
  })
})

type KeyPair = { publicKey: KeyObject; privateKey: KeyObject }
