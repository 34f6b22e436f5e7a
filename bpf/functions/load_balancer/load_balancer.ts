// SPDX-License-Identifier: Apache-2.0
// The kind `load_balancer`: what an operator may say about it, and the kernel tables that follow from it.

import type { Static, TObject } from '@sinclair/typebox'
import { defineFunction } from '../../catalogue/define'
import { bool, choice, duration, ip, name, optional, port, table, text, u32 } from '../../catalogue/fields'
import { sessionFields, sessionSizes } from '../../core/session'
import { checkBalancer } from './check'
import { balancerProbes } from './health'
import { balancerImage } from './image'

const config = {
  services: table({
    doc: 'The services by name: each is a virtual address and port.',
    max: 256,
    fields: {
      address: ip({ doc: 'The virtual address, of either family. Several services may share it.', example: '203.0.113.10' }),
      port: port({ doc: 'The port at which clients ask.', example: 80 }),
      protocol: choice(['tcp', 'udp'], { doc: 'Transport protocol.', default: 'tcp' }),
      mode: choice(['nat', 'direct'], {
        doc: 'How backends get packets: `nat` puts their address and port in the place of the virtual ones, and the virtual ones into replies; `direct` changes only the MAC, and backends that have the virtual address themselves answer clients directly.',
        default: 'nat'
      }),
      affinity: choice(['none', 'source'], {
        doc: 'Whether all sessions of one client address go to the same backend.',
        default: 'none',
        agentOnly: true
      })
    }
  }),
  backends: table({
    doc: 'Who serves, by a key of your own.',
    max: 4096,
    fields: {
      service: text({ doc: 'The service, by its key in `services`.', example: 'web', maxLength: 64 }),
      address: ip({ doc: 'Address of the backend, of the family of the service.', example: '10.0.2.11' }),
      port: optional(port({ doc: 'Port at which it serves; that of the service if left out.' })),
      weight: u32({ doc: 'Share of the new sessions among the backends of the service.', default: 1, min: 1, max: 100 }),
      drain: bool({ doc: 'Whether it takes no new sessions, and only keeps those that it has.', default: false })
    }
  }),
  health_checks: optional(
    table({
      doc: 'How the backends of a service are watched, by the key of the service in `services`. One that fails gets no new sessions.',
      max: 256,
      fields: {
        protocol: choice(['tcp', 'http'], {
          doc: 'What is asked: `tcp` to connect, `http` for a page, whose status must be from 200 to 399.',
          default: 'tcp',
          agentOnly: true
        }),
        path: optional(text({ doc: 'With `http`: the page; `/` if left out.', example: '/healthz', maxLength: 255 })),
        port: optional(port({ doc: 'Port that is asked; that of the backend if left out.' })),
        interval: duration({ doc: 'From one question to the next.', default: '5s' }),
        timeout: duration({ doc: 'How long an answer may take.', default: '2s' }),
        healthy_threshold: u32({
          doc: 'Good answers in a row after which a backend that failed is served again.',
          default: 2,
          min: 1,
          max: 10
        }),
        unhealthy_threshold: u32({ doc: 'Failures in a row after which a backend is one that fails.', default: 3, min: 1, max: 10 })
      }
    })
  ),
  probe_ports: optional(
    table({
      doc: 'The workload ports from which the checks are made, by a key of your own: each host takes those that live on it.',
      max: 256,
      fields: { port: name({ doc: 'A port in a namespace, from where the backends can be reached.', example: 'probe-1' }) }
    })
  ),
  ...sessionFields
}

export type BalancerConfig = Static<TObject<typeof config>>
export type Service = BalancerConfig['services'][string]
export type Backend = BalancerConfig['backends'][string]
export type HealthCheck = NonNullable<BalancerConfig['health_checks']>[string]

export const loadBalancer = defineFunction('load_balancer', {
  doc: 'Spreads the sessions of virtual addresses over backends, and keeps each on its own.',
  ports: ['inside', 'outside'],
  config,
  counters: {
    sessions_opened: 'Sessions that were given a backend.',
    sessions_moved: 'Sessions that were given another backend, as theirs had been taken away.',
    no_service: 'Packets to a virtual address at a port that no service has: refused with an answer.',
    no_backend: 'Packets to a service none of whose backends takes new sessions: refused with an answer.',
    clash: 'Packets to a backend that another session of the same client already reaches from the same port.',
    no_session: 'ICMP errors to a virtual address that belong to no session.',
    fragment: 'Fragments to a virtual address whose first fragment was not seen before, or overlaps.',
    answered: 'Pings, ARP requests and neighbour solicitations for virtual addresses that were answered.',
    errors_translated: 'ICMP errors that were brought to the end that they concern.'
  },
  example: {
    services: { web: { address: '203.0.113.10', port: 80 } },
    backends: { web1: { service: 'web', address: '10.0.2.11' }, web2: { service: 'web', address: '10.0.2.12', weight: 2 } }
  },
  check: checkBalancer,
  // Direct backends are found on the link, not by routers.
  reaches: ({ services, backends }) =>
    Object.fromEntries(
      Object.entries(backends).flatMap(([name, { service, address }]) =>
        services[service]?.mode === 'nat' ? [[`backends.${name}.address`, address]] : []
      )
    ),
  probes: balancerProbes,
  image: balancerImage,
  // Each direction of a session has an entry of its own.
  sizes: ({ max_sessions }) => sessionSizes({ max_sessions: 2 * max_sessions })
})
