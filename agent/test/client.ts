// SPDX-License-Identifier: Apache-2.0
// What the tests on real hosts say to an agent, and what they ask of the workloads.

import type { Answer, Host } from '@inkev/acceptance/lab/host'
import { until } from '@inkev/acceptance/lab/process'
import { expect } from '@jest/globals'

/** Puts a resource that must be accepted. */
export async function put(host: Host, path: string, body: unknown): Promise<Answer> {
  const answer = await host.request('PUT', `/v1/${path}`, body)
  if (answer.status >= 300) throw new Error(`PUT ${path}: ${answer.status} ${JSON.stringify(answer.body)}\n${host.logTail()}`)
  return answer
}

export async function remove(host: Host, ...paths: string[]): Promise<void> {
  for (const path of paths) expect([path, (await host.request('DELETE', `/v1/${path}`)).status]).toEqual([path, 204])
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
