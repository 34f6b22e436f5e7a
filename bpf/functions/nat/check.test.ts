// SPDX-License-Identifier: Apache-2.0
// What a NAT refuses before it comes near a kernel.

import { expect, test } from '@jest/globals'
import { validateConfig } from '../../catalogue/validate'
import { checkChainedNat } from './check'
import { nat } from './nat'

const source = { source: '10.0.0.0/16', pool: '203.0.113.1/32' }
const forward = { address: '203.0.113.1', protocol: 'tcp', ports: '80', to_address: '10.0.0.1' }

test.each([
  ['sources.a.pool', { sources: { a: { ...source, pool: '2001:db8::1/128' } } }, 'is not of the IP version'],
  ['sources.a.pool', { sources: { a: { ...source, pool: '203.0.0.0/16' } } }, '256 can be used'],
  ['sources.b.source', { sources: { a: source, b: source } }, 'is in sources.a already'],
  [
    'sources.b.endpoint_independent',
    { sources: { a: source, b: { ...source, source: '10.1.0.0/16', endpoint_independent: true } } },
    'shares outside ports'
  ],
  ['forwards.a.to_address', { forwards: { a: { ...forward, to_address: 'fd00::1' } } }, 'is not of the IP version'],
  ['forwards.a.ports', { forwards: { a: { ...forward, ports: undefined } } }, 'is missing'],
  ['forwards.a.protocol', { forwards: { a: { ...forward, protocol: undefined } } }, 'is missing'],
  ['forwards.a.to_port', { forwards: { a: { address: '203.0.113.1', to_address: '10.0.0.1', to_port: 1 } } }, 'has no meaning'],
  ['forwards.a.to_port', { forwards: { a: { ...forward, ports: '80-89', to_port: 65_530 } } }, 'go beyond 65535'],
  ['forwards.b.ports', { forwards: { a: { ...forward, ports: '70-90' }, b: forward } }, 'is forwarded by forwards.a already'],
  [
    'forwards',
    { forwards: { a: { ...forward, ports: '1-65535' }, b: { ...forward, address: '203.0.113.2', ports: '1-65535' } } },
    'more than 65536 ports'
  ],
  ['floating.a.outside', { floating: { a: { inside: '10.0.0.1', outside: 'fd00::1' } } }, 'is not of the IP version'],
  ['floating.a.outside', { sources: { s: source }, floating: { a: { inside: '10.0.0.1', outside: '203.0.113.1' } } }, 'of sources.s'],
  ['floating.a.outside', { forwards: { f: forward }, floating: { a: { inside: '10.0.0.1', outside: '203.0.113.1' } } }, 'of forwards.f'],
  [
    'floating.b.inside',
    { floating: { a: { inside: '10.0.0.1', outside: '203.0.113.8' }, b: { inside: '10.0.0.1', outside: '203.0.113.9' } } },
    'is in floating.a already'
  ],
  ['gateways.b.ports', { gateways: { a: { ports: '1024-2047' }, b: { ports: '2047-3000' } } }, 'are in part those of gateways.a'],
  ['gateways.a.ports', { sources: { s: source }, gateways: { a: { ports: '80-90' } } }, 'none of the ports of sources.s'],
  ['prefixes.a.inside', { prefixes: { a: { inside: '10.0.0.0/8', outside: '11.0.0.0/8' } } }, 'only IPv6'],
  ['prefixes.a.inside', { prefixes: { a: { inside: 'fd00::/80', outside: '2001:db8::/80' } } }, 'longer than 64'],
  ['prefixes.a.outside', { prefixes: { a: { inside: 'fd00::/48', outside: '2001:db8::/56' } } }, 'is not as long as'],
  [
    'prefixes.b.outside',
    { prefixes: { a: { inside: 'fd00::/48', outside: '2001:db8::/48' }, b: { inside: 'fd01::/48', outside: '2001:db8::/48' } } },
    'overlaps prefixes.a'
  ]
])('%s is refused: %j', (path, config, message) => {
  expect(validateConfig(nat, config).problems).toEqual([expect.objectContaining({ path, message: expect.stringContaining(message) })])
})

test('gateways are refused in the chain of a port, and nothing else is', () => {
  const { config } = validateConfig(nat, { sources: { s: source }, gateways: { a: { ports: '1024-2047' } } })
  expect(checkChainedNat(config as never)).toEqual([expect.objectContaining({ path: 'gateways' })])
  expect(checkChainedNat({ ...config, gateways: {} } as never)).toEqual([])
})
