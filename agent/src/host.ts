// SPDX-License-Identifier: Apache-2.0
// The facts of this host: its uplinks, its tunnel end, its kernel.

import { release } from 'node:os'
import { kinds } from '@inkev/bpf/functions/index.gen'
import type { Netlink } from '@inkev/native'
import { InkevError } from '../api/errors'
import { API_VERSION, type Host } from '../api/resources'
import { hasNetns } from './kernel/devices'
import type { Features } from './kernel/probe'
import { type HostFacts, uplinksOf } from './model/desired'
import type { Options } from './options'
import { VERSION } from './version'

/** Watches the uplinks, which may go and come back; MTU and VTEP stay those last seen. Throws INKEV_ERR_UPLINK_MISSING when one is not there at the start. */
export function hostFacts(
  netlink: Netlink,
  troubles: HostFacts['troubles'],
  { name, uplinks, vtep, programs }: Pick<Options, 'name' | 'uplinks' | 'vtep' | 'programs'>
): () => HostFacts {
  const others = { name, hasNetns, troubles, programs, device: (device: string) => netlink.link(device) }
  const missing = uplinks.find(uplink => !netlink.link(uplink))
  if (missing !== undefined) throw new InkevError('INKEV_ERR_UPLINK_MISSING', `--uplink ${missing} is no device of this host`)
  const [first, ...further] = uplinks
  if (first === undefined) return () => others
  const chosen = chooseVtep(netlink, uplinks, vtep)
  const mtus = new Map<string, number>()
  const look = (uplink: string) => {
    const link = netlink.link(uplink)
    if (link) mtus.set(uplink, link.mtu)
    return { name: uplink, ifindex: link?.ifindex ?? 0 }
  }
  uplinks.forEach(look)
  return () => {
    const [uplink, rest] = [look(first), further.map(look)]
    return { ...others, uplink: { ...uplink, mtu: Math.min(...mtus.values()), vtep: chosen, ...(rest.length > 0 && { further: rest }) } }
  }
}

/** One that all uplinks lead to may be an address of any device. */
function chooseVtep(netlink: Netlink, uplinks: string[], vtep: string | undefined): string {
  const addressesOf = (device: string) => netlink.addresses(netlink.link(device)!.ifindex).map(({ address }) => address.split('/')[0]!)
  const eligible = (uplinks.length > 1 ? netlink.links().map(({ name }) => name) : uplinks).flatMap(addressesOf)
  const place = uplinks.length > 1 ? 'this host' : uplinks[0]
  if (vtep !== undefined && !eligible.includes(vtep))
    throw new InkevError('INKEV_ERR_UPLINK_MISSING', `--vtep ${vtep} is no address of ${place}, which has ${eligible.join(', ') || 'none'}`)
  const chosen = vtep ?? addressesOf(uplinks[0]!).find(address => !/^(fe80:|127\.|::1$)/.test(address))
  if (chosen === undefined) throw new InkevError('INKEV_ERR_UPLINK_MISSING', `--uplink ${uplinks[0]} has no address for the tunnel end`)
  return chosen
}

export function describeHost({ name, uplink, programs }: HostFacts, features: Features): Host {
  return {
    name,
    ...(uplink && { vtep: uplink.vtep, uplink: uplink.name, mtu: uplink.mtu }),
    uplinks: uplinksOf(uplink).map(({ name }) => name),
    version: VERSION,
    api: API_VERSION,
    kernel: release(),
    features,
    kinds: Object.values(kinds)
      .filter(({ internal }) => !internal)
      .map(({ kind }) => kind),
    programs
  }
}
