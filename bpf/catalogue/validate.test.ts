// SPDX-License-Identifier: Apache-2.0
// What a configuration may say: defaults, and the sentences for what it may not.

import { describe, expect, test } from '@jest/globals'
import { balancer } from './fixtures/balancer'
import { validateConfig } from './validate'

const valid = { address: '203.0.113.7', listen: 443, servers: { a: { address: '10.0.0.1' } } }

describe('a valid configuration', () => {
  test('comes back with the defaults of its fields and rows filled in', () => {
    const given = structuredClone(valid)
    expect(validateConfig(balancer, given)).toEqual({
      config: {
        ...valid,
        mode: 'nat',
        sticky: true,
        timeout: '30s',
        protocol: 'tcp',
        sessions: 1024,
        resolvers: [],
        servers: { a: { address: '10.0.0.1', ports: '443', health: 'tcp', weight: 1 } }
      },
      problems: []
    })
    expect(given).toEqual(valid)
  })

  test('that the kind itself finds fault with is told so', () => {
    expect(validateConfig(balancer, { ...valid, servers: {} }).problems).toEqual([{ path: 'servers', message: 'there must be a server' }])
  })
})

describe('a configuration is refused', () => {
  test.each<[string, unknown, string, string]>([
    ['that is no object', [], '', '[] is not an object'],
    ['that lacks a field', { listen: 1, servers: {} }, 'address', 'is required'],
    ['with an unknown field', { ...valid, adress: 1 }, 'adress', 'there is no such attribute'],
    ['with a null', { ...valid, sticky: null }, 'sticky', 'null is neither true nor false'],
    ['with text for a number', { ...valid, listen: '443' }, 'listen', '"443" is not a whole number from 1 to 65535'],
    ['with a number out of range', { ...valid, listen: 0 }, 'listen', '0 is not a whole number from 1 to 65535'],
    ['with half a number', { ...valid, listen: 1.5 }, 'listen', '1.5 is not a whole number from 1 to 65535'],
    ['with a number for text', { ...valid, timeout: 30 }, 'timeout', '30 is not text'],
    ['with a word that is no choice', { ...valid, mode: 'dsr' }, 'mode', '"dsr" is not one of nat, direct-return'],
    ['with an address of the other family', { ...valid, address: 'fd00::1' }, 'address', 'fd00::1 is not an IPv4 address'],
    ['with no address', { ...valid, source: '10.0.0.300' }, 'source', '"10.0.0.300" is not an IP address'],
    [
      'with host bits in a prefix',
      { ...valid, clients: '10.0.0.7/8' },
      'clients',
      '10.0.0.7/8 has host bits set; its network is 10.0.0.0/8'
    ],
    ['with no MAC', { ...valid, hardware: '02:00' }, 'hardware', '"02:00" is not a MAC address such as 02:00:00:00:00:01'],
    ['with a duration that has no unit', { ...valid, timeout: '30' }, 'timeout', '"30" is not a duration'],
    ['with packets for bits', { ...valid, limit: '10pps' }, 'limit', '"10pps" is not a rate'],
    ['with an unknown protocol', { ...valid, protocol: '300' }, 'protocol', '"300" is not an IP protocol'],
    ['with too long a list', { ...valid, resolvers: ['::1', '::1', '::1'] }, 'resolvers', '3 entries are too many'],
    ['with a wrong item in a list', { ...valid, resolvers: ['::1', 'x'] }, 'resolvers.1', '"x" is not an IP address'],
    ['with a list for a table', { ...valid, servers: [] }, 'servers', '[] is not an object'],
    ['with a key of odd characters', { ...valid, servers: { 'a b': { address: '::1' } } }, 'servers.a b', 'the key "a b" is not allowed'],
    ['with a row that lacks a field', { ...valid, servers: { a: {} } }, 'servers.a.address', 'is required'],
    [
      'with ports in the wrong order',
      { ...valid, servers: { a: { address: '::1', ports: '9-8' } } },
      'servers.a.ports',
      '"9-8" is not a port from 1 to 65535 or a range of them'
    ]
  ])('%s', (_, config, path, message) => {
    expect(validateConfig(balancer, config).problems).toMatchObject([{ path, message }])
  })

  test('with too many rows, and with each fault that these have', () => {
    const row = { address: 'web' }
    const { problems } = validateConfig(balancer, { ...valid, servers: { a: row, b: row, c: row } })
    expect(problems.map(({ path }) => path)).toEqual(['servers', 'servers.a.address', 'servers.b.address', 'servers.c.address'])
  })

  test('without telling a secret', () => {
    const { problems } = validateConfig(balancer, { ...valid, secret: 'hunter2hunter2' })
    expect(problems).toEqual([{ path: 'secret', message: 'the value is not of the right form' }])
  })

  test('with a hint how to write it', () => {
    expect(validateConfig(balancer, { ...valid, clients: 'all' }).problems[0]!.hint).toBe('Write 10.0.1.0/24 or fd00:1::/64.')
  })
})
