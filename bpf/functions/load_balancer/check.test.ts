// SPDX-License-Identifier: Apache-2.0
// What is refused at plan: services and backends that contradict each other.

import { expect, test } from '@jest/globals'
import { validateConfig } from '../../catalogue/validate'
import { loadBalancer } from './load_balancer'

const web = { address: '203.0.113.10', port: 80 }
const web1 = { service: 'web', address: '10.0.2.11' }

/** Paths and messages of the faults of a configuration. */
function faults(services: object, backends: object): string[] {
  const { problems } = validateConfig(loadBalancer, { services, backends })
  return problems.map(({ path, message }) => `${path}: ${message}`)
}

test.each([
  [
    'an address that no host can have',
    { web: { ...web, address: '224.0.0.1' } },
    {},
    'services.web.address: 224.0.0.1 cannot be the address of a service'
  ],
  ['two services at one place', { a: web, b: web }, {}, 'services.b.port: tcp port 80 of 203.0.113.10 is that of service a already'],
  ['a backend of no service', { web }, { web1: { ...web1, service: 'wbe' } }, 'backends.web1.service: there is no service wbe'],
  [
    'a backend of the other family',
    { web },
    { web1: { ...web1, address: 'fd00::1' } },
    'backends.web1.address: fd00::1 is not of the IP version of 203.0.113.10'
  ],
  [
    'a backend at a virtual address',
    { web },
    { web1: { ...web1, address: '203.0.113.10' } },
    'backends.web1.address: 203.0.113.10 is a virtual address'
  ],
  [
    'a loopback backend',
    { web },
    { web1: { ...web1, address: '127.0.0.1' } },
    'backends.web1.address: 127.0.0.1 cannot be the address of a backend'
  ],
  ['the same backend twice', { web }, { web1, web2: { ...web1, port: 80 } }, 'backends.web2.address: is the same backend as backends.web1'],
  [
    'another port in mode direct',
    { web: { ...web, mode: 'direct' } },
    { web1: { ...web1, port: 8080 } },
    'backends.web1.port: backends of a direct service serve at its own port, 80'
  ],
  ['a weight of zero', { web }, { web1: { ...web1, weight: 0 } }, 'backends.web1.weight: 0 is not a whole number from 1 to 100']
])('%s is refused', (_, services, backends, message) => {
  expect(faults(services, backends)).toEqual([message])
})

test('more backends of one service than its table serves well are refused', () => {
  const backends = Object.fromEntries(Array.from({ length: 161 }, (_, n) => [`b${n}`, { service: 'web', address: `10.0.2.${n + 1}` }]))
  expect(faults({ web }, backends)).toEqual(['backends: service web has 161 backends, of which 160 are possible'])
})

test('one address may have several services, of both protocols, and one backend serve them all', () => {
  const services = { web, dns: { ...web, port: 53 }, dns2: { ...web, port: 53, protocol: 'udp' } }
  const backends = Object.fromEntries(Object.keys(services).map(service => [service, { ...web1, service }]))
  expect(faults(services, backends)).toEqual([])
})

test.each([
  ['a check of no service', { wbe: {} }, 'health_checks.wbe: there is no service wbe'],
  ['a page of what is no page', { web: { path: '/' } }, 'health_checks.web.path: only http asks for a page'],
  [
    'a page that is none',
    { web: { protocol: 'http', path: 'healthz' } },
    'health_checks.web.path: healthz does not begin with / or has characters that no path has'
  ],
  ['questions without a pause', { web: { interval: '0s' } }, 'health_checks.web.interval: must be 100ms or more'],
  [
    'an answer that is waited for longer than until the next question',
    { web: { interval: '1s', timeout: '2s' } },
    'health_checks.web.timeout: must be more than nothing, and no longer than the interval, 1s'
  ]
])('%s is refused', (_, health_checks, fault) => {
  const config = { services: { web }, backends: { web1 }, health_checks, probe_ports: { here: { port: 'probe-1' } } }
  expect(validateConfig(loadBalancer, config).problems.map(({ path, message }) => `${path}: ${message}`)).toEqual([fault])
})

test('checks that no port can make are refused', () => {
  const { problems } = validateConfig(loadBalancer, { services: { web }, backends: { web1 }, health_checks: { web: {} } })
  expect(problems).toMatchObject([{ path: 'probe_ports', message: 'health checks need a port to be made from' }])
})
