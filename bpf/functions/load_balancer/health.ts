// SPDX-License-Identifier: Apache-2.0
// What the agent shall ask the backends, by their keys, so that those that fail get no new sessions.

import { normalise } from '../../catalogue/addresses'
import type { Probe } from '../../catalogue/define'
import { nanoseconds } from '../../catalogue/fields'
import type { Backend, BalancerConfig } from './load_balancer'

export function balancerProbes({ services, backends, health_checks = {}, probe_ports = {} }: BalancerConfig): Record<string, Probe> {
  const from = Object.values(probe_ports).map(({ port }) => port)
  return Object.fromEntries(
    Object.entries(backends).flatMap(([key, { service, address, port }]) => {
      const check = health_checks[service]
      if (!check) return []
      const probe: Probe = {
        protocol: check.protocol,
        address: normalise(address),
        port: check.port ?? port ?? services[service]!.port,
        path: check.path ?? '/',
        interval: milliseconds(check.interval),
        timeout: milliseconds(check.timeout),
        healthyThreshold: check.healthy_threshold,
        unhealthyThreshold: check.unhealthy_threshold,
        from
      }
      return [[key, probe]]
    })
  )
}

/** The backends of a service that are to get new sessions, of those that do not drain: all where all fail, as then the fault may well be the asker's. */
export function healthyOf<B extends Backend>(backends: [key: string, backend: B][], failing: readonly string[]): B[] {
  const well = backends.filter(([key]) => !failing.includes(key))
  return (well.length > 0 ? well : backends).map(([, backend]) => backend)
}

export function milliseconds(duration: string): number {
  return Number(nanoseconds(duration) / 1_000_000n)
}
