// SPDX-License-Identifier: Apache-2.0
// Detached Ed25519 signatures of programs (RFC 8032), as openssl pkeyutl makes them.

import { createPublicKey, type KeyObject, verify } from 'node:crypto'

/** A key as a policy writes it: SubjectPublicKeyInfo in base64. Undefined where it is none of Ed25519. */
export function publicKey(text: string): KeyObject | undefined {
  try {
    const key = createPublicKey({ key: Buffer.from(text, 'base64'), format: 'der', type: 'spki' })
    return key.asymmetricKeyType === 'ed25519' ? key : undefined
  } catch {
    return undefined
  }
}

/** Whether one of the keys has signed the bytes. The signature is in base64. */
export function isSignedBy(keys: string[], bytes: Uint8Array, signature: string): boolean {
  return keys.some(text => {
    const key = publicKey(text)
    return key !== undefined && verify(null, bytes, key, Buffer.from(signature, 'base64'))
  })
}
