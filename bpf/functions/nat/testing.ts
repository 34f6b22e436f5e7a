// SPDX-License-Identifier: Apache-2.0
// What the tests of the NAT share: packets by their ends, and time that passes.

import { eth, type Frame } from '../../packets/frame'
import { type Parsed, parse } from '../../packets/parse'
import type { Outcome, TestedFunction } from '../../testing/harness'

/** The ends of a packet. The identifier of an echo stands for both ports. */
export interface Packet {
  src: string
  sport: number
  dst: string
  dport: number
}

export function ip(src: string, dst: string): Frame {
  return src.includes(':') ? eth().ipv6({ src, dst }) : eth().ipv4({ src, dst })
}

const TYPES = {
  icmp: { request: 8, reply: 0, unreachable: 3 },
  icmpv6: { request: 128, reply: 129, unreachable: 1 }
}

const IPV4_LENGTH = 34

/** An ICMP message of either IP version, behind a header of `ip`. */
export function icmp(header: Frame, what: keyof typeof TYPES.icmp, id?: number): Frame {
  const ipv4 = header.bytes().length === IPV4_LENGTH
  return ipv4 ? header.icmp({ type: TYPES.icmp[what], id }) : header.icmpv6({ type: TYPES.icmpv6[what], id })
}

/** The ends of a packet that has been sent, or of the one that its ICMP error quotes. Throws where a checksum is wrong. */
export function endsOf(outcome: Pick<Outcome, 'parsed'>, quoted?: Buffer): Packet {
  const parsed: Parsed = quoted ? parse(framed(quoted)) : outcome.parsed()
  const { src, dst } = (parsed.ipv4 ?? parsed.ipv6)!
  const id = (parsed.icmp ?? parsed.icmpv6)?.id ?? 0
  const { sport, dport } = parsed.tcp ?? parsed.udp ?? { sport: id, dport: id }
  return { src, sport, dst, dport }
}

function framed(packet: Buffer): Buffer {
  return Buffer.concat([Buffer.alloc(12), Buffer.from(packet[0]! >> 4 === 4 ? [8, 0] : [0x86, 0xdd]), packet])
}

const SECOND = 1_000_000_000n

/** Makes all sessions of one IP version older, as if time had passed since, and their claims. */
export function age(tested: TestedFunction, family: 4 | 6, seconds: number): void {
  const before = (time: bigint) => BigInt.asUintN(64, time - BigInt(seconds) * SECOND)
  const [sessions, claims] = [tested.table(`sessions${family}`), tested.table(`claims${family}`)]
  for (const { key, value } of sessions.entries()) {
    const session = value as { last_seen: bigint; tick: number }
    sessions.put(key, { ...session, last_seen: before(session.last_seen), tick: session.tick - 1 })
  }
  for (const { key, value } of claims.entries()) {
    const claim = value as { since: bigint }
    claims.put(key, { ...claim, since: before(claim.since) })
  }
}
