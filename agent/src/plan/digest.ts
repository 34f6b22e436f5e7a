// SPDX-License-Identifier: Apache-2.0
// Short names for contents.

import { createHash } from 'node:crypto'

/** Twelve hex digits that follow from the parts. */
export function digestOf(...parts: (string | Uint8Array)[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part).update('\0')
  return hash.digest('hex').slice(0, 12)
}

/** Text that is equal for equal values, 64-bit integers included. */
export function asJson(value: unknown): string {
  try {
    return JSON.stringify(value)
  } catch {
    return JSON.stringify(value, (_, field) => (typeof field === 'bigint' ? `${field}n` : field))
  }
}
