// SPDX-License-Identifier: Apache-2.0
// What joins hosts in tests: namespaces with a device called `uplink`, and the wire or router between them.

import { execFileSync } from 'node:child_process'
import { native } from '@inkev/native'
import { Host } from './host'

export const UPLINK = 'uplink'
export const VTEPS = ['192.0.2.1', '192.0.2.2'] as const
const COMMAND_LIMIT_MS = 30_000

let made = 0

/** A new namespace. */
export function makeNamespace(): string {
  const name = `k${process.pid.toString(36)}${(made++).toString(36)}`
  native.net.createNetns(name).close()
  runIn(name, 'ip', 'link', 'set', 'lo', 'up')
  return name
}

/** Commands in a namespace; what the last prints. */
export function runIn(namespace: string, ...command: string[]): string {
  const options = { encoding: 'utf8', timeout: COMMAND_LIMIT_MS, stdio: 'pipe' } as const
  return execFileSync('ip', ['netns', 'exec', namespace, ...command], options)
}

/** Lines of `ip`, each in the namespace. */
export function configure(namespace: string, ...lines: string[]): void {
  for (const line of lines) runIn(namespace, 'ip', ...line.split(' '))
}

interface End {
  namespace: string
  device: string
  /** With its length. */
  address: string
}

/** A veth pair. */
export function join(...ends: [End, End]): void {
  const [a, b] = ends
  configure(a.namespace, `link add ${a.device} type veth peer name ${b.device} netns ${b.namespace}`)
  for (const { namespace, device, address } of ends)
    configure(namespace, `address add ${address} dev ${device}${address.includes(':') ? ' nodad' : ''}`, `link set ${device} up`)
}

/** Two namespaces whose devices `uplink` are joined. */
export function joinNamespaces(vteps: readonly string[] = VTEPS): [string, string] {
  const [near, far] = vteps.map(vtep => ({
    namespace: makeNamespace(),
    device: UPLINK,
    address: `${vtep}/${vtep.includes(':') ? 64 : 24}`
  }))
  join(near!, far!)
  return [near!.namespace, far!.namespace]
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
