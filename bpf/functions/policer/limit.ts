// SPDX-License-Identifier: Apache-2.0
// A limit: what an operator says of it, and the traffic classes that it means.

import type { Static, TObject } from '@sinclair/typebox'
import { choice, duration, optional, rate, u32 } from '../../catalogue/fields'

export const DIRECTIONS = ['ingress', 'egress'] as const

export const limitFields = {
  direction: optional(choice(DIRECTIONS, { doc: 'Packets of this direction only: `ingress` is towards the inside, `egress` from it.' })),
  dscp: optional(
    u32({
      doc: 'Packets of this DSCP only. Left out, all of the direction for whose DSCP there is no other limit, and all that is not IP.',
      max: 63
    })
  ),
  rate: optional(rate({ doc: 'Bits per second of IP packets, their headers included, as a wire carries them.' })),
  packet_rate: optional(u32({ doc: 'Packets per second, as a wire carries them; instead of `rate`.', min: 1 })),
  burst: duration({ doc: 'How much may come at once after a silence: as much as the rate allows in this time.', default: '250ms' }),
  per: choice(['port', 'direction', 'flow'], {
    doc: 'What has a rate of its own: each workload port, each direction of a port, or each flow (addresses, protocol and ports of one direction). Stitched between functions, a policer is one port.',
    default: 'direction'
  }),
  exceed: choice(['drop', 'mark'], {
    doc: 'What becomes of packets beyond the rate: `drop`, or `mark`, which also writes a congestion mark (ECN CE) into those whose ends understand it as soon as less than half of the burst is left, so that senders slow down before anything is dropped.',
    default: 'drop'
  }),
  set_dscp: optional(u32({ doc: 'DSCP that packets within the rate are given; unchanged if left out.', max: 63 }))
}

export type Limit = Static<TObject<typeof limitFields>>
export type Limits = Record<string, Limit>

/** Numbers of the traffic classes of one direction: 64 DSCPs, and what is not IP. */
export const CLASSES = 65

/** The traffic classes that a limit means by itself; where two mean one, that which names a DSCP has it. */
export function classesOf({ direction, dscp }: Limit): number[] {
  const wanted = DIRECTIONS.filter(each => direction === undefined || each === direction)
  const numbers = dscp === undefined ? Array.from({ length: CLASSES }, (_, n) => n) : [dscp]
  return wanted.flatMap(each => numbers.map(number => DIRECTIONS.indexOf(each) * CLASSES + number))
}
