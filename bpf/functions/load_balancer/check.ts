// SPDX-License-Identifier: Apache-2.0
// Faults in a load balancer's configuration: services that are the same, and backends that do not go with their service.

import { cidrContains, normalise, parseIp } from '../../catalogue/addresses'
import type { Problem } from '../../catalogue/define'
import { milliseconds } from './health'
import type { Backend, BalancerConfig, HealthCheck, Service } from './load_balancer'

/** Most of one service: what maglev.ts promises holds while each has some hundred slots. */
export const BACKENDS_OF_SERVICE_MAX = 160

const INTERVAL_MIN_MS = 100

/** Addresses that no host can have: unspecified, loopback, multicast, broadcast, link-local. */
const NO_HOSTS = ['0.0.0.0/8', '127.0.0.0/8', '224.0.0.0/3', '169.254.0.0/16', '::/127', 'ff00::/8', 'fe80::/10']

/** The fields have been found valid by their schema. */
export function checkBalancer(config: BalancerConfig): Problem[] {
  const { services, backends, health_checks = {} } = config
  const problems = [
    ...Object.entries(services).flatMap(([name, service]) => checkService(services, name, service)),
    ...Object.entries(backends).flatMap(([name, backend]) => checkBackend(services, name, backend)),
    ...Object.entries(health_checks).flatMap(([name, check]) => checkHealth(config, name, check))
  ]
  return problems.length > 0 ? problems : [...checkTwins(backends, services), ...checkNumber(backends)]
}

function checkService(services: BalancerConfig['services'], name: string, service: Service): Problem[] {
  const path = `services.${name}`
  if (isNoHost(service.address)) return [{ path: `${path}.address`, message: `${service.address} cannot be the address of a service` }]
  const twin = Object.keys(services).find(other => other !== name && placeOf(services[other]!) === placeOf(service))
  if (twin === undefined || twin > name) return []
  return [
    {
      path: `${path}.port`,
      message: `${service.protocol} port ${service.port} of ${service.address} is that of service ${twin} already`,
      hint: 'Give each service an address, port or protocol of its own.'
    }
  ]
}

function checkBackend(services: BalancerConfig['services'], name: string, backend: Backend): Problem[] {
  const path = `backends.${name}`
  const service = services[backend.service]
  if (!service)
    return [
      {
        path: `${path}.service`,
        message: `there is no service ${backend.service}`,
        hint: `There are: ${Object.keys(services).join(', ')}.`
      }
    ]
  if (isNoHost(backend.address)) return [{ path: `${path}.address`, message: `${backend.address} cannot be the address of a backend` }]
  if (parseIp(backend.address).family !== parseIp(service.address).family)
    return [{ path: `${path}.address`, message: `${backend.address} is not of the IP version of ${service.address}` }]
  if (Object.values(services).some(({ address }) => normalise(address) === normalise(backend.address)))
    return [
      { path: `${path}.address`, message: `${backend.address} is a virtual address`, hint: 'A backend is reached by its own address.' }
    ]
  if (service.mode === 'direct' && backend.port !== undefined && backend.port !== service.port)
    return [
      {
        path: `${path}.port`,
        message: `backends of a direct service serve at its own port, ${service.port}`,
        hint: 'Leave port out, or set the mode of the service to nat.'
      }
    ]
  return []
}

function checkHealth(
  { services, probe_ports = {} }: BalancerConfig,
  name: string,
  { protocol, path, interval, timeout }: HealthCheck
): Problem[] {
  const at = `health_checks.${name}`
  if (!services[name])
    return [
      { path: at, message: `there is no service ${name}`, hint: `The key is that of a service: ${Object.keys(services).join(', ')}.` }
    ]
  if (Object.keys(probe_ports).length === 0)
    return [{ path: 'probe_ports', message: 'health checks need a port to be made from', hint: 'Name a workload port of each host.' }]
  if (path !== undefined && protocol !== 'http')
    return [{ path: `${at}.path`, message: 'only http asks for a page', hint: 'Set protocol to http, or leave path out.' }]
  if (path !== undefined && !/^\/[!-~]*$/.test(path))
    return [{ path: `${at}.path`, message: `${path} does not begin with / or has characters that no path has` }]
  if (milliseconds(interval) < INTERVAL_MIN_MS) return [{ path: `${at}.interval`, message: `must be ${INTERVAL_MIN_MS}ms or more` }]
  if (milliseconds(timeout) < 1 || milliseconds(timeout) > milliseconds(interval))
    return [{ path: `${at}.timeout`, message: `must be more than nothing, and no longer than the interval, ${interval}` }]
  return []
}

function checkTwins(backends: BalancerConfig['backends'], services: BalancerConfig['services']): Problem[] {
  const known = new Map<string, string>()
  return Object.entries(backends).flatMap(([name, { service, address, port }]) => {
    const place = `${service} ${normalise(address)} ${port ?? services[service]!.port}`
    const twin = known.get(place)
    known.set(place, name)
    return twin === undefined
      ? []
      : [{ path: `backends.${name}.address`, message: `is the same backend as backends.${twin}`, hint: 'Give one of them more weight.' }]
  })
}

function checkNumber(backends: BalancerConfig['backends']): Problem[] {
  const counts = new Map<string, number>()
  for (const { service } of Object.values(backends)) counts.set(service, (counts.get(service) ?? 0) + 1)
  return [...counts].flatMap(([service, count]) =>
    count > BACKENDS_OF_SERVICE_MAX
      ? [{ path: 'backends', message: `service ${service} has ${count} backends, of which ${BACKENDS_OF_SERVICE_MAX} are possible` }]
      : []
  )
}

function placeOf({ address, port, protocol }: Service): string {
  return `${normalise(address)} ${port} ${protocol}`
}

function isNoHost(address: string): boolean {
  return NO_HOSTS.some(cidr => cidrContains(cidr, address))
}
