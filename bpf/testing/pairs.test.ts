// SPDX-License-Identifier: Apache-2.0
// Every kind of a chain beside every other, in both orders and beside itself: what real ends say to each other passes unchanged.

import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { isChainable } from '../catalogue/define'
import { kinds } from '../functions/index.gen'
import { type Conversant, converse } from './conversation'
import type { Host } from './host'
import type { Instance } from './instance'
import { twoHosts } from './underlay'
import type { Workload } from './workload'

const CLIENT = ['10.6.0.1', 'fd06::1'] as const
const NEAR = ['10.6.0.2', 'fd06::2'] as const
const FAR = ['10.6.0.3', 'fd06::3'] as const
/** The port `copy` of a mirror. */
const COPY = 2
const FAMILIES = [0, 1] as const
const LENGTHS = [32, 128] as const

/** Addresses outside the network's subnets, of a NAT and of a balancer, by their position in the chain. */
const pool = (position: number) => [`203.0.113.${position + 1}`, `2001:db8::${position + 1}`] as const
const virtual = (position: number) => [`198.51.100.${position + 1}`, `2001:db8:1::${position + 1}`] as const

/** A configuration that meets all packets and refuses none of them, by the position in the chain: 0 is next to the workload. */
const CONFIGS: Record<string, (position: number) => Record<string, unknown>> = {
  firewall: () => ({ max_sessions: 4096 }),
  inspect: () => ({
    rules: { all: { action: 'drop', follow: true } },
    patterns: { never: { rule: 'all', text: 'what nobody says' }, name: { rule: 'all', tls_name: 'nobody.example' } },
    max_sessions: 4096
  }),
  load_balancer: position => ({
    services: Object.fromEntries(
      FAMILIES.flatMap(n => ['tcp', 'udp'].map(protocol => [`${protocol}${n}`, { protocol, address: virtual(position)[n], port: 7000 }]))
    ),
    backends: Object.fromEntries(
      FAMILIES.flatMap(n => ['tcp', 'udp'].map(name => [`${name}${n}`, { service: `${name}${n}`, address: FAR[n] }]))
    ),
    max_sessions: 4096
  }),
  mirror: () => ({}),
  nat: position => ({
    sources: Object.fromEntries(
      FAMILIES.flatMap(n =>
        [CLIENT[n], pool(0)[n]].slice(0, position + 1).map((source, m) => {
          return [`v${n}-${m}`, { source: `${source}/${LENGTHS[n]}`, pool: `${pool(position)[n]}/${LENGTHS[n]}` }]
        })
      )
    ),
    max_sessions: 4096
  }),
  policer: () => ({ limits: { all: { rate: '20gbit', per: 'flow', exceed: 'mark', set_dscp: 10 } } })
}

const chainable = Object.values(kinds)
  .filter(isChainable)
  .map(({ kind }) => kind)

let hosts: [Host, Host] | undefined
/** For each kind one instance next to the workload, and one next to the network. */
const instances: Record<string, [Instance, Instance]> = {}
let client: Workload
let conversant: Conversant
let chain: (...instances: Instance[]) => void

beforeAll(async () => {
  hosts = await twoHosts()
  const [host, other] = hosts
  const [left, right] = [await host.addNetwork(600), await other.addNetwork(600)]
  for (const kind of chainable) {
    const made = [0, 1].map(position => host.addChained(kinds[kind]!, CONFIGS[kind]!(position)))
    instances[kind] = (await Promise.all(made)) as [Instance, Instance]
  }
  for (const [n, instance] of instances.mirror!.entries()) (await host.addNetwork(601 + n, { learning: false })).stitch(instance, COPY)
  // What lies beyond the subnets is at the far server for the client, and at the client for the servers.
  const place = (addresses: readonly string[], n: number, gateways: readonly string[]) => ({
    mac: `02:00:00:00:06:0${n}`,
    addresses: [`${addresses[0]}/24`, `${addresses[1]}/64`],
    gateways: [...gateways]
  })
  client = await left.addWorkload('pa', place(CLIENT, 1, FAR))
  const servers = [await left.addWorkload('pb', place(NEAR, 2, CLIENT)), await right.addWorkload('pc', place(FAR, 3, CLIENT))]
  left.span(other.vtep)
  right.span(host.vtep)
  const id = left.ids.get(client)!
  const workload = host.table('workloads').get(id) as { chain: number[] }
  chain = (...members) => {
    const numbers = members.map(({ number }) => number)
    host
      .table('workloads')
      .put(id, { ...workload, chain: [...numbers, ...workload.chain.slice(numbers.length)], chain_length: numbers.length })
  }
  conversant = await converse(client, servers)
}, 60_000)
afterAll(() => {
  conversant?.close()
  for (const host of hosts ?? []) host.close()
})

test('each kind that can stand in a chain has its place here', () => {
  expect(Object.keys(CONFIGS).toSorted()).toEqual(chainable.toSorted())
})

/** The counters that its part of the conversations moves: all others count refusals. */
const COUNTED: Record<string, string[]> = {
  firewall: ['sessions_opened'],
  inspect: ['fragment'],
  load_balancer: ['answered', 'sessions_opened'],
  mirror: ['chosen'],
  nat: ['sessions_opened'],
  policer: []
}

test.each(chainable.flatMap(a => chainable.map(b => [a, b] as const)))('%s, then %s', async (a, b) => {
  const members = [instances[a]![0], instances[b]![1]]
  const before = members.map(member => member.rawCounters())
  chain(...members)
  const services = [a, b].flatMap((kind, position) => (kind === 'load_balancer' ? virtual(position) : []))
  const failed: Record<string, string[]> = {}
  for (const address of [...NEAR, ...FAR, ...services]) failed[address] = await conversant.talk(address)
  expect(Object.entries(failed).filter(([, how]) => how.length > 0)).toEqual([])
  const counted = members.map((member, position) => Object.keys(member.countedSince(before[position]!)).toSorted())
  expect(counted).toEqual([COUNTED[a], COUNTED[b]])
})
