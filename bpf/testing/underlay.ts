// SPDX-License-Identifier: Apache-2.0
// What joins hosts in tests: the device called `uplink`, and the wire or router behind it.

import { Host } from './host'
import { configure, makeNamespace } from './namespaces'

export const UPLINK = 'uplink'
export const VTEPS: readonly [string, string] = ['192.0.2.1', '192.0.2.2']
export const VTEPS_IPV6: readonly [string, string] = ['2001:db8::1', '2001:db8::2']

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
  return [await Host.create(names[0], vteps[0]!, UPLINK), await Host.create(names[1], vteps[1]!, UPLINK)]
}
