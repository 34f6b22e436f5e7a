// SPDX-License-Identifier: Apache-2.0
// A physical network beside the underlay: a switch that every host has its device eth1 at, and stations that speak with tags.

import { join } from 'node:path'
import type { Host } from './host'
import type { Lab } from './lab'
import type { Namespace } from './namespace'

/** The switch, in a namespace that goes with the lab. */
export async function laySegment(lab: Lab): Promise<Namespace> {
  const [first] = lab.hosts
  const outside = await first!.addWorkload('outside')
  await outside.run(['ip', 'link', 'add', 'switch', 'up', 'type', 'bridge', 'mcast_snooping', '0'])
  for (const host of lab.hosts) await plugIn(lab, host)
  await outside.run(['ip', 'link', 'add', 'trunk', 'type', 'veth', 'peer', 'name', 'station'])
  await outside.run(['ip', 'link', 'set', 'station', 'up', 'master', 'switch'])
  await tagDevice(outside, 'trunk', 'tc', lab)
  return outside
}

/** Gives a host its device eth1. */
export async function plugIn({ hosts: [first] }: Lab, host: Host): Promise<void> {
  await first!.run(['ip', 'link', 'add', 'eth1-new', 'type', 'veth', 'peer', 'name', host.name, 'netns', 'outside'])
  await first!.workload('outside').run(['ip', 'link', 'set', host.name, 'up', 'master', 'switch'])
  await first!.run(['ip', 'link', 'set', 'eth1-new', 'netns', String(host.agentPid), 'name', 'eth1'])
  await host.run(['ip', 'link', 'set', 'eth1', 'up'])
}

/** A device that speaks with a tag at the trunk, by tagger.bpf.c: this kernel need not have VLAN devices. */
export async function addVlan(at: Namespace, trunk: string, tag: number, addresses: string[], lab: Lab): Promise<void> {
  const [name, far] = [`vlan${tag}`, `far${tag}`]
  const [{ ifindex, address: mac }] = JSON.parse(await at.run(['ip', '-j', 'link', 'show', trunk]))
  await at.run(['ip', 'link', 'add', far, 'index', String((ifindex << 12) | tag), 'type', 'veth', 'peer', 'name', name, 'address', mac])
  await tagDevice(at, far, 'tc/out', lab)
  await at.run(['sysctl', '-qw', `net.ipv6.conf.${far}.disable_ipv6=1`])
  await at.run(['ip', 'link', 'set', name, 'up'])
  for (const address of addresses) await at.run(['ip', 'addr', 'add', address, 'dev', name, ...(address.includes(':') ? ['nodad'] : [])])
}

/** Has the programs of tagger.bpf.c read what arrives at a device. */
export async function tagDevice(at: Namespace, device: string, section: 'tc' | 'tc/out', { project }: Pick<Lab, 'project'>): Promise<void> {
  const object = join(project, 'bpf/build/tagger.bpf.o')
  await at.run(['ip', 'link', 'set', device, 'up'])
  await at.run(['tc', 'qdisc', 'add', 'dev', device, 'clsact'])
  await at.run(['tc', 'filter', 'add', 'dev', device, 'ingress', 'bpf', 'direct-action', 'object-file', object, 'section', section])
}
