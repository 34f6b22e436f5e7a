// SPDX-License-Identifier: Apache-2.0
// A pattern: what an operator says of it, and the bytes that are looked for.

import type { Static, TObject } from '@sinclair/typebox'
import { bool, optional, text, u32 } from '../../catalogue/fields'
import { lowerCase } from './automaton'

/** Most bytes of one pattern. */
export const LENGTH_MAX = 128

export const patternFields = {
  description: optional(text({ doc: 'What the pattern is a sign of.' })),
  rule: text({ doc: 'The rule that looks for it: a key of `rules`.', example: 'rule-1', maxLength: 64 }),
  text: optional(text({ doc: 'Bytes to be found in the payload, as UTF-8 text of at most 128 bytes.', example: 'confidential' })),
  hex: optional(text({ doc: 'The same as pairs of hexadecimal digits; spaces between them are allowed.', maxLength: 512 })),
  dns_name: optional(text({ doc: 'A DNS name: queries for it and for any name below it, over UDP and TCP.' })),
  tls_name: optional(text({ doc: 'A DNS name: TLS connections that ask for the server of this name or of any name below it.' })),
  ignore_case: bool({ doc: 'Whether the letters A to Z of `text` stand for capital and small ones. Names always do.', default: false }),
  offset: u32({ doc: 'First byte of the payload, from 0, at which `text` or `hex` may begin.', default: 0, max: 65_534 }),
  within: optional(
    u32({
      doc: 'Number of bytes from `offset` on in which `text` or `hex` lies as a whole; up to `depth` if left out.',
      min: 1,
      max: 65_535
    })
  )
}

export type Pattern = Static<TObject<typeof patternFields>>
export type Patterns = Record<string, Pattern>

export const FORMS = ['text', 'hex', 'dns_name', 'tls_name'] as const
export type Form = (typeof FORMS)[number]

/** The only form that a sound pattern has; of another, the first. */
export function formOf(pattern: Pattern): Form {
  return FORMS.find(form => pattern[form] !== undefined)!
}

/** Whether the pattern is a name in a protocol's message, and not bytes anywhere. */
export function isName(pattern: Pattern): boolean {
  return formOf(pattern) === 'dns_name' || formOf(pattern) === 'tls_name'
}

export function ignoresCase(pattern: Pattern): boolean {
  return pattern.ignore_case || isName(pattern)
}

/** What is looked for. Letters are small where case is ignored; a name has a dot before it, so that it ends at the borders of labels only. */
export function bytesOf(pattern: Pattern): Buffer {
  const form = formOf(pattern)
  if (form === 'hex') return Buffer.from(pattern.hex!.replaceAll(' ', ''), 'hex')
  const bytes = Buffer.from(isName(pattern) ? `.${pattern[form]!.replace(/\.$/, '')}` : pattern[form]!)
  return ignoresCase(pattern) ? Buffer.from(bytes.map(lowerCase)) : bytes
}

/** Where in the payload the whole pattern must lie; the end does not belong to it. */
export function windowOf({ offset, within }: Pattern, depth: number): [first: number, end: number] {
  return [offset, within === undefined ? depth : Math.min(depth, offset + within)]
}
