// SPDX-License-Identifier: Apache-2.0
// What an operator may say about sessions, alike for every kind that keeps them (session.h).

import { duration, u32 } from '../catalogue/fields'

/** Fields of a kind's `config`. */
export const sessionFields = {
  max_sessions: u32({
    doc: 'Sessions that are remembered at once, of each IP version; where there are more, those silent for longest are forgotten first.',
    default: 16_384,
    min: 1024,
    max: 4_194_304,
    agentOnly: true
  }),
  tcp_established_timeout: duration({ doc: 'Silence after which an established TCP session is forgotten.', default: '124m' }),
  tcp_transient_timeout: duration({ doc: 'Silence after which a TCP session that opens, or is closed, is forgotten.', default: '4m' }),
  udp_timeout: duration({ doc: 'Silence after which a UDP session is forgotten.', default: '2m' }),
  icmp_timeout: duration({ doc: 'Silence after which a ping is forgotten.', default: '60s' }),
  other_timeout: duration({ doc: 'Silence after which a session of another protocol, SCTP included, is forgotten.', default: '10m' })
} as const

/** What an LRU map must have for more than the promised number, where that is large: 128 free entries for each of as many CPUs as hosts have. */
const SPARE_MAX = 32_768

/**
 * The size of an LRU map that is to hold so many entries. It begins to forget when it has no more free entries to hand out, and each CPU keeps up to
 * 128 of those to itself: half of them at most, where the map is small.
 */
export function lruSize(entries: number): number {
  return entries + Math.min(entries, SPARE_MAX)
}

/** The sizes of the maps `sessions4` and `sessions6`. */
export function sessionSizes({ max_sessions }: { max_sessions: number }): Record<string, number> {
  return { sessions4: lruSize(max_sessions), sessions6: lruSize(max_sessions) }
}
