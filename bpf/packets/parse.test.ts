// SPDX-License-Identifier: Apache-2.0
// What the reader of frames makes of packets that only look like others.

import { expect, test } from '@jest/globals'
import { eth, VXLAN_PORT } from './frame'
import { parse } from './parse'

const toVxlanPort = eth().ipv4().udp({ dport: VXLAN_PORT })

test('a tunnelled frame is read with what carries it', () => {
  const parsed = parse(toVxlanPort.vxlan(100).eth().ipv4().udp({ dport: 53 }).bytes())
  expect(parsed).toMatchObject({ udp: { dport: VXLAN_PORT }, vxlan: { vni: 100, inner: { udp: { dport: 53 } } } })
})

test.each([0, 8, 21])('a datagram to the port of VXLAN with %i bytes is a datagram', length => {
  const parsed = parse(toVxlanPort.payload(length).bytes())
  expect(parsed).toMatchObject({ udp: { dport: VXLAN_PORT }, payload: Buffer.alloc(length, 'x') })
  expect(parsed.vxlan).toBeUndefined()
})
