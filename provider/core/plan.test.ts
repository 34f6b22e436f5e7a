// SPDX-License-Identifier: Apache-2.0
// Planning: defaults, what is unknown, what is kept, what needs a new object.

import { describe, expect, test } from '@jest/globals'
import { plan, requestBody, stateOf } from './plan'
import type { Resource } from './resource'
import { network } from './resources/network'
import { port } from './resources/port'
import { type Members, UNKNOWN, type Value } from './value'
import { complete } from './walk'

const web = { name: 'web', vni: 100, hosts: ['edge-1'], subnets: { v4: { cidr: '10.0.1.0/24' } } }

/** What Terraform proposes: the configuration, and the prior value wherever it is silent on what the agent computes. */
function planned(resource: Resource, given: Members, prior: Members | null = null) {
  const config = complete(resource.attributes, given)
  const computed = Object.entries(resource.attributes).filter(([name, { computed }]) => computed && config[name] === null)
  const kept: Members = prior ? Object.fromEntries(computed.map(([name]): [string, Value] => [name, prior[name]!])) : {}
  return plan(resource.attributes, { config, prior, proposed: { ...config, ...kept } })
}

/** The state after an apply in which the agent computed these values. */
function applied(resource: Resource, given: Members, answered: Members): Members {
  return complete(resource.attributes, { ...planned(resource, given).state, ...answered })
}

const webState = applied(network, web, { mtu: 1450, subnets: { v4: { cidr: '10.0.1.0/24', gateway: '10.0.1.1' } } })

describe('a new object', () => {
  test('has its defaults, and unknown is what the agent computes, in rows too', () => {
    expect(planned(network, web).state).toMatchObject({
      aging_time: '300s',
      learning: true,
      mtu: UNKNOWN,
      static_entries: null,
      subnets: { v4: { cidr: '10.0.1.0/24', gateway: UNKNOWN } }
    })
  })

  test('keeps what the user said where the agent would compute it', () => {
    const subnets = { v4: { cidr: '10.0.1.0/24', gateway: '10.0.1.254' } }
    expect(planned(network, { ...web, mtu: 1400, subnets }).state).toMatchObject({ mtu: 1400, subnets })
  })

  test('passes on what is not known yet', () => {
    expect(planned(network, { ...web, vni: UNKNOWN, subnets: UNKNOWN }).state).toMatchObject({ vni: UNKNOWN, subnets: UNKNOWN })
  })
})

describe('an object that exists', () => {
  test('is left as it is when nothing changes', () => {
    expect(planned(network, web, webState)).toEqual({ state: webState, replace: [] })
  })

  test('keeps what the agent computed when something else changes', () => {
    expect(planned(network, { ...web, aging_time: '60s' }, webState).state).toEqual({ ...webState, aging_time: '60s' })
  })

  test('has a computed value computed anew when what it rests on changes', () => {
    const wider = { ...web, hosts: ['edge-1', 'edge-2'] }
    expect(planned(network, wider, webState).state.mtu).toBe(UNKNOWN)
    const moved = { ...web, subnets: { v4: { cidr: '10.0.9.0/24' } } }
    expect(planned(network, moved, webState).state).toMatchObject({ mtu: 1450, subnets: { v4: { gateway: UNKNOWN } } })
  })

  test('gets the default back when the user no longer says a value', () => {
    const state = { ...webState, learning: false }
    expect(planned(network, web, state).state.learning).toBe(true)
  })

  test('is replaced, at the attributes that say so, when these change in meaning', () => {
    expect(planned(network, { ...web, name: 'other' }, webState).replace).toEqual([[{ attribute: 'name' }]])
    expect(planned(network, { ...web, aging_time: '5m' }, webState).replace).toEqual([])
  })

  test('gives the same plan the second time', () => {
    const change = { ...web, aging_time: '60s', hosts: ['edge-1', 'edge-2'] }
    expect(planned(network, change, webState)).toEqual(planned(network, change, webState))
  })
})

describe('a request', () => {
  test('holds what the user said and the defaults, and leaves to the agent what it computes', () => {
    const config = complete(network.attributes, web)
    expect(requestBody(network.fields, planned(network, { ...web, aging_time: '60s' }, webState).state, config)).toEqual({
      vni: 100,
      subnets: { v4: { cidr: '10.0.1.0/24' } },
      learning: true,
      aging_time: '60s',
      suppression: true
    })
  })
})

describe('the state that is read', () => {
  const prior = complete(port.fields, { netns: 'w', ip_addresses: ['FD00::0:11'], mac: '02:00:00:00:00:AA', chain: [] })
  const remote = { netns: 'w', ip_addresses: ['fd00::11'], mac: '02:00:00:00:00:aa', chain: [], status: { state: 'idle' } }

  test('keeps the user’s text where the agent’s means the same', () => {
    expect(stateOf(port.fields, remote, prior)).toMatchObject({ ip_addresses: ['FD00::0:11'], mac: '02:00:00:00:00:AA' })
  })

  test('shows what differs', () => {
    expect(stateOf(port.fields, { ...remote, ip_addresses: ['fd00::12'] }, prior).ip_addresses).toEqual(['fd00::12'])
  })

  test('knows nothing of how the object fares', () => {
    expect(stateOf(port.fields, remote, prior)).not.toHaveProperty('status')
  })

  test('fills in defaults that the agent leaves out, and takes nothing for an empty list', () => {
    expect(stateOf(port.fields, remote, prior)).toMatchObject({ default_route: true, routes: null, chain: [] })
    expect(stateOf(port.fields, { ...remote, routes: {} }, prior).routes).toBeNull()
  })
})
