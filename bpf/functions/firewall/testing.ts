// SPDX-License-Identifier: Apache-2.0
// What the tests of the firewall share: packets between a local and a remote end, in both IP versions.

import { eth, type Frame, type IcmpFields, type PortFields, type TcpFields } from '../../packets/frame'
import type { Outcome, TestedFunction } from '../../testing/harness'
import type { Table } from '../../testing/instance'

/** Behind port inside. */
const LOCAL = { 4: '10.0.0.1', 6: 'fd00::1' }
/** Behind port outside. */
const REMOTE = { 4: '192.0.2.7', 6: '2001:db8::7' }
const ROUTER = { 4: '198.51.100.1', 6: '2001:db8:1::1' }

export type Side = 'inside' | 'outside'
export const other = (side: Side): Side => (side === 'inside' ? 'outside' : 'inside')

/** Packets of one IP version through one firewall, said from the point of view of the end that sends them. */
export class Traffic {
  constructor(
    readonly firewall: TestedFunction,
    readonly family: 4 | 6,
    readonly workload = 0
  ) {}

  /** The IP header of a packet from the end behind `side` to the other. */
  ip(side: Side, more: { src?: string; dst?: string; id?: number } = {}): Frame {
    const [src, dst] = side === 'inside' ? [LOCAL, REMOTE] : [REMOTE, LOCAL]
    const addresses = { src: src[this.family], dst: dst[this.family], ...more }
    return this.family === 4 ? eth().ipv4(addresses) : eth().ipv6(addresses)
  }

  /** From somewhere on the way to the end that is not behind `side`. */
  fromRouter(side: Side): Frame {
    return this.ip(side, { src: ROUTER[this.family] })
  }

  send(side: Side, frame: Frame | Uint8Array, gso_size?: number): Outcome {
    return this.firewall.send(frame, { port: side, workload: this.workload, ...(gso_size && { gso_size }) })
  }

  /** Ports are those of the end inside and of the end outside: 40000 and 80 if nothing is said. */
  tcp(side: Side, flags: string, { payload = 0, ...fields }: TcpFields & { payload?: number } = {}): Outcome {
    return this.send(side, this.segment(side, { flags, ...fields }).payload(payload))
  }

  segment(side: Side, fields: TcpFields = {}): Frame {
    return this.ip(side).tcp({ ...portsOf(side), ...fields })
  }

  udp(side: Side, fields: PortFields = {}): Outcome {
    return this.send(side, this.datagram(side, fields).payload('hello'))
  }

  datagram(side: Side, fields: PortFields = {}): Frame {
    return this.ip(side).udp({ ...portsOf(side), ...fields })
  }

  /** `chunk` is the type of the first chunk. */
  sctp(side: Side, chunk: number): Outcome {
    return this.send(
      side,
      this.ip(side)
        .sctp(portsOf(side))
        .payload(Buffer.from([chunk, 0, 0, 4]))
    )
  }

  ping(side: Side, id = 7): Outcome {
    return this.send(side, this.echo(side, 'request', id))
  }

  pong(side: Side, id = 7): Outcome {
    return this.send(side, this.echo(side, 'reply', id))
  }

  echo(side: Side, what: 'request' | 'reply', id = 7): Frame {
    const [request, reply] = this.family === 4 ? [8, 0] : [128, 129]
    return this.icmp(this.ip(side), { type: what === 'request' ? request : reply, id })
  }

  /** The destination is unreachable, says somebody behind `side` of a packet from the other. */
  unreachable(side: Side, quoted: Frame, from = this.fromRouter(side)): Outcome {
    return this.send(side, this.icmp(from, { type: this.family === 4 ? 3 : 1 }).quote(quoted))
  }

  icmp(ip: Frame, fields: IcmpFields): Frame {
    return this.family === 4 ? ip.icmp(fields) : ip.icmpv6(fields)
  }

  /** A connection opened from `side`, whose numbers begin at 1000 there and at 5000 at the other end; both have sent nothing yet but SYN. */
  connect(side: Side = 'inside', syn: TcpFields = {}, answer: TcpFields = {}): void {
    this.tcp(side, 'S', { seq: 1000, ...syn })
    this.tcp(other(side), 'SA', { seq: 5000, ack: 1001, ...answer })
    this.tcp(side, 'A', { seq: 1001, ack: 5001 })
  }

  /** The only session of this IP version. */
  session(): Record<string, never> {
    const sessions = this.sessions()
    if (sessions.length !== 1) throw new Error(`there are ${sessions.length} sessions`)
    return sessions[0]!.value as Record<string, never>
  }

  sessions() {
    return this.table.entries()
  }

  /** Makes all sessions older, as if time had passed since. */
  wait(seconds: number): void {
    for (const { key, value } of this.sessions()) {
      const session = value as { last_seen: bigint; tick: number }
      this.table.put(key, { ...session, last_seen: before(session.last_seen, seconds), tick: session.tick - 1 } as never)
    }
  }

  /** Takes from all sessions what the last `bytes` of an end have taught them. */
  forgetSent(side: Side, bytes: number): void {
    for (const { key, value } of this.sessions()) {
      const session = value as { end: { sent: number }[] }
      session.end[side === 'inside' ? 0 : 1]!.sent -= bytes
      this.table.put(key, session as never)
    }
  }

  private get table(): Table {
    return this.firewall.table(`sessions${this.family}`)
  }
}

function portsOf(side: Side): { sport: number; dport: number } {
  return side === 'inside' ? { sport: 40_000, dport: 80 } : { sport: 80, dport: 40_000 }
}

/** Nanoseconds since boot go round with a host that has not run for so long. */
function before(time: bigint, seconds: number): bigint {
  return BigInt.asUintN(64, time - BigInt(seconds) * 1_000_000_000n)
}

/** Makes all that a firewall remembers older, as if time had passed since. */
export function wait(firewall: TestedFunction, seconds: number): void {
  for (const family of [4, 6] as const) new Traffic(firewall, family).wait(seconds)
  const fragments = firewall.table('fragments')
  for (const { key, value } of fragments.entries()) {
    const first = value as { since: bigint }
    fragments.put(key, { ...first, since: before(first.since, seconds) })
  }
}

export function forgetAll(firewall: TestedFunction): void {
  for (const name of ['sessions4', 'sessions6', 'fragments'])
    for (const { key } of firewall.table(name).entries()) firewall.table(name).delete(key)
}
