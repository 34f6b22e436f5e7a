// SPDX-License-Identifier: Apache-2.0
// What the tests of the balancer share: clients and backends in both IP versions.

import { eth, type Frame } from '../../packets/frame'
import { parse } from '../../packets/parse'
import type { Outcome, TestedFunction } from '../../testing/harness'

export type Side = 'inside' | 'outside'
export const other = (side: Side): Side => (side === 'inside' ? 'outside' : 'inside')

/** Addresses of the same meaning in both families. */
export const ADDRESSES = {
  4: { client: '192.0.2.7', virtual: '203.0.113.10', backends: ['10.0.2.11', '10.0.2.12', '10.0.2.13'], router: '198.51.100.1' },
  6: {
    client: '2001:db8:1::7',
    virtual: '2001:db8:10::10',
    backends: ['fd00:2::11', 'fd00:2::12', 'fd00:2::13'],
    router: '2001:db8:2::1'
  }
} as const

export interface Ends {
  src: string
  dst: string
  sport?: number
  dport?: number
}

/** The IP header of a packet in whatever family its addresses are. */
export function ip({ src, dst }: Pick<Ends, 'src' | 'dst'>, more: { id?: number } = {}): Frame {
  return src.includes(':') ? eth().ipv6({ src, dst }) : eth().ipv4({ src, dst, ...more })
}

export function tcp({ sport, dport, ...addresses }: Ends, flags = 'S'): Frame {
  return ip(addresses).tcp({ sport: sport ?? 40_000, dport: dport ?? 80, flags })
}

export function udp({ sport, dport, ...addresses }: Ends): Frame {
  return ip(addresses).udp({ sport: sport ?? 40_000, dport: dport ?? 53 })
}

/** The ends that a packet names. Throws where a checksum is wrong. */
export function endsOf(outcome: Outcome): Ends {
  const { ipv4, ipv6, tcp, udp } = outcome.parsed()
  const { src, dst } = (ipv4 ?? ipv6)!
  const ports = tcp ?? udp
  return { src, dst, ...(ports && { sport: ports.sport, dport: ports.dport }) }
}

/** The other way. */
export function turned({ src, dst, sport, dport }: Ends): Ends {
  return { src: dst, dst: src, sport: dport, dport: sport }
}

/** What an ICMP error quotes, as ends. */
export function quotedEnds(quoted: Buffer): Ends {
  const frame = Buffer.concat([Buffer.alloc(12), Buffer.from(quoted[0]! >> 4 === 4 ? [8, 0] : [0x86, 0xdd]), quoted])
  return endsOf({ parsed: () => parse(frame) } as unknown as Outcome)
}

/** Makes all sessions older, as if time had passed since. */
export function wait(balancer: TestedFunction, seconds: number): void {
  for (const name of ['sessions4', 'sessions6'])
    for (const { key, value } of balancer.table(name).entries()) {
      const session = value as { last_seen: bigint; tick: number; data: { shared: number } }
      const data = { ...session.data, shared: (session.data.shared - 1000) >>> 0 }
      balancer.table(name).put(key, {
        ...session,
        last_seen: BigInt.asUintN(64, session.last_seen - BigInt(seconds) * 1_000_000_000n),
        tick: (session.tick - 1) >>> 0,
        data
      } as never)
    }
}

export function forgetAll(balancer: TestedFunction): void {
  for (const name of ['sessions4', 'sessions6', 'fragments'])
    for (const { key } of balancer.table(name).entries()) balancer.table(name).delete(key)
}
