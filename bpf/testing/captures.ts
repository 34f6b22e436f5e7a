// SPDX-License-Identifier: Apache-2.0
// Listens to a function that captures (core/capture.h), as the agent does.

import { native } from '@inkev/native'
import { CAPTURE_MAP, CAPTURED_MAP, type CapturedPacket, captureReader, captureState } from '../core/capture'
import type { TestedFunction } from './harness'

export interface CaptureReader {
  /** The first packets, so many of them: resolves when they have come. */
  packets(count: number): Promise<CapturedPacket[]>
  /** Packets for which there was no room, by port. */
  lost(): bigint[]
}

/** Until the function is closed. `read`: whether packets are taken out of the ring, or it fills up. */
export function readCaptures(tested: TestedFunction, { read = true } = {}): CaptureReader {
  const { object, spec } = tested.loaded
  const decode = captureReader(spec)!
  const taken: CapturedPacket[] = []
  let heard = () => {}
  const { key, value } = captureState(true)
  tested.table(CAPTURE_MAP).put(key, value)
  const watch = read
    ? native.bpf.ringBuffer(object.maps.get(CAPTURED_MAP)!, record => {
        taken.push(decode(record))
        heard()
      })
    : undefined
  return {
    packets: count =>
      new Promise(resolve => {
        heard = () => {
          if (taken.length < count) return
          watch?.close()
          resolve(taken)
        }
        heard()
      }),
    lost: () => (tested.table(CAPTURE_MAP).get(0) as { lost: bigint[] }).lost
  }
}
