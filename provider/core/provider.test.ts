// SPDX-License-Identifier: Apache-2.0
// The provider block: what it refuses, and where it looks for what it does not say.

import { describe, expect, test } from '@jest/globals'
import { agentsOf, providerAttributes, providerProblems } from './provider'
import { type Members, UNKNOWN } from './value'
import { complete } from './walk'

const block = (given: Members) => complete(providerAttributes, given)
const problems = (given: Members) => providerProblems(block(given)).map(({ message }) => message)
const endpoints = (given: Members, environment = {}) =>
  [...(agentsOf(block(given), environment) ?? [])].map(([name, { endpoint }]) => ({ name, ...endpoint }))

describe('a provider block', () => {
  test.each([
    ['unix:///run/inkev/agent.sock', []],
    ['https://[fd00::1]:7443', []],
    ['http://127.0.0.1:7080', []],
    ['http://10.0.0.1:7080', [expect.stringContaining('in the clear')]],
    ['10.0.0.1:7443', [expect.stringContaining('no endpoint')]]
  ])('with the endpoint %s', (endpoint, said) => {
    expect(problems({ hosts: { 'edge-1': { endpoint } } })).toEqual(said)
  })

  test('wants a key with a certificate', () => {
    expect(problems({ client_cert: 'cert.pem' })).toEqual([expect.stringContaining('needs a client_key')])
  })

  test('wants hosts from somewhere', () => {
    expect(() => endpoints({})).toThrow(/No host is named/)
  })

  test('gives a host’s own credentials precedence over the provider’s, and these over the environment’s', () => {
    const hosts = { a: { endpoint: 'unix:///a', token: 'own' }, b: { endpoint: 'unix:///b' } }
    expect(endpoints({ hosts, token: 'shared' }, { INKEV_TOKEN: 'environment' }).map(({ token }) => token)).toEqual(['own', 'shared'])
    expect(endpoints({ hosts }, { INKEV_TOKEN: 'environment' }).map(({ token }) => token)).toEqual(['own', 'environment'])
  })

  test('takes hosts from the environment', () => {
    expect(endpoints({}, { INKEV_HOSTS: 'a=unix:///a, b=https://10.0.0.2:7443' })).toMatchObject([
      { name: 'a', url: 'unix:///a' },
      { name: 'b', url: 'https://10.0.0.2:7443' }
    ])
    expect(() => endpoints({}, { INKEV_HOSTS: 'nonsense' })).toThrow(/name=endpoint/)
  })

  test('reads certificates from files', () => {
    expect(() => endpoints({ hosts: { a: { endpoint: 'unix:///a' } }, ca_cert: '/nonexistent.pem' })).toThrow(/ENOENT/)
  })

  test('has no agents yet while a part of it is unknown', () => {
    expect(agentsOf(block({ hosts: UNKNOWN }), {})).toBeUndefined()
    expect(agentsOf(block({ hosts: { a: { endpoint: UNKNOWN } } }), {})).toBeUndefined()
    expect(agentsOf(block({ hosts: { a: { endpoint: 'unix:///a' } }, token: UNKNOWN }), {})).toBeUndefined()
  })
})
