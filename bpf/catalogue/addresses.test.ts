// SPDX-License-Identifier: Apache-2.0
// Addresses: what is read, compared and written.

import { describe, expect, test } from '@jest/globals'
import {
  cidrContains,
  cidrOf,
  cidrOverlaps,
  derivedMac,
  firstHost,
  formatIp,
  ipBytes,
  ipFromBytes,
  isHostAddress,
  normalise,
  parseCidr,
  parseInterfaceAddress,
  parseIp,
  parseMac
} from './addresses'

describe('an IP address', () => {
  test.each([
    ['10.0.0.1', '10.0.0.1'],
    ['::', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['FD00:0:0:0:0:0:0:1', 'fd00::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['100:0:0:10:0:0:0:0', '100:0:0:10::'],
    ['64:ff9b::10.0.0.1', '64:ff9b::a00:1'],
    ['::ffff:10.0.0.1', '10.0.0.1']
  ])('%s is written as %s', (text, canonical) => {
    expect(formatIp(parseIp(text))).toBe(canonical)
    expect(formatIp(ipFromBytes(ipBytes(parseIp(text))))).toBe(canonical)
  })

  test.each(['', '10.0.0', '10.0.0.256', '010.0.0.1', 'fd00', 'fe80::1%eth0', '1::2::3', 'web'])('%p is refused', text => {
    expect(() => parseIp(text)).toThrow(RangeError)
  })
})

describe('a prefix', () => {
  test('with host bits set is refused, and the one that was meant is named', () => {
    expect(() => parseCidr('10.0.0.7/24')).toThrow('10.0.0.7/24 has host bits set; its network is 10.0.0.0/24')
    expect(() => parseCidr('fd00::1/64')).toThrow('fd00::/64')
  })

  test.each(['10.0.0.0', '10.0.0.0/33', 'fd00::/129', '10.0.0.0/', '10.0.0.0/8/8', '10.0.0.0/-1'])('%p is refused', text => {
    expect(() => parseInterfaceAddress(text)).toThrow(RangeError)
  })

  test('contains the addresses and the smaller prefixes of its own family', () => {
    expect(cidrContains('10.0.0.0/24', '10.0.0.255')).toBe(true)
    expect(cidrContains('10.0.0.0/24', '10.0.1.0')).toBe(false)
    expect(cidrContains('10.0.0.0/8', '10.1.0.0/16')).toBe(true)
    expect(cidrContains('10.1.0.0/16', '10.0.0.0/8')).toBe(false)
    expect(cidrContains('::/0', '10.0.0.1')).toBe(false)
    expect(cidrContains('fd00::/64', 'fd00::ffff')).toBe(true)
  })

  test('overlaps another when one lies in the other', () => {
    expect(cidrOverlaps('10.0.0.0/8', '10.1.0.0/16')).toBe(true)
    expect(cidrOverlaps('10.1.0.0/16', '10.0.0.0/8')).toBe(true)
    expect(cidrOverlaps('10.0.0.0/24', '10.0.1.0/24')).toBe(false)
  })

  test.each([
    ['10.0.0.0/24', '10.0.0.1'],
    ['10.0.0.4/31', '10.0.0.4'],
    ['10.0.0.4/32', '10.0.0.4'],
    ['fd00::/64', 'fd00::1'],
    ['fd00::2/127', 'fd00::2']
  ])('%s has the first host address %s', (cidr, first) => {
    expect(firstHost(cidr)).toBe(first)
  })

  test("gives its hosts neither the network's own address nor the broadcast address", () => {
    expect(['10.0.0.0', '10.0.0.1', '10.0.0.254', '10.0.0.255', '10.0.1.1'].map(address => isHostAddress('10.0.0.0/24', address))).toEqual([
      false,
      true,
      true,
      false,
      false
    ])
    expect(isHostAddress('10.0.0.0/31', '10.0.0.0')).toBe(true)
    expect(isHostAddress('fd00::/64', 'fd00::ffff:ffff:ffff:ffff')).toBe(true)
  })

  test('is found from an interface address', () => {
    expect(cidrOf('10.0.1.1/24')).toBe('10.0.1.0/24')
    expect(cidrOf('fd00:1::1/64')).toBe('fd00:1::/64')
  })
})

test('equal things normalise to equal texts, and other texts stay as they are', () => {
  expect(['FD00:0::1', 'fd00:0::/64', '02:AB:00:00:00:01', '10.0.0.1/24', 'web', 'a/b'].map(normalise)).toEqual([
    'fd00::1',
    'fd00::/64',
    '02:ab:00:00:00:01',
    '10.0.0.1/24',
    'web',
    'a/b'
  ])
})

test('a MAC derived from names is the same each time, local, unicast, and another for other names', () => {
  const mac = derivedMac('web', 'web1')
  expect(derivedMac('web', 'web1')).toBe(mac)
  expect(derivedMac('webw', 'eb1')).not.toBe(mac)
  expect(parseMac(mac)[0]! & 0x03).toBe(0x02)
})
