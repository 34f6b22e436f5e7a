// SPDX-License-Identifier: Apache-2.0
// What the tests on real hosts say to an agent, and what they ask of the workloads.

import type { Answer, Host } from '@inkev/acceptance/lab/host'
import type { Lab } from '@inkev/acceptance/lab/lab'
import { until } from '@inkev/acceptance/lab/process'
import { expect } from '@jest/globals'

/** Of resources, users before what they use. */
export const TYPES = ['stitches', 'ports', 'functions', 'programs', 'networks', 'peers', 'endpoints']

/** What is put, and where. */
export type Resource = [path: string, body: unknown]

/** Puts a resource that must be accepted. */
export async function put(host: Host, path: string, body: unknown): Promise<Answer> {
  const answer = await host.request('PUT', `/v1/${path}`, body)
  if (answer.status >= 300) throw new Error(`PUT ${path}: ${answer.status} ${JSON.stringify(answer.body)}\n${host.logTail()}`)
  return answer
}

/** Puts resources one after another. */
export async function putAll(host: Host, resources: Resource[]): Promise<void> {
  for (const [path, body] of resources) await put(host, path, body)
}

export async function remove(host: Host, ...paths: string[]): Promise<void> {
  for (const path of paths) expect([path, (await host.request('DELETE', `/v1/${path}`)).status]).toEqual([path, 204])
}

/** For afterEach: takes all off a host, by its agent, which may have died. */
export async function removeAll(host: Host): Promise<void> {
  if (host.agentPid === undefined) await host.startAgent()
  for (const type of TYPES)
    for (const { name } of (await host.request('GET', `/v1/${type}`)).body.items) await host.request('DELETE', `/v1/${type}/${name}`)
}

export async function statusOf(host: Host, path: string): Promise<{ state: string; reason?: string }> {
  return (await host.request('GET', `/v1/${path}`)).body.status
}

/** Waits until a resource is in a state. */
export async function becomes(host: Host, path: string, state: string): Promise<void> {
  await until(
    async () => (await statusOf(host, path)).state === state,
    10_000,
    async () => `${path} does not become ${state} but is ${JSON.stringify(await statusOf(host, path))}\n${host.logTail()}`
  )
}

/** Packets lost of `count` that a workload sends to an address, one every `interval` seconds. */
export async function packetsLost(host: Host, netns: string, address: string, count = 3, interval = 0.01): Promise<number> {
  const { stdout } = await host
    .workload(netns)
    .attempt(['ping', '-n', '-q', '-c', String(count), '-i', String(interval), '-W', '1', address])
  const [, sent, received] = /([0-9]+) packets transmitted, ([0-9]+) received/.exec(stdout) ?? []
  if (sent === undefined) throw new Error(`ping says: ${stdout}`)
  return Number(sent) - Number(received)
}

export const web = { vni: 100, subnets: { v4: { cidr: '10.0.1.0/24' }, v6: { cidr: 'fd00:1::/64' } } }
export const db = { vni: 200, subnets: { v4: { cidr: '10.0.2.0/24' }, v6: { cidr: 'fd00:2::/64' } } }
export const gateway = {
  router: {
    interfaces: {
      web: { address: '10.0.1.1/24', ipv6_address: 'fd00:1::1/64' },
      db: { address: '10.0.2.1/24', ipv6_address: 'fd00:2::1/64' }
    }
  }
}

/** A port of `web` or `db` named after its namespace, with the last part of its addresses. */
export function port(network: 'web' | 'db', netns: string, last: number): Record<string, unknown> {
  const number = network === 'web' ? 1 : 2
  return { network, netns, create_netns: true, ip_addresses: [`10.0.${number}.${last}`, `fd00:${number}::${last}`] }
}

/** Both networks with the router between them. */
export const routed: Resource[] = [
  ['networks/web', web],
  ['networks/db', db],
  ['functions/gateway', gateway],
  ['stitches/gateway-web', { a: { function: 'gateway', port: 'web' }, b: { network: 'web' } }],
  ['stitches/gateway-db', { a: { function: 'gateway', port: 'db' }, b: { network: 'db' } }]
]

/** Both networks and their router on both hosts of a lab. */
export async function routeAcross({ hosts: [one, other] }: Lab): Promise<[Host, Host]> {
  for (const [host, peer] of [
    [one!, other!],
    [other!, one!]
  ] as const) {
    await putAll(host, routed)
    for (const network of ['web', 'db']) await put(host, `peers/${network}.${peer.name}`, { network, host: peer.name, vtep: peer.vtep })
  }
  return [one!, other!]
}

/** Puts a port on one host, and tells the other where it is. */
export async function place(host: Host, other: Host, name: string, body: Record<string, unknown>): Promise<void> {
  const { mac, ip_addresses } = (await put(host, `ports/${name}`, body)).body
  await put(other, `endpoints/${body.network}.${name}`, { network: body.network, host: host.name, mac, addresses: ip_addresses })
}
