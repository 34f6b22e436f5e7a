// SPDX-License-Identifier: Apache-2.0
// A strict reader of pcapng (draft-ietf-opsawg-pcapng), written from the format alone: it throws at the first thing that is not as it says.

import { strict as assert } from 'node:assert'

export interface ReadInterface {
  name: string
  snapLength: number
  /** Of its statistics, once they are there. */
  statistics?: { received: bigint; dropped: bigint; droppedBySystem: bigint; delivered: bigint; comment: string }
}

export interface ReadPacket {
  interface: string
  time: bigint
  length: number
  bytes: Buffer
  lost: bigint
}

export interface ReadCapture {
  interfaces: ReadInterface[]
  packets: ReadPacket[]
}

/** `partial`: the last block may be cut off. */
export function readPcapng(file: Buffer, { partial = false } = {}): ReadCapture {
  const capture: ReadCapture = { interfaces: [], packets: [] }
  let at = 0
  while (at < file.length) {
    if (partial && (file.length - at < 8 || file.length - at < file.readUInt32LE(at + 4))) break
    const length = file.readUInt32LE(at + 4)
    assert(length >= 12 && length % 4 === 0 && at + length <= file.length, `block at ${at} has a length of ${length}`)
    assert.equal(file.readUInt32LE(at + length - 4), length, `the lengths of the block at ${at} differ`)
    readBlock(capture, file.readUInt32LE(at), file.subarray(at + 8, at + length - 4), at === 0)
    at += length
  }
  return capture
}

function readBlock(capture: ReadCapture, type: number, body: Buffer, first: boolean): void {
  assert.equal(type === 0x0a0d0d0a, first, 'a section header is the first block and the only one')
  switch (type) {
    case 0x0a0d0d0a:
      assert.deepEqual([body.readUInt32LE(), body.readUInt16LE(4), body.readUInt16LE(6)], [0x1a2b3c4d, 1, 0])
      assert.equal(body.readBigInt64LE(8), -1n)
      readOptions(body.subarray(16))
      break
    case 1: {
      const options = readOptions(body.subarray(8))
      assert.equal(body.readUInt16LE(), 1, 'a link type other than Ethernet')
      assert.deepEqual(options.get(9), Buffer.from([9]), 'times are in nanoseconds')
      capture.interfaces.push({ name: String(options.get(2)), snapLength: body.readUInt32LE(4) })
      break
    }
    case 6: {
      const described = interfaceAt(capture, body)
      const [kept, length] = [body.readUInt32LE(12), body.readUInt32LE(16)]
      assert(kept <= length && kept <= described.snapLength, `${kept} bytes of ${length}, at most ${described.snapLength}`)
      const options = readOptions(body.subarray(20 + kept + (-kept & 3)))
      capture.packets.push({
        interface: described.name,
        time: timeAt(body, 4),
        length,
        bytes: body.subarray(20, 20 + kept),
        lost: options.get(4)?.readBigUInt64LE() ?? 0n
      })
      break
    }
    case 5: {
      const described = interfaceAt(capture, body)
      const options = readOptions(body.subarray(12))
      const count = (code: number) => options.get(code)!.readBigUInt64LE()
      assert(timeAt(options.get(2)!, 0) <= timeAt(options.get(3)!, 0), 'it ends before it starts')
      assert.equal(described.statistics, undefined, 'statistics come once')
      described.statistics = {
        received: count(4),
        dropped: count(5),
        droppedBySystem: count(7),
        delivered: count(8),
        comment: String(options.get(1))
      }
      break
    }
    default:
      assert.fail(`a block of type ${type}`)
  }
}

function interfaceAt({ interfaces }: ReadCapture, body: Buffer): ReadInterface {
  const described = interfaces[body.readUInt32LE()]
  assert(described, 'an interface is described before it is named')
  return described
}

function timeAt(bytes: Buffer, at: number): bigint {
  return (BigInt(bytes.readUInt32LE(at)) << 32n) | BigInt(bytes.readUInt32LE(at + 4))
}

function readOptions(bytes: Buffer): Map<number, Buffer> {
  const options = new Map<number, Buffer>()
  for (let at = 0; at < bytes.length; ) {
    const [code, length] = [bytes.readUInt16LE(at), bytes.readUInt16LE(at + 2)]
    at += 4 + length + (-length & 3)
    assert(at <= bytes.length, `option ${code} is longer than its block`)
    if (code === 0) assert.equal(at, bytes.length, 'options go on behind their end')
    else options.set(code, bytes.subarray(at - length - (-length & 3), at - (-length & 3)))
  }
  return options
}
