// SPDX-License-Identifier: Apache-2.0
// What is refused beside all else that a run has planned so far, on the attribute that says it.

import type { Host } from '@inkev/agent/api/resources'
import { front, stitch, user } from '@inkev/agent/test/spread'
import { DEFAULT_POLICY } from '@inkev/bpf/catalogue/policy'
import { uploadOf } from '@inkev/bpf/testing/program'
import { expect, test } from '@jest/globals'
import type { Agent } from './agent'
import { errorDiagnostics } from './diagnostics'
import { resources } from './resources/index'
import type { Members } from './value'
import { World } from './world'

const hosts = ['edge-1']

/** A run that has planned a user whose sessions `front` spreads, and a gateway to one network only. */
function planned(): World {
  const world = new World(new Map([['edge-1', {} as Agent]]))
  const gateway = { router: { interfaces: { users: { address: '10.0.1.1/24' } } } }
  world.intend('functions', { name: 'front', hosts, body: front('10.0.1.12', 'nat') })
  world.intend('functions', { name: 'gateway', hosts, body: gateway })
  world.intend('networks', { name: 'users', hosts, body: { vni: 1, subnets: { v4: { cidr: '10.0.1.0/24' } } } })
  world.intend('ports', { name: 'user', hosts, body: user })
  world.intend('stitches', { name: 'gw', hosts, body: stitch })
  return world
}

/** Summaries and details of what the plan of one more object is told. */
function told(world: World, type: string, rest: 'functions' | 'ports' | 'stitches', name: string, body: Members): [string, string][] {
  try {
    world.intend(rest, { name, hosts, body })
    return []
  } catch (error) {
    return errorDiagnostics(error, resources[type]!.attributes).map(({ detail, summary }) => [summary, detail])
  }
}

test('a backend that its clients’ gateway does not lead to is refused at its address', () => {
  expect(told(planned(), 'inkev_function', 'functions', 'front', front('10.9.9.9', 'nat'))).toEqual([
    [
      'Invalid load_balancer.backends.web1.address',
      expect.stringMatching(/^10\.9\.9\.9 lies behind no interface and no route of gateway, the gateway of port user\. Take/)
    ]
  ])
})

test('it is refused at the chain where the port is planned last', () => {
  const world = planned()
  world.forget('ports', 'user')
  expect(told(world, 'inkev_function', 'functions', 'front', front('10.9.9.9', 'nat'))).toEqual([])
  expect(told(world, 'inkev_port', 'ports', 'user', user)).toEqual([
    ['Invalid chain', expect.stringContaining('load_balancer.backends.web1.address')]
  ])
})

test('of a balancer between router and network it is refused with the stitch that is planned last', () => {
  const world = planned()
  world.forget('ports', 'user')
  world.forget('stitches', 'gw')
  const out = { a: { function: 'gateway', port: 'users' }, b: { function: 'front', port: 'outside' } }
  world.intend('stitches', { name: 'out', hosts, body: out })
  expect(told(world, 'inkev_function', 'functions', 'front', front('10.9.9.9', 'nat'))).toEqual([])
  expect(told(world, 'inkev_stitch', 'stitches', 'in', { a: { network: 'users' }, b: { function: 'front', port: 'inside' } })).toEqual([
    [
      'Invalid configuration',
      expect.stringContaining(
        'load_balancer.backends.web1.address of function front: 10.9.9.9 lies in no subnet of network users, and behind'
      )
    ]
  ])
})

test('a program that the policy of one of its hosts does not allow is refused at the path of its file', () => {
  const programs = { ...DEFAULT_POLICY, max_elf_bytes: 1000 }
  const { attributes } = resources.inkev_program!
  try {
    planned().intend('programs', { name: 'limiter', hosts, body: { ...uploadOf(Buffer.alloc(1001)) } }, [
      { name: 'edge-1', programs } as Host
    ])
    expect('taken').toBe('refused')
  } catch (error) {
    expect(errorDiagnostics(error, attributes)).toEqual([
      {
        severity: 'error',
        summary: 'Invalid elf',
        detail: expect.stringMatching(
          /^the ELF of program limiter has 1001 bytes, and at most 1000 are allowed\. Change the program; or ask/
        ),
        path: [{ attribute: 'path' }]
      }
    ])
  }
})

test('what does not work in a chain is refused at the attribute that says it', () => {
  const world = planned()
  world.forget('functions', 'front')
  const spread = {
    nat: {
      sources: { all: { source: '10.0.1.0/24', pool: '203.0.113.1/32', ports: '1024-65535' } },
      gateways: { 'edge-1': { ports: '1024-2047' } }
    }
  }
  expect(told(world, 'inkev_function', 'functions', 'front', spread)).toEqual([
    ['Invalid nat.gateways', expect.stringContaining('port user has function front in its chain')]
  ])
})
