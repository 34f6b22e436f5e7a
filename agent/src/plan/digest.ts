// SPDX-License-Identifier: Apache-2.0
// Short names for contents.

import { createHash } from 'node:crypto'

/** Twelve hex digits that follow from the parts. */
export function digestOf(...parts: (string | Uint8Array)[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part).update('\0')
  return hash.digest('hex').slice(0, 12)
}
