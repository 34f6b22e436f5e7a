// SPDX-License-Identifier: Apache-2.0
// The facts of this host: its uplink, its tunnel end, its kernel.

import { release } from 'node:os'
import { kinds } from '@inkev/bpf/functions/index.gen'
import type { Netlink } from '@inkev/native'
import { InkevError } from '../api/errors'
import { API_VERSION, type Host } from '../api/resources'
import { hasNetns } from './kernel/devices'
import type { Features } from './kernel/probe'
import type { HostFacts } from './model/desired'
import type { Options } from './options'
import { VERSION } from './version'

/** Watches the uplink, which may go and come back; its MTU and VTEP stay those last seen. Throws INKEV_ERR_UPLINK_MISSING when it is not there at the start. */
export function hostFacts(
  netlink: Netlink,
  failing: HostFacts['failing'],
  { name, uplink, vtep }: Pick<Options, 'name' | 'uplink' | 'vtep'>
): () => HostFacts {
  const others = { name, hasNetns, failing, device: (device: string) => netlink.link(device) }
  if (uplink === undefined) return () => others
  const link = netlink.link(uplink)
  if (!link) throw new InkevError('INKEV_ERR_UPLINK_MISSING', `--uplink ${uplink} is no device of this host`)
  const addresses = netlink.addresses(link.ifindex).map(({ address }) => address.split('/')[0]!)
  if (vtep !== undefined && !addresses.includes(vtep))
    throw new InkevError(
      'INKEV_ERR_UPLINK_MISSING',
      `--vtep ${vtep} is no address of ${uplink}, which has ${addresses.join(', ') || 'none'}`
    )
  const chosen = vtep ?? addresses.find(address => !/^(fe80:|127\.|::1$)/.test(address))
  if (chosen === undefined) throw new InkevError('INKEV_ERR_UPLINK_MISSING', `--uplink ${uplink} has no address for the tunnel end`)
  let { mtu } = link
  return () => {
    const now = netlink.link(uplink)
    mtu = now?.mtu ?? mtu
    return { ...others, uplink: { name: uplink, ifindex: now?.ifindex ?? 0, mtu, vtep: chosen } }
  }
}

export function describeHost({ name, uplink }: HostFacts, features: Features): Host {
  return {
    name,
    ...(uplink && { vtep: uplink.vtep, uplink: uplink.name, mtu: uplink.mtu }),
    version: VERSION,
    api: API_VERSION,
    kernel: release(),
    features,
    kinds: Object.values(kinds)
      .filter(({ internal }) => !internal)
      .map(({ kind }) => kind)
  }
}
