// SPDX-License-Identifier: Apache-2.0
// Validation and planning of whole resources, as far as they need no agent.

import { describe, expect, test } from '@jest/globals'
import { descriptor } from './descriptor'
import { identityOf, validate } from './lifecycle'
import { resources } from './resources/index'
import { type Members, UNKNOWN } from './value'
import { complete } from './walk'

function faults(type: string, given: Members) {
  return validate(resources[type]!, complete(resources[type]!.attributes, given)).map(({ detail, path, summary }) => ({
    says: `${summary}: ${detail}`,
    at: path?.map(step => Object.values(step)[0]).join('.')
  }))
}

const network = (given: Members) => faults('inkev_network', { name: 'n', vni: 1, subnets: {}, ...given })

describe('validation', () => {
  test('finds nothing wrong with a good configuration', () => {
    expect(network({ subnets: { v4: { cidr: '10.0.0.0/24' } } })).toEqual([])
  })

  test.each<[string, Members, string, RegExp]>([
    ['a malformed CIDR', { subnets: { v4: { cidr: '10.0.0.0/33' } } }, 'subnets.v4', /subnets\.v4\.cidr.*10\.0\.0\.0\/33.*Write 10/],
    ['a name of odd characters', { name: 'My Net' }, 'name', /lower-case letters/],
    ['a VNI that does not fit', { vni: 16777216 }, 'vni', /16777215/],
    ['a key of odd characters', { subnets: { 'v 4': { cidr: '10.0.0.0/24' } } }, 'subnets.v 4', /not allowed/],
    ['hosts of odd names', { hosts: ['edge_1'] }, 'hosts.0', /edge_1/],
    ['no hosts at all', { hosts: [] }, 'hosts', /must not be empty/],
    ['a timeout without unit', { timeouts: { create: '5' } }, 'timeouts', /timeouts\.create.*duration/],
    ['subnets that overlap', { subnets: { a: { cidr: '10.0.0.0/24' }, b: { cidr: '10.0.0.128/25' } } }, 'subnets.b', /overlaps/]
  ])('refuses %s, on its attribute', (_wrong, given, at, says) => {
    expect(network(given)).toEqual([{ at, says: expect.stringMatching(says) }])
  })

  test('judges nothing that is unknown', () => {
    expect(network({ vni: UNKNOWN, subnets: { a: { cidr: UNKNOWN }, b: { cidr: '10.0.0.0/24' } } })).toEqual([])
    expect(network({ subnets: UNKNOWN, hosts: UNKNOWN })).toEqual([])
  })

  test('wants exactly one kind of a function', () => {
    const kinds = Object.keys(resources.inkev_function!.fields)
    expect(faults('inkev_function', { name: 'f' })[0]!.says).toMatch(/kind/)
    expect(kinds.length).toBeGreaterThan(1)
    expect(faults('inkev_function', { name: 'f', router: { interfaces: {} }, firewall: {} })[0]!.says).toMatch(
      /kinds router, firewall|kinds firewall, router/
    )
  })

  test('wants exactly one of netns and interface of a port', () => {
    const port = { name: 'p', host: 'edge-1', network: 'n' }
    expect(faults('inkev_port', port)[0]).toMatchObject({ at: 'netns', says: expect.stringMatching(/exactly one of netns and interface/) })
    expect(faults('inkev_port', { ...port, netns: 'a', interface: 'tap0' })).toHaveLength(1)
    expect(faults('inkev_port', { ...port, netns: 'a', interface: UNKNOWN })).toEqual([])
  })

  test('wants each end of a stitch to say one thing', () => {
    expect(faults('inkev_stitch', { a: { function: 'f', network: 'n', port: 'x' }, b: { network: 'n' } })[0]).toMatchObject({ at: 'a' })
    expect(faults('inkev_stitch', { a: { function: 'f', port: 'x' }, b: { network: 'n' } })).toEqual([])
  })
})

describe('a stitch without a name', () => {
  const names = (ends: Members) => [...resources.inkev_stitch!.names!(ends)]

  test('is named by what it joins', () => {
    expect(names({ a: { function: 'gateway', network: null, port: 'web', interface: null }, b: { network: 'web' } }).slice(0, 2)).toEqual([
      'gateway-web--web',
      'gateway-web--web-2'
    ])
  })

  test('has a name that the agent takes, whatever it joins', () => {
    const end = { function: 'f'.repeat(40), port: 'P_.x'.repeat(16) }
    for (const name of names({ a: end, b: end })) expect(name).toMatch(/^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/)
  })
})

describe('identity', () => {
  test('a port is known by its host and name', () => {
    expect(identityOf(resources.inkev_port!, { host: 'edge-1', name: 'p', mac: 'x' })).toEqual({ host: 'edge-1', name: 'p' })
    expect(identityOf(resources.inkev_port!, { name: 'p' })).toBeNull()
  })
})

describe('the descriptor', () => {
  test('is the same each time', () => {
    expect(descriptor()).toEqual(descriptor())
  })

  test('describes every attribute', () => {
    const { sha256: _, ...described } = descriptor()
    expect(JSON.stringify(described)).not.toMatch(/"description":""/)
    expect(JSON.stringify(described)).not.toMatch(/undefined/)
  })

  test('has no attribute of a name that generated bindings cannot have', () => {
    const names = Object.values(resources).flatMap(({ attributes }) => Object.keys(attributes))
    for (const reserved of ['node', 'id', 'count', 'provider', 'lifecycle', 'connection']) expect(names).not.toContain(reserved)
  })
})
