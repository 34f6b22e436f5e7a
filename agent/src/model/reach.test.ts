// SPDX-License-Identifier: Apache-2.0
// Addresses that a function sends packets on to: those that no way can lead to are refused, and whatever may have a way is taken.

import { describe, expect, test } from '@jest/globals'
import type { InkevError } from '../../api/errors'
import { front, stitch, user } from '../../test/spread'
import type { Desired, ResourceType } from './desired'
import { requireReach } from './reach'

const network = (third: number) => ({
  vni: third,
  subnets: { v4: { cidr: `10.0.${third}.0/24` }, v6: { cidr: `fd00:${third}::/64` } }
})
const interfaces = {
  users: { address: '10.0.1.1/24', ipv6_address: 'fd00:1::1/64' },
  servers: { address: '10.0.2.1/24', ipv6_address: 'fd00:2::1/64' }
}

interface Given {
  address?: string
  mode?: string
  routes?: object
  port?: object
  stitches?: object
  functions?: object
  networks?: object
}

/** A user whose sessions `front` sends to one backend, by way of a router. */
function desired({
  address = '10.0.2.11',
  mode = 'nat',
  routes = {},
  port = {},
  stitches = { gw: stitch },
  functions = {},
  networks = {}
}: Given): Desired {
  const rows = {
    networks: { users: network(1), servers: network(2), ...networks },
    peers: {},
    endpoints: {},
    ports: { user: { ...user, ...port } },
    programs: {},
    functions: { front: front(address, mode), gateway: { router: { interfaces, routes } }, ...functions },
    stitches
  }
  return Object.fromEntries(Object.entries(rows).map(([type, all]) => [type, new Map(Object.entries(all))])) as unknown as Desired
}

function fault(given: Given, type: ResourceType = 'functions', name = 'front'): [string | undefined, string] | undefined {
  try {
    requireReach(desired(given), type, name)
    return undefined
  } catch (error) {
    const { path, message } = error as InkevError
    return [path, message]
  }
}

test('an address to which the gateway does not lead is refused, at the field that says it', () => {
  expect(fault({ address: '10.9.9.9' })).toEqual([
    'load_balancer.backends.web1.address',
    '10.9.9.9 lies behind no interface and no route of gateway, the gateway of port user'
  ])
  expect(fault({ address: 'fd09::9' })?.[0]).toBe('load_balancer.backends.web1.address')
})

test.each([
  ['ports', 'user', 'chain'],
  ['stitches', 'gw', ''],
  ['functions', 'gateway', '']
] as const)('what completes such a picture among %s is refused, and names the field', (type, name, path) => {
  expect(fault({ address: '10.9.9.9' }, type, name)).toEqual([
    path,
    expect.stringMatching(/^load_balancer.backends.web1.address of function front: 10.9.9.9 lies behind no interface/)
  ])
})

const elsewhere = { address: '10.9.9.9' }
test.each<[string, Given]>([
  ['a network of the gateway', {}],
  ['one of the other family', { address: 'fd00:2::11' }],
  ['a route of the gateway', { ...elsewhere, routes: { far: { destination: '10.9.0.0/16', via: '10.0.2.9', type: 'unicast' } } }],
  ['its default route', { ...elsewhere, routes: { all: { destination: '0.0.0.0/0', via: '10.0.2.9', type: 'unicast' } } }],
  ['a gateway that is not there yet', { ...elsewhere, stitches: {} }],
  [
    'a gateway that is no function',
    { ...elsewhere, functions: { gateway: { router: { interfaces: { users: { address: '10.0.1.2/24' } } } } } }
  ],
  ['a route of the workload', { ...elsewhere, port: { routes: { far: { destination: '203.0.113.0/24', via: '10.0.1.9' } } } }],
  ['a workload that has its routes from elsewhere', { ...elsewhere, port: { configure_addresses: false } }],
  ['another function behind it in the chain', { ...elsewhere, port: { chain: ['front', 'later'] } }],
  ['the link, in mode direct', { ...elsewhere, mode: 'direct' }]
])('an address that is reached by %s is taken', (_, given) => {
  expect(fault(given)).toBeUndefined()
})

describe('between a router and a network', () => {
  const between = {
    out: { a: { function: 'gateway', port: 'servers' }, b: { function: 'front', port: 'outside' } },
    in: { a: { network: 'servers' }, b: { function: 'front', port: 'inside' } },
    gw: stitch
  }
  const port = { chain: [] }
  const stitches = between
  const unicast = { type: 'unicast', destination: '10.9.0.0/16' }

  test('an address of neither is refused, at the field that says it', () => {
    expect(fault({ ...elsewhere, port, stitches })).toEqual([
      'load_balancer.backends.web1.address',
      '10.9.9.9 lies in no subnet of network servers, and behind no interface and no route of gateway, to which front is stitched'
    ])
    expect(fault({ address: 'fd09::9', port, stitches })?.[0]).toBe('load_balancer.backends.web1.address')
  })

  test.each([
    ['stitches', 'in'],
    ['stitches', 'out'],
    ['functions', 'gateway'],
    ['networks', 'servers']
  ] as const)('what completes such a picture among %s is refused, and names the field (%s)', (type, name) => {
    expect(fault({ ...elsewhere, port, stitches }, type, name)).toEqual([
      '',
      expect.stringMatching(/^load_balancer.backends.web1.address of function front: 10.9.9.9 lies in no subnet of network servers/)
    ])
  })

  test('two routers are judged as well', () => {
    const inner = { router: { interfaces: { servers: { address: '10.0.2.2/24' }, far: { address: '10.3.0.1/24' } } } }
    const stitches = { ...between, in: { a: { function: 'inner', port: 'servers' }, b: { function: 'front', port: 'inside' } } }
    expect(fault({ address: '10.3.0.9', port, stitches, functions: { inner } })).toBeUndefined()
    expect(fault({ ...elsewhere, port, stitches, functions: { inner } })?.[1]).toContain(
      'lies behind no interface and no route of inner, and behind'
    )
  })

  const { in: inward, out: outward, gw } = between
  test.each<[string, Given]>([
    ['the network', { stitches }],
    ['the network, in the other family', { address: 'fd00:2::11', stitches }],
    ['another network of the router', { address: '10.0.1.12', stitches }],
    ['a route of the router', { ...elsewhere, stitches, routes: { far: { ...unicast, via: '10.0.1.9' } } }],
    ['a route on the link', { ...elsewhere, stitches, routes: { far: { ...unicast, interface: 'servers' } } }],
    [
      'a station of the link that the router sends to',
      { ...elsewhere, stitches, routes: { any: { ...unicast, destination: '203.0.113.0/24', via: '10.0.2.9' } } }
    ],
    ['the link, in mode direct', { ...elsewhere, mode: 'direct', stitches }],
    ['a side that is not there yet', { ...elsewhere, stitches: { gw, outward } }],
    ['a network that is not there yet', { ...elsewhere, stitches: { gw, outward, inward: { ...inward, a: { network: 'later' } } } }],
    [
      'a function between',
      {
        ...elsewhere,
        functions: { rules: { firewall: {} } },
        stitches: { gw, inward, outward: { ...outward, a: { function: 'rules', port: 'inside' } } }
      }
    ],
    [
      'a workload as its gateway, between two networks',
      { ...elsewhere, stitches: { gw, inward, outward: { ...outward, a: { network: 'users' } } } }
    ]
  ])('an address that is reached by %s is taken', (_, given) => {
    expect(fault({ ...given, port })).toBeUndefined()
  })

  test('a network without a subnet of the family may be one of any', () => {
    const plain = { interfaces: { users: { address: '10.0.1.1/24' }, servers: { address: '10.0.2.1/24' } } }
    const given = { address: 'fd09::9', port, stitches, functions: { gateway: { router: plain } } }
    expect(fault(given)?.[1]).toContain('in no subnet of network servers')
    expect(fault({ ...given, networks: { servers: { vni: 2, subnets: { v4: { cidr: '10.0.2.0/24' } } } } })).toBeUndefined()
  })
})
