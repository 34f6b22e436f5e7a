// SPDX-License-Identifier: Apache-2.0
// Devices: makes them what a wish says, finds those that an earlier agent made, notices those that are gone. Safe to repeat at any point.

import { existsSync, statfsSync, statSync } from 'node:fs'
import { normalise } from '@inkev/bpf/catalogue/addresses'
import type { LinkState, Net, Netlink } from '@inkev/native'
import { InkevError } from '../../api/errors'
import type { Veth } from '../model/workloads'
import type { DeviceFact, DeviceWish } from '../plan/state'

/** Tells our devices from others': `inkev ports/web1`. */
const ALIAS = 'inkev '
/** The host's end of a veth takes packets of any size: the graph answers one that is too large, the pair itself would drop it in silence. */
const HOST_END_MTU = 65_535
/** The kernel holds its lock on all devices for so many. */
const DELETED_AT_ONCE = 100
const NETNS_DIRECTORY = '/run/netns'
const NSFS_MAGIC = 0x6e736673
const ROUTE_STATIC = 4

export function netnsPath(netns: string): string {
  return netns.startsWith('/') ? netns : `${NETNS_DIRECTORY}/${netns}`
}

/** A file in its place may be what is left of one, or of the making of one. */
export function hasNetns(netns: string): boolean {
  const path = netnsPath(netns)
  return existsSync(path) && statfsSync(path).type === NSFS_MAGIC
}

/** Sees through symbolic links: a path may have come to mean another namespace. */
function netnsInode(netns: string): bigint | undefined {
  return statSync(netnsPath(netns), { bigint: true, throwIfNoEntry: false })?.ino
}

export class Devices {
  /** Where the inner end of each veth is. */
  private readonly places = new Map<string, { netns: string; inode: bigint }>()

  constructor(
    private readonly net: Net,
    private readonly host: Netlink
  ) {}

  /** What there is of ours, by key. `known` is what was known of it before: it stays known while the device is as it was. */
  find(known: ReadonlyMap<string, DeviceFact>): Map<string, DeviceFact> {
    const ours = this.host.links().filter(({ alias }) => alias.startsWith(ALIAS))
    return new Map(
      ours.map(link => {
        const key = link.alias.slice(ALIAS.length)
        const before = known.get(key)
        const same = before?.ifindex === link.ifindex && link.up && this.inPlace(key)
        return [key, { ifindex: link.ifindex, peer: link.peer, made: same ? before.made : undefined }]
      })
    )
  }

  /** Makes the device or brings it to the wish. A veth whose host's end has no hook yet stays down: the host itself must not answer a workload. */
  make(wish: DeviceWish, before: string | undefined, hooked: boolean): DeviceFact {
    const ifindex = this.bring(wish, before)
    if (hooked) this.raise(ifindex)
    return { ifindex, peer: this.host.link(ifindex)!.peer, made: JSON.stringify(wish.make) }
  }

  private bring({ key, name, make }: DeviceWish, before: string | undefined): number {
    if ('veth' in make)
      return this.makeVeth(key, name, make.veth, before === undefined ? undefined : (JSON.parse(before) as { veth: Veth }).veth)
    const found = this.host.link(name)?.ifindex
    if ('vxlan' in make) {
      const ifindex = found ?? this.host.createVxlan({ name, ...make.vxlan })
      this.host.sysctl(`ipv6/conf/${name}/disable_ipv6`, '1')
      this.host.setLink(ifindex, { alias: ALIAS + key, mtu: make.vxlan.mtu, up: true })
      return ifindex
    }
    const { peer, mtu } = make.pair
    const ifindex = found ?? this.host.createVeth({ name, peerName: peer, mtu })
    for (const end of [name, peer]) this.host.sysctl(`ipv6/conf/${end}/disable_ipv6`, '1')
    // bpf_fib_lookup asks for routes as seen from this device, and only where it forwards.
    for (const family of ['ipv4', 'ipv6']) this.host.sysctl(`${family}/conf/${name}/forwarding`, '1')
    this.host.setLink(this.host.link(peer)!.ifindex, { mtu, up: true })
    this.host.setLink(ifindex, { alias: ALIAS + key, mtu, up: true })
    return ifindex
  }

  raise(ifindex: number): void {
    this.host.setLink(ifindex, { up: true })
  }

  /** Those that are gone already are no error. */
  unmake(devices: [key: string, ifindex: number][]): void {
    for (const [key] of devices) this.places.delete(key)
    const aliases = new Map(this.host.links().map(({ ifindex, alias }) => [ifindex, alias]))
    const ours = devices.filter(([key, ifindex]) => aliases.get(ifindex) === ALIAS + key).map(([, ifindex]) => ifindex)
    for (let n = 0; n < ours.length; n += DELETED_AT_ONCE) this.host.deleteLinks(ours.slice(n, n + DELETED_AT_ONCE))
  }

  private inPlace(key: string): boolean {
    const place = this.places.get(key)
    return !place || netnsInode(place.netns) === place.inode
  }

  private makeVeth(key: string, name: string, veth: Veth, before: Veth | undefined): number {
    const inode = netnsInode(veth.netns)
    if (inode === undefined || !hasNetns(veth.netns))
      throw new InkevError('INKEV_ERR_NETNS_MISSING', `there is no network namespace ${veth.netns}`, 'netns')
    return this.within(veth.netns, (inside, netns) => {
      const near =
        this.nearEnd(key, name, inside, veth) ??
        this.host.createVeth({ name, peerName: veth.ifname, peerNetns: netns, peerMac: veth.mac, mtu: veth.mtu })
      this.host.sysctl(`ipv6/conf/${name}/disable_ipv6`, '1')
      this.host.setLink(near, { alias: ALIAS + key, mtu: HOST_END_MTU })
      this.furnish(inside, veth, before)
      this.places.set(key, { netns: veth.netns, inode })
      return near
    })
  }

  /** The host's end of the veth where both are as they should be; removes what is half there. */
  private nearEnd(key: string, name: string, inside: Netlink, { netns, ifname }: Veth): number | undefined {
    const near = this.host.link(name)
    const far = inside.link(ifname)
    if (near && far && joined(near, far)) return near.ifindex
    if (near && near.alias !== '' && near.alias !== ALIAS + key)
      throw new InkevError('INKEV_ERR_DEVICE_TAKEN', `the host has a device ${name} already (${near.alias})`)
    if (far)
      throw new InkevError(
        'INKEV_ERR_DEVICE_TAKEN',
        `namespace ${netns} has a device ${ifname} already`,
        'ifname',
        'Give the port another ifname, or remove that device.'
      )
    if (near) this.host.deleteLink(near.ifindex)
    return undefined
  }

  /** What is inside the namespace: MAC, addresses, routes. What is there and was wished before, but no longer, goes. */
  private furnish(inside: Netlink, veth: Veth, before: Veth | undefined): void {
    const { ifindex } = inside.link(veth.ifname)!
    const owns = veth.addresses.length > 0
    inside.setLink(inside.link('lo')!.ifindex, { up: true })
    inside.sysctl(`ipv6/conf/${veth.ifname}/accept_dad`, '0')
    if (owns) inside.sysctl(`ipv6/conf/${veth.ifname}/accept_ra`, '0')
    inside.setLink(ifindex, { mac: veth.mac, mtu: veth.mtu, up: true })

    const held = inside.addresses(ifindex).map(({ address }) => normalise(address))
    const ours = before ? before.addresses : owns ? held.filter(address => !address.startsWith('fe80:')) : []
    for (const address of ours) if (held.includes(address) && !veth.addresses.includes(address)) inside.deleteAddress(ifindex, address)
    for (const address of veth.addresses) if (!held.includes(address)) inside.addAddress(ifindex, address)

    const routes = inside.routes(ifindex).filter(({ protocol, gateway }) => protocol === ROUTE_STATIC && gateway !== undefined)
    const former = before ? before.routes : owns ? routes.map(({ destination, gateway }) => ({ destination, via: gateway! })) : []
    for (const { destination, via } of former)
      if (!veth.routes.some(route => route.destination === destination && route.via === via))
        inside.deleteRoute({ destination, gateway: via, ifindex })
    for (const { destination, via } of veth.routes) inside.addRoute({ destination, gateway: via, ifindex })
  }

  private within<T>(netns: string, work: (inside: Netlink, netns: ReturnType<Net['openNetns']>) => T): T {
    const open = this.net.openNetns(netnsPath(netns))
    try {
      const inside = this.net.open(open)
      try {
        return work(inside, open)
      } finally {
        inside.close()
      }
    } finally {
      open.close()
    }
  }
}

function joined(near: LinkState, far: LinkState): boolean {
  return far.kind === 'veth' && far.peer === near.ifindex && near.peer === far.ifindex
}
