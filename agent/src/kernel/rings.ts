// SPDX-License-Identifier: Apache-2.0
// The rings in which functions write down packets (core/capture.h): read while someone listens, and off otherwise.

import { encodeEntries } from '@inkev/bpf/catalogue/btf'
import { CAPTURE_MAP, CAPTURED_MAP, type CapturedPacket, captureReader, captureState } from '@inkev/bpf/core/capture'
import type { Bpf, Handle } from '@inkev/native'
import type { LoadedObjects } from './loaded'
import type { CompiledObject } from './objects'

export interface Listener {
  packet(packet: CapturedPacket): void
  /** The object runs no more. No packet follows. */
  gone(): void
}

export interface Listening {
  /** Packets for which the ring had no room, by the number of the port, since others or this began to listen. */
  lost(): readonly bigint[]
  close(): void
}

interface Ring {
  object: CompiledObject
  listeners: Set<Listener>
  watch: Handle
}

export class Rings {
  private readonly rings = new Map<string, Ring>()

  constructor(
    private readonly bpf: Bpf,
    private readonly loaded: LoadedObjects
  ) {}

  /** Packets since now. Undefined where the object does not run or captures nothing. */
  listen(key: string, object: CompiledObject, listener: Listener): Listening | undefined {
    const ring = this.rings.get(key) ?? this.open(key, object)
    if (!ring) return undefined
    const since = process.hrtime.bigint()
    const entry = { ...listener, packet: (packet: CapturedPacket) => packet.time >= since && listener.packet(packet) }
    ring.listeners.add(entry)
    return {
      lost: () => this.lost(key, ring),
      close: () => {
        if (ring.listeners.delete(entry) && ring.listeners.size === 0) this.shut(key, ring)
      }
    }
  }

  /** Nobody listens yet to what an earlier agent has left. A program of a user's has no ring, and may call any map of its own as ours is called. */
  adopt(key: string): void {
    const maps = this.loaded.maps(key)
    const state = maps?.get(CAPTURED_MAP)?.info.type === 'ringbuf' ? maps.get(CAPTURE_MAP) : undefined
    state?.put(Buffer.alloc(state.info.keySize), Buffer.alloc(state.info.valueSize))
  }

  /** Goes on with the maps of an object that was replaced in place. */
  renew(key: string, object: CompiledObject): void {
    const ring = this.rings.get(key)
    if (!ring) return
    ring.watch.close()
    const watch = this.watch(key, object, ring.listeners)
    if (watch) Object.assign(ring, { object, watch })
    else this.end(key)
  }

  /** The object is about to go. */
  end(key: string): void {
    const ring = this.rings.get(key)
    if (!ring) return
    for (const listener of [...ring.listeners]) listener.gone()
    this.shut(key, ring)
  }

  close(): void {
    for (const key of [...this.rings.keys()]) this.end(key)
  }

  private open(key: string, object: CompiledObject): Ring | undefined {
    const listeners = new Set<Listener>()
    const watch = this.watch(key, object, listeners)
    if (!watch) return undefined
    const ring = { object, listeners, watch }
    this.rings.set(key, ring)
    return ring
  }

  private watch(key: string, object: CompiledObject, listeners: Set<Listener>): Handle | undefined {
    const read = captureReader(object.spec)
    const map = this.loaded.maps(key)?.get(CAPTURED_MAP)
    if (!read || !map) return undefined
    const watch = this.bpf.ringBuffer(map, record => {
      const packet = read(record)
      for (const listener of listeners) listener.packet(packet)
    })
    this.want(key, object, true)
    return watch
  }

  private shut(key: string, { object, watch, listeners }: Ring): void {
    if (!this.rings.delete(key)) return
    listeners.clear()
    watch.close()
    this.want(key, object, false)
  }

  private want(key: string, { spec }: CompiledObject, wanted: boolean): void {
    const [[index, state]] = encodeEntries(spec.maps.get(CAPTURE_MAP)!, [captureState(wanted)]) as [[Buffer, Buffer]]
    this.loaded.maps(key)?.get(CAPTURE_MAP)?.put(index, state)
  }

  private lost(key: string, { object }: Ring): bigint[] {
    const [entry] = this.loaded.table(key, object.name, CAPTURE_MAP) ?? []
    return (entry?.value as { lost: bigint[] } | undefined)?.lost ?? []
  }
}
