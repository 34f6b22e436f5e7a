// SPDX-License-Identifier: Apache-2.0
// Whether addresses belong into their network: the one judgement for what is refused, and for what must wait to be renumbered.

import { cidrContains, isHostAddress } from '@inkev/bpf/catalogue/addresses'
import { type ErrorCode, type ErrorKind, errorKinds } from '../../api/errors'
import type { Network } from './desired'
import { cidrsOf } from './resolve'

/** An address that cannot be one interface's of its network. */
export interface Misplaced {
  /** Of the address in its list. */
  position: number
  code: ErrorCode
  message: string
}

/** The first address that lies in none of the ranges, or names no single interface of one. */
export function findMisplaced(cidrs: string[], addresses: string[]): Misplaced | undefined {
  for (const [position, address] of addresses.entries()) {
    const cidr = cidrs.find(range => cidrContains(range, address))
    if (!cidr)
      return {
        position,
        code: 'INKEV_ERR_OUTSIDE_SUBNET',
        message: `${address} lies outside ${cidrs.join(', ') || 'the network, which has no subnet'}`
      }
    if (!isHostAddress(cidr, address))
      return { position, code: 'INKEV_ERR_NOT_A_HOST_ADDRESS', message: `${address} is no address for one interface of ${cidr}` }
  }
  return undefined
}

/** Why what was stored with these addresses does not fit its network any more, as a sentence that names the field. */
export function misfitOf(network: Network, field: string, addresses: string[]): string | undefined {
  const known = judged.get(addresses)
  if (known?.network === network) return known.misfit
  const misplaced = findMisplaced(cidrsOf(network), addresses)
  const misfit = misplaced && sentenceOf(field, misplaced)
  judged.set(addresses, { network, misfit })
  return misfit
}

function sentenceOf(field: string, { position, code, message }: Misplaced): string {
  const { hint }: ErrorKind = errorKinds[code]
  return `${field}.${position}: ${message}. ${hint}`
}

/** To read every address again in each pass would be felt. */
const judged = new WeakMap<string[], { network: Network; misfit: string | undefined }>()
