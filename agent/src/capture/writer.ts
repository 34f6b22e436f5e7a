// SPDX-License-Identifier: Apache-2.0
// One reader's capture: packets become blocks of pcapng; those for which a slow reader leaves no room are dropped, and that is told.

import { release } from 'node:os'
import type { CapturedPacket } from '@inkev/bpf/core/capture'
import { VERSION } from '../version'
import { enhancedPacket, type Interface, interfaceDescription, interfaceStatistics, sectionHeader } from './pcapng'

/** As of a stream: `write` keeps what cannot be sent yet, which `writableLength` counts. */
export interface Sink {
  write(bytes: Buffer): unknown
  end(): unknown
  readonly writableLength: number
}

/** Most bytes that wait for a reader. */
export const WAITING_MAX = 8 << 20
/** Blocks are sent together, as far as they come together. */
const CHUNK = 64 << 10

interface Port {
  interface: number
  delivered: number
  /** Packets for which there was no room, in all and since the last that is in the capture. */
  dropped: number
  droppedSince: number
}

export interface Source {
  /** By the number of the port. */
  ports: ReadonlyMap<number, Pick<Interface, 'name' | 'description'>>
  snapLength: number
  /** Packets for which the kernel had no room since the capture began, by the number of the port. */
  lost(): readonly bigint[]
}

export class CaptureWriter {
  delivered = 0
  private readonly ports = new Map<number, Port>()
  private readonly start: bigint
  private waiting: Buffer[] = []
  private waitingBytes = 0
  private flushing: NodeJS.Immediate | undefined

  constructor(
    private readonly sink: Sink,
    private readonly source: Source,
    /** To be added to the times of packets, to make them nanoseconds since 1970. */
    private readonly clock = clockOffset()
  ) {
    this.start = this.now()
    this.queue(sectionHeader({ system: `Linux ${release()}`, application: `inkev ${VERSION}` }))
    for (const number of source.ports.keys()) this.port(number)
    this.flush()
  }

  take({ time, length, port: number, bytes }: CapturedPacket): void {
    const port = this.port(number)
    if (this.sink.writableLength + this.waitingBytes > WAITING_MAX) {
      port.dropped++
      port.droppedSince++
      return
    }
    const kept = bytes.subarray(0, this.source.snapLength)
    this.queue(enhancedPacket({ interface: port.interface, time: time + this.clock, length, bytes: kept, lost: port.droppedSince }))
    port.droppedSince = 0
    port.delivered++
    this.delivered++
  }

  /** Ends the capture with what became of the packets of each port. */
  end(reason: string): void {
    const [lost, end] = [this.source.lost(), this.now()]
    for (const [number, { interface: index, delivered, dropped: droppedForReader }] of this.ports) {
      const dropped = Number(lost[number] ?? 0n)
      const received = delivered + droppedForReader + dropped
      const counts = { received, dropped, droppedForReader, delivered }
      this.queue(interfaceStatistics({ interface: index, start: this.start, end, comment: reason, ...counts }))
    }
    this.flush()
    this.sink.end()
  }

  /** Lets go of what was not sent yet. */
  abandon(): void {
    clearImmediate(this.flushing)
    this.waiting = []
  }

  /** A port that the function got since the capture began is a further interface. */
  private port(number: number): Port {
    const known = this.ports.get(number)
    if (known) return known
    const { name, description } = this.source.ports.get(number) ?? { name: `port-${number}`, description: '' }
    const port = { interface: this.ports.size, delivered: 0, dropped: 0, droppedSince: 0 }
    this.ports.set(number, port)
    this.queue(interfaceDescription({ name, description, snapLength: this.source.snapLength }))
    return port
  }

  private now(): bigint {
    return process.hrtime.bigint() + this.clock
  }

  private queue(block: Buffer): void {
    this.waiting.push(block)
    this.waitingBytes += block.length
    if (this.waitingBytes >= CHUNK) this.flush()
    else this.flushing ??= setImmediate(() => this.flush())
  }

  private flush(): void {
    clearImmediate(this.flushing)
    this.flushing = undefined
    if (this.waitingBytes > 0) this.sink.write(Buffer.concat(this.waiting, this.waitingBytes))
    this.waiting = []
    this.waitingBytes = 0
  }
}

/** Between CLOCK_MONOTONIC, by which programs tell the time, and 1970. Takes a millisecond at most: Date knows no finer times than its next tick. */
function clockOffset(): bigint {
  const start = Date.now()
  let now = start
  while (now === start) now = Date.now()
  return BigInt(now) * 1_000_000n - process.hrtime.bigint()
}
