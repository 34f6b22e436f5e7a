// SPDX-License-Identifier: Apache-2.0
// Texts that differ and mean the same.

import { duration, group, ip, list, mac, portRange, protocol, rate, text } from '@inkev/bpf/catalogue/fields'
import { describe, expect, test } from '@jest/globals'
import { hostSet } from './resource'
import { isSame } from './same'
import { attributesOf } from './schema'
import type { Value } from './value'

const doc = ''
const attributes = attributesOf(
  group({
    ip: ip({ doc }),
    ips: list(ip({ doc }), { doc }),
    mac: mac({ doc }),
    duration: duration({ doc }),
    rate: rate({ doc }),
    protocol: protocol({ doc }),
    ports: portRange({ doc }),
    text: text({ doc }),
    hosts: hostSet(doc)
  })
)

const same = (attribute: string, a: Value, b: Value) => isSame(attributes[attribute]!, a, b)

describe('means the same:', () => {
  test.each<[string, Value, Value]>([
    ['ip', 'FD00:0::1', 'fd00::1'],
    ['ips', ['FD00:0::1', '10.0.0.1'], ['fd00::1', '10.0.0.1']],
    ['mac', '02:00:00:00:00:AA', '02:00:00:00:00:aa'],
    ['duration', '300s', '5m'],
    ['rate', '1000kbit', '1mbit'],
    ['protocol', '6', 'tcp'],
    ['ports', '80', '80-80'],
    ['hosts', ['b', 'a'], ['a', 'b']],
    ['ips', [], null]
  ])('%s %j and %j', (attribute, a, b) => expect(same(attribute, a, b)).toBe(true))
})

describe('differs:', () => {
  test.each<[string, Value, Value]>([
    ['ip', 'fd00::1', 'fd00::2'],
    ['ips', ['10.0.0.1', '10.0.0.2'], ['10.0.0.2', '10.0.0.1']],
    ['duration', '300s', '6m'],
    ['duration', 'soon', '5m'],
    ['text', 'A', 'a'],
    ['text', '', null]
  ])('%s %j and %j', (attribute, a, b) => expect(same(attribute, a, b)).toBe(false))
})
