// SPDX-License-Identifier: Apache-2.0
// Faults in a DHCP server's configuration are refused with the attribute named, before any kernel sees them.

import { expect, test } from '@jest/globals'
import { validateConfig } from '../../catalogue/validate'
import { dhcp } from './dhcp'
import { CONFIG } from './testing'

const refusals: [string, Record<string, unknown>, string, string][] = [
  ['an IPv6 server address', { address: 'fd00::2/64' }, 'address', 'is no IPv4 address'],
  ["the subnet's own address", { address: '10.0.1.0/24' }, 'address', 'is no address of a host in 10.0.1.0/24'],
  ['a multicast MAC', { mac: '03:00:00:00:00:01' }, 'mac', 'multicast'],
  ['a gateway elsewhere', { gateway: '10.0.2.1' }, 'gateway', 'is no address of a host in 10.0.1.0/24'],
  ['itself as the gateway', { gateway: '10.0.1.2' }, 'gateway', "the server's own address"],
  ['no domain', { domain: 'a..b' }, 'domain', 'is not a domain name'],
  ['a lease too short', { lease_time: '59s' }, 'lease_time', 'is not from 60 s'],
  ['a lease too long', { lease_time: '90000d' }, 'lease_time', 'is not from 60 s'],
  ['an IPv6 route', { routes: { a: { destination: 'fd00::/64', via: '10.0.1.1' } } }, 'routes.a.destination', 'not an IPv4 prefix'],
  ['a route by a router elsewhere', { routes: { a: { destination: '10.9.0.0/16', via: '10.0.2.1' } } }, 'routes.a.via', 'in 10.0.1.0/24'],
  [
    'two routes to one destination',
    { routes: { a: { destination: '10.9.0.0/16', via: '10.0.1.1' }, b: { destination: '10.9.0.0/16', via: '10.0.1.3' } } },
    'routes.b.destination',
    'the destination of a too'
  ],
  ["the server's own option", { options: { a: { code: 51, type: 'u32', value: '7' } } }, 'options.a.code', "the server's own"],
  [
    'one option twice',
    { options: { a: { code: 66, value: 'x' }, b: { code: 66, value: 'y' } } },
    'options.b.code',
    'option 66 is in a too'
  ],
  ['a number too large', { options: { a: { code: 23, type: 'u8', value: '256' } } }, 'options.a.value', 'not a number from 0 to 255'],
  ['odd hexadecimal', { options: { a: { code: 43, type: 'hex', value: 'abc' } } }, 'options.a.value', 'not bytes in hexadecimal'],
  ['IPv6 where IPv4 belongs', { options: { a: { code: 42, type: 'ip', value: 'fd00::1' } } }, 'options.a.value', 'not an IPv4 address'],
  ['an empty option', { options: { a: { code: 66, value: '' } } }, 'options.a.value', 'at least one character'],
  ['more than fits', { options: { a: { code: 66, value: 'x'.repeat(200) } } }, 'options', '226 fit'],
  ['a binding elsewhere', { bindings: { a: { mac: '02:00:00:00:00:01', address: '10.0.2.5' } } }, 'bindings.a.address', 'in 10.0.1.0/24'],
  [
    "the server's address",
    { bindings: { a: { mac: '02:00:00:00:00:01', address: '10.0.1.2' } } },
    'bindings.a.address',
    'that of address too'
  ],
  [
    'one address for two',
    { bindings: { a: { mac: '02:00:00:00:00:01', address: '10.0.1.5' }, b: { mac: '02:00:00:00:00:02', address: '10.0.1.5' } } },
    'bindings.b.address',
    'that of bindings.a too'
  ],
  [
    'two addresses for one',
    { bindings: { a: { mac: '02:00:00:00:00:AA', address: '10.0.1.5' }, b: { mac: '02:00:00:00:00:aa', address: '10.0.1.6' } } },
    'bindings.b.mac',
    'that of bindings.a too'
  ]
]

test.each(refusals)('%s is refused', (_, fault, path, message) => {
  const { problems } = validateConfig(dhcp, { ...CONFIG, ...fault })
  expect(problems).toEqual([expect.objectContaining({ path, message: expect.stringContaining(message) })])
})

test('a server needs nothing but an address', () => {
  expect(validateConfig(dhcp, { address: '10.0.1.2/24' }).problems).toEqual([])
})
