// SPDX-License-Identifier: Apache-2.0
// A test's hands on a device: frames that come in there are taken down, and frames can be made to come in.

import { setTimeout as sleep } from 'node:timers/promises'
import { type Handle, type Link, type Netns, native } from '@inkev/native'
import { Frame } from '../packets/frame'
import { encodeContext } from '../packets/skb'
import { LoadedObject } from './instance'

export interface Captured {
  /** Of the whole frame; `bytes` has no more than 2048 of it. */
  length: number
  /** Of a train of segments: bytes of payload in each; else 0. */
  gso_size: number
  bytes: Buffer
}

/** How long nothing must come in for all to have come in. */
const QUIET_MS = 60
const STEP_MS = 20
const LIMIT_MS = 3000

export class Wire {
  private readonly records: Captured[] = []
  private readonly link: Link
  private readonly ring: Handle

  private constructor(
    private readonly object: LoadedObject,
    private readonly netns: Netns,
    private readonly ifindex: number
  ) {
    this.link = object.program('capture').attachTcx(ifindex, 'ingress', netns)
    this.ring = native.bpf.ringBuffer(object.object.maps.get('captured')!, record => this.records.push(decode(record)))
  }

  static async at(netns: Netns, ifindex: number): Promise<Wire> {
    return new Wire(await LoadedObject.load('wire', { number: 0 }), netns, ifindex)
  }

  /** The frame comes in at the device. */
  inject(frame: Frame | Uint8Array): void {
    const data = frame instanceof Frame ? frame.bytes() : frame
    const context = encodeContext({ cb: [], mark: this.ifindex, gso_size: 0 })
    const { verdict } = this.object.program('inject').testRun({ data, context, netns: this.netns })
    if (verdict !== 0) throw new Error(`the frame was not taken: ${verdict}`)
  }

  /** What has come in since the last call, once it is quiet. */
  async captured(): Promise<Captured[]> {
    for (let quiet = 0, waited = 0, seen = -1; quiet < QUIET_MS && waited < LIMIT_MS; waited += STEP_MS) {
      await sleep(STEP_MS)
      quiet = this.records.length === seen ? quiet + STEP_MS : 0
      seen = this.records.length
    }
    return this.records.splice(0)
  }

  close(): void {
    this.ring.close()
    this.link.detach()
    this.link.close()
    this.object.close()
  }
}

/** As struct captured in wire.bpf.c. The kernel keeps the tag of a frame beside it: it is put back. */
function decode(record: Buffer): Captured {
  const [length, gso_size, tagged, tci] = [0, 4, 8, 12].map(offset => record.readUInt32LE(offset)) as [number, number, number, number]
  const frame = record.subarray(16, 16 + Math.min(length, record.length - 16))
  const tag = Buffer.from([0x81, 0x00, tci >> 8, tci & 0xff])
  return { length, gso_size, bytes: tagged ? Buffer.concat([frame.subarray(0, 12), tag, frame.subarray(12)]) : Buffer.from(frame) }
}
