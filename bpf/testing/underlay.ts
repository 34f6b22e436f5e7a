// SPDX-License-Identifier: Apache-2.0
// Two hosts and the wire between them.

import { execFileSync } from 'node:child_process'
import { native } from '@inkev/native'
import { Host } from './host'

export const UPLINK = 'uplink'
export const VTEPS = ['192.0.2.1', '192.0.2.2'] as const

let pairs = 0

/** Names of two namespaces, joined by a veth pair whose ends are called `uplink` and have the addresses given. */
export function joinNamespaces(vteps: readonly string[] = VTEPS): [string, string] {
  const unique = `k${process.pid.toString(36)}${(pairs++).toString(36)}`
  const names: [string, string] = [`${unique}a`, `${unique}b`]
  const [near, far] = names.map(name => native.net.createNetns(name))
  const [nearNet, farNet] = [native.net.open(near), native.net.open(far)]
  nearNet.createVeth({ name: UPLINK, peerName: UPLINK, peerNetns: far })
  for (const [n, net] of [nearNet, farNet].entries()) {
    const { ifindex } = net.link(UPLINK)!
    net.sysctl(`ipv6/conf/${UPLINK}/accept_dad`, '0')
    for (const index of [net.link('lo')!.ifindex, ifindex]) net.setLink(index, { up: true })
    net.addAddress(ifindex, vteps[n]!.includes(':') ? `${vteps[n]}/64` : `${vteps[n]}/24`)
    net.close()
  }
  near!.close()
  far!.close()
  return names
}

/** Two hosts with the road in them. */
export async function twoHosts(vteps: readonly string[] = VTEPS): Promise<[Host, Host]> {
  const names = joinNamespaces(vteps)
  try {
    return [await Host.create(names[0], vteps[0]!, UPLINK), await Host.create(names[1], vteps[1]!, UPLINK)]
  } catch (error) {
    for (const name of names) native.net.deleteNetns(name)
    throw error
  }
}

/** A command in a namespace; what it prints. */
export function runIn(namespace: string, ...command: string[]): string {
  return execFileSync('ip', ['netns', 'exec', namespace, ...command], { encoding: 'utf8', timeout: 30_000, stdio: 'pipe' })
}
