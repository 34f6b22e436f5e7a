// SPDX-License-Identifier: Apache-2.0
// What the tests of inspect have in common: payloads as clients send them, packets that carry them, and hits by the patterns' names.

import { eth, type Frame } from '../../packets/frame'
import type { TestedFunction } from '../../testing/harness'
import { inspectImage } from './image'

export type Side = 'inside' | 'outside'
export const FAMILIES = [4, 6] as const
export type Family = (typeof FAMILIES)[number]

const ends = (from: Side, family: Family) => {
  const [local, remote] = family === 4 ? ['10.0.0.1', '10.0.0.2'] : ['fd00::1', 'fd00::2']
  return from === 'inside' ? { src: local, dst: remote } : { src: remote, dst: local }
}

/** An IP packet between the ends of the function. */
export function ip(from: Side, family: Family = 4): Frame {
  return family === 4 ? eth().ipv4(ends(from, 4)) : eth().ipv6(ends(from, 6))
}

export interface Segment {
  from?: Side
  family?: Family
  flags?: string
  sport?: number
  dport?: number
}

export function tcp(payload: string | Uint8Array, { from = 'inside', family = 4, flags = 'PA', ...ports }: Segment = {}): Frame {
  return ip(from, family)
    .tcp({ flags, ...ports })
    .payload(payload)
}

export function udp(payload: string | Uint8Array, { from = 'inside', family = 4, sport, dport }: Segment = {}): Frame {
  return ip(from, family).udp({ sport, dport }).payload(payload)
}

/** A DNS query (RFC 1035 4.1). `flags` as in its header. */
export function dnsQuery(name: string, { flags = 0x0100, questions = 1 } = {}): Buffer {
  const header = Buffer.from([0, 1, flags >> 8, flags & 255, 0, questions, 0, 0, 0, 0, 0, 0])
  return Buffer.concat([header, dnsName(name), Buffer.from([0, 1, 0, 1])])
}

/** The same behind its length, as over TCP (RFC 1035 4.2.2). */
export function dnsOverTcp(name: string): Buffer {
  const message = dnsQuery(name)
  return Buffer.concat([Buffer.from([0, message.length]), message])
}

function dnsName(name: string): Buffer {
  const labels = name === '' ? [] : name.split('.')
  return Buffer.concat([...labels.map(label => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)])), Buffer.alloc(1)])
}

const sized = (bytes: Buffer, size: number) => {
  const length = Buffer.alloc(size)
  length.writeUIntBE(bytes.length, 0, size)
  return Buffer.concat([length, bytes])
}

const extension = (type: number, body: Buffer) => Buffer.concat([Buffer.from([type >> 8, type & 255]), sized(body, 2)])

/** A TLS ClientHello (RFC 8446 4.1.2) in a record of its own; without a name it asks for none. `before`: bytes of extensions ahead of the name. */
export function clientHello(name?: string, { before = 10, session = 32 } = {}): Buffer {
  const serverName = name === undefined ? [] : [extension(0, sized(Buffer.concat([Buffer.alloc(1), sized(Buffer.from(name), 2)]), 2))]
  const extensions = Buffer.concat([
    extension(43, Buffer.from([2, 3, 4])),
    extension(51, Buffer.alloc(before)),
    ...serverName,
    extension(16, Buffer.alloc(5))
  ])
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32, 7),
    sized(Buffer.alloc(session, 9), 1),
    sized(Buffer.from([0x13, 1, 0x13, 2]), 2),
    sized(Buffer.alloc(1), 1),
    sized(extensions, 2)
  ])
  return Buffer.concat([Buffer.from([22, 3, 1]), sized(Buffer.concat([Buffer.from([1]), sized(body, 3)]), 2)])
}

export interface Hits {
  packets: number
  bytes: number
}

/** The names of patterns, by their keys in `pattern_hits`. */
export function labelsOf(patterns: Record<string, unknown>): Record<string, string> {
  const config = { rules: {}, patterns: patterns as never, depth: 1, max_sessions: 1 }
  return inspectImage(config, { generation: 1 }).labels!.pattern_hits!
}

/** In how many packets each pattern was found, and the bytes of these. */
export function hitsOf(tested: TestedFunction, labels: Record<string, string>): Record<string, Hits> {
  const sum = (cpus: { packets: bigint; bytes: bigint }[], field: keyof Hits) => cpus.reduce((total, cpu) => total + Number(cpu[field]), 0)
  const entries = tested.table('pattern_hits').entries() as { key: bigint; value: never }[]
  return Object.fromEntries(
    entries.map(({ key, value }) => [labels[String(key)], { packets: sum(value, 'packets'), bytes: sum(value, 'bytes') }])
  )
}

/** In how many packets each pattern was found. */
export function hits(tested: TestedFunction, patterns: Record<string, unknown>): Record<string, number> {
  return Object.fromEntries(Object.entries(hitsOf(tested, labelsOf(patterns))).map(([name, { packets }]) => [name, packets]))
}
