// SPDX-License-Identifier: Apache-2.0
// The reader of compiled objects and the codec of map values, on an object with one of every type.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type Codec, decodeEntries, decodePerCpu, encodeEntries, encodePerCpu, type ObjectSpec, readObject, sumPerCpu } from './btf'
import type { Value } from './define'

const bpf = join(__dirname, '..')
let scratch: string
let object: ObjectSpec

beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), 'inkev-btf-'))
  const built = join(scratch, 'types.bpf.o')
  execFileSync(process.execPath, [join(bpf, 'build.mjs'), 'object', join(__dirname, 'fixtures/types.bpf.c'), built])
  object = readObject(readFileSync(built))
})

afterAll(() => rmSync(scratch, { recursive: true, force: true }))

function side(map: string, which: 'key' | 'value'): Codec {
  return object.maps.get(map)![which]!
}

const scalars = {
  u8: 255,
  s16: -2,
  u32: 0xffffffff,
  u64: 0xffffffffffffffffn,
  be32: 1,
  yes: true,
  protocol: 'udp',
  timeout: 30_000_000_000n,
  rate: 10_000_000n,
  action: 'reject_all',
  other: 'PLAIN',
  text: 'inkev',
  list: [1, 2, 3]
}

const addresses = {
  v4: '10.0.0.1',
  v6: 'fd00::1',
  any: '192.0.2.7',
  prefix: '10.0.0.0/24',
  mac: '02:00:00:00:00:01',
  port: 443
}

const shapes = {
  to: [
    { target: 5, port: 2, kind: 1 },
    { target: 0, port: 0, kind: 0 }
  ],
  via: 'fd00::1',
  low: 5,
  high: 17,
  wide: 0xabc
}

describe('an object', () => {
  test('declares maps with their types, sizes, flags and pinning', () => {
    expect(object.maps.get('shapes')).toMatchObject({ type: 'lru_hash', maxEntries: 16, keySize: 4, perCpu: false, pinned: true })
    expect(object.maps.get('optionals')).toMatchObject({ type: 'lpm_trie', keySize: 20, valueSize: 8, flags: 1, pinned: false })
    expect(object.maps.get('counts')).toMatchObject({ type: 'percpu_array', perCpu: true })
    expect(object.maps.get('events')).toMatchObject({ type: 'ringbuf', maxEntries: 4096, keySize: 0, valueSize: 0 })
    expect(object.maps.get('events')!.key).toBeUndefined()
  })

  test('declares what the maps in a map of maps are like', () => {
    expect(object.maps.get('outer')).toMatchObject({
      type: 'array_of_maps',
      keySize: 4,
      inner: { type: 'hash', maxEntries: 4, keySize: 2 }
    })
  })

  test('declares its programs, and not the functions that these call', () => {
    expect([...object.programs.values()]).toEqual([
      { name: 'first', section: 'tc' },
      { name: 'second', section: 'tc' }
    ])
  })

  test.each([
    ['text', Buffer.from('int main;'.repeat(10)), 'not a 64-bit little-endian ELF object'],
    ['a program of this machine', readFileSync(process.execPath).subarray(0, 4096), 'not of BPF']
  ])('that is %s is refused', (_, bytes, reason) => {
    expect(() => readObject(bytes)).toThrow(reason)
  })
})

describe('a value', () => {
  test.each<[string, 'key' | 'value', Value]>([
    ['addresses', 'key', addresses],
    ['addresses', 'key', { ...addresses, any: 'fd00::7', prefix: '::/0' }],
    ['addresses', 'key', { ...addresses, prefix: '0.0.0.0/0' }],
    ['scalars', 'value', scalars],
    ['scalars', 'value', { ...scalars, protocol: 89, other: 'below', action: 'allow', text: '', yes: false }],
    ['shapes', 'value', shapes],
    ['optionals', 'key', 'fd00::/64'],
    ['optionals', 'value', { port: 443, size: 1 }],
    ['optionals', 'value', { size: 1 }]
  ])('of map %s is read as it was written (%s)', (map, which, value) => {
    expect(side(map, which).decode(side(map, which).encode(value))).toEqual(value)
  })

  test('has the bytes of the C struct: network order where the type says so, zero between members', () => {
    expect(side('addresses', 'key').encode(addresses).toString('hex')).toBe(
      [
        '0a000001',
        '00000000',
        'fd000000000000000000000000000001',
        '00000000000000000000ffffc0000207',
        '78000000',
        '00000000000000000000ffff0a000000',
        '020000000001',
        '01bb',
        '00000000'
      ].join('')
    )
    expect(side('shapes', 'value').encode(shapes).toString('hex')).toBe(
      ['0500000002000100', '0000000000000000', '0000000000000000', 'fd000000000000000000000000000001', '8d00bc0a', '00000000'].join('')
    )
  })

  test('may be written in the words that an operator uses', () => {
    const written = { ...scalars, timeout: '30s', rate: '10mbit', protocol: 17, action: 'reject-all', u64: 5, list: Uint8Array.of(9) }
    const read = side('scalars', 'value').decode(side('scalars', 'value').encode(written))
    expect(read).toEqual({ ...scalars, u64: 5n, list: [9, 0, 0] })
  })

  test('of a union is written by any one member and read by the first', () => {
    const { via: _, ...others } = shapes
    const bytes = side('shapes', 'value').encode({ ...others, to: [{ whole: 5n }], device: 0x0a })
    expect(side('shapes', 'value').decode(bytes)).toMatchObject({ to: [{ target: 5, port: 0, kind: 0 }, {}], via: 'a00::' })
  })

  test('of an enum that no word is for is read as its number', () => {
    const bytes = side('scalars', 'value').encode({ ...scalars, action: 3 })
    expect(side('scalars', 'value').decode(bytes)).toMatchObject({ action: 3 })
  })

  test.each<[string, Value, string]>([
    ['scalars', { ...scalars, u8: 256 }, 'value of map scalars u8: 256 does not fit: __u8 holds 0 to 255'],
    ['scalars', { ...scalars, s16: 40_000 }, 's16: 40000 does not fit: __s16 holds -32768 to 32767'],
    ['scalars', { ...scalars, u32: 1.5 }, 'u32: 1.5 is not an integer (__u32)'],
    ['scalars', { ...scalars, u32: '1' }, 'u32: "1" is not an integer (__u32)'],
    ['scalars', { ...scalars, yes: 1 }, 'yes: 1 is neither true nor false (bool_t)'],
    ['scalars', { ...scalars, action: 'allwo' }, 'action: "allwo" is not one of allow, reject_all (enum fixture_action)'],
    ['scalars', { ...scalars, timeout: '30' }, 'timeout: "30" is not a duration such as 30s or 5m (duration_t)'],
    ['scalars', { ...scalars, text: 'too long' }, 'text: "too long" has more than 7 bytes (char[8])'],
    ['scalars', { ...scalars, list: [1, 2, 3, 4] }, 'list: 4 values do not fit __u16[3]'],
    ['scalars', { ...scalars, list: [1, -1] }, 'list[1]: -1 does not fit: __u16 holds 0 to 65535'],
    ['scalars', { ...scalars, colour: 1 }, 'colour: there is no such field in struct scalars, which has u8,'],
    ['scalars', { u8: 1 }, 's16: is missing (__s16 in struct scalars)'],
    ['scalars', 5, 'value of map scalars: 5 is not a record (struct scalars)'],
    ['shapes', { ...shapes, to: [{ target: 1, whole: 1n }] }, 'to[0]: exactly one of target+port+kind, whole is needed (union attachment)'],
    ['shapes', { ...shapes, to: [{ target: 1, port: 2 }] }, 'to[0].kind: is missing (__u8 in struct)'],
    ['shapes', { ...shapes, device: 1 }, 'exactly one of via, device is needed (union)'],
    ['shapes', { ...shapes, high: 32 }, 'high: 32 does not fit: __u8 has 5 bits here'],
    ['optionals', { size: 1, has_port: true }, 'has_port: there is no such field']
  ])('of map %s that does not fit is refused, and the field is named (%#)', (map, value, message) => {
    expect(() => side(map, 'value').encode(value)).toThrow(message)
  })

  test.each<[string, Value]>([
    ['v4: fd00::1 is not an IPv4 address (ipv4_t)', { ...addresses, v4: 'fd00::1' }],
    ['v6: 10.0.0.1 is not an IPv6 address (ipv6_t)', { ...addresses, v6: '10.0.0.1' }],
    ['any: "web" is not an IP address (ip_t)', { ...addresses, any: 'web' }],
    ['prefix: 10.0.0.0/33: the length of an IPv4 prefix is at most 32 (prefix_t)', { ...addresses, prefix: '10.0.0.0/33' }],
    ['mac: "02" is not a MAC address', { ...addresses, mac: '02' }],
    ['port: 70000 does not fit: port_t holds 0 to 65535', { ...addresses, port: 70_000 }]
  ])('with a wrong address is refused: %s', (message, value) => {
    expect(() => side('addresses', 'key').encode(value)).toThrow(`key of map addresses ${message}`)
  })

  test('is not read from too few or too many bytes', () => {
    expect(() => side('optionals', 'value').decode(Buffer.alloc(7))).toThrow(
      'value of map optionals: 7 bytes are no struct optional, which has 8'
    )
  })
})

describe('entries', () => {
  test('become bytes and back', () => {
    const map = object.maps.get('optionals')!
    const entries = [{ key: '10.0.0.0/8', value: { port: 80, size: 1 } }]
    expect(decodeEntries(map, encodeEntries(map, entries))).toEqual(entries)
    expect(() => encodeEntries(object.maps.get('events')!, entries)).toThrow('map events: its keys and values have no types in BTF')
  })

  test('of a per-CPU map have a value for each CPU, at multiples of eight bytes', () => {
    const map = object.maps.get('counts')!
    const bytes = encodePerCpu(map.value!, 7, 3)
    expect(bytes.length).toBe(24)
    expect(decodePerCpu(map.value!, bytes)).toEqual([7, 7, 7])
    expect(sumPerCpu(map.value!, bytes)).toBe(21n)
    expect(decodeEntries(map, [[map.key!.encode(1), bytes]])).toEqual([{ key: 1, value: [7, 7, 7] }])
  })
})
