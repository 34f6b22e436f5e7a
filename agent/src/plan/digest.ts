// SPDX-License-Identifier: Apache-2.0
// Short names for contents.

import { createHash } from 'node:crypto'

const SHA256_LENGTH = 64

/** Names what runs: code, by its SHA-256, and all that was set in it. */
export function runDigest(code: string, ...settings: string[]): string {
  return code + digestOf(...settings)
}

/** The SHA-256 of the code that such a digest names; undefined for one of an agent that did not tell it so. */
export function codeOf(digest: string): string | undefined {
  return digest.length > SHA256_LENGTH ? digest.slice(0, SHA256_LENGTH) : undefined
}

/** Twelve hex digits that follow from the parts. */
export function digestOf(...parts: (string | Uint8Array)[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part).update('\0')
  return hash.digest('hex').slice(0, 12)
}
