// SPDX-License-Identifier: Apache-2.0
// Records of captures, as programs write them: how they are read.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { readObject, recordCodec } from '../catalogue/btf'
import { eth } from '../packets/frame'
import { captureReader } from './capture'

const object = (name: string) => readObject(readFileSync(join(__dirname, `../build/${name}.bpf.o`)))

test('a tag that the kernel keeps beside the frame stands in it again', () => {
  const [plain, tagged] = [eth().ipv4().udp().bytes(), eth().vlan(3).ipv4().udp().bytes()]
  const written = { time: 7n, length: plain.length, kept: plain.length, port: 1, tag: 3, tag_protocol: 0x8100, tagged: true }
  const record = recordCodec(object('mirror'), 'captured_packet')!.encode(written)
  const read = captureReader(object('mirror'))!(Buffer.concat([record, plain, Buffer.alloc(20)]))
  expect(read).toEqual({ time: 7n, length: tagged.length, port: 1, bytes: tagged })
})

test('an object that captures nothing has no reader', () => {
  expect(captureReader(object('firewall'))).toBeUndefined()
})
