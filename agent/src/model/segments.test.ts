// SPDX-License-Identifier: Apache-2.0
// Networks on physical segments, and trunk ports: what is refused, and what the graph makes of the rest.

import { DEFAULT_POLICY } from '@inkev/bpf/catalogue/policy'
import { expect, test } from '@jest/globals'
import type { InkevError } from '../../api/errors'
import type { ResourceType } from '../../api/resources'
import { canonical } from './canonical'
import { type HostFacts, noRows } from './desired'
import { Exits } from './exits'
import { buildGraph } from './graph'
import { validate } from './validate'

const facts: HostFacts = {
  name: 'edge-1',
  uplink: { name: 'uplink', ifindex: 2, mtu: 1500, vtep: '192.0.2.1' },
  hasNetns: () => true,
  troubles: () => ({ failing: new Map(), hindered: new Map() }),
  programs: DEFAULT_POLICY,
  device: name => (name === 'missing' ? undefined : { ifindex: 7, mtu: 1400 })
}

const lan = { subnets: {}, physical: { 'edge-1': { interface: 'eth1', vlan: 42 } } }
const red = { vni: 1, subnets: { v4: { cidr: '10.0.1.0/24' } } }
const peer = { network: 'red', host: 'edge-2' }
const trunk = { netns: 'a', vlans: { '7': { network: 'lan' }, '8': { network: 'red', ip_addresses: ['10.0.1.7'] } } }

function desiredOf(all: Record<string, unknown>) {
  const desired = noRows<unknown>()
  for (const [key, body] of Object.entries(all)) {
    const [type, name] = key.split('/') as [ResourceType, string]
    desired[type].set(name, canonical(type, name, body))
  }
  return desired as never
}

/** The code and the field for which the last of these is refused. */
function refusal(all: Record<string, unknown>): string {
  const [type, name] = Object.keys(all).at(-1)!.split('/') as [ResourceType, string]
  try {
    validate(desiredOf(all), facts, type, name, undefined)
    return 'accepted'
  } catch (error) {
    const { code, path } = error as InkevError
    return `${code} ${path}`
  }
}

const at = (device: string, vlan?: number) => ({ subnets: {}, physical: { 'edge-1': { interface: device, ...(vlan && { vlan }) } } })

test.each([
  ['neither tunnels nor a segment', { 'networks/n': { subnets: {} } }, 'INKEV_ERR_NEEDS vni'],
  ['a device that is missing', { 'networks/n': at('missing') }, 'INKEV_ERR_INTERFACE_MISSING physical.edge-1.interface'],
  ['another’s tag', { 'networks/lan': lan, 'networks/n': at('eth1', 42) }, 'INKEV_ERR_DEVICE_TAKEN physical.edge-1.vlan'],
  ['another tag of the same device', { 'networks/lan': lan, 'networks/n': at('eth1', 43) }, 'accepted'],
  ['the frames without tag of the uplink', { 'networks/lan': lan, 'networks/n': at('uplink') }, 'accepted'],
  [
    'a host whose tunnel end is of another family',
    { 'networks/red': red, 'peers/red.edge-2': { ...peer, vtep: '2001:db8::2' } },
    'INKEV_ERR_CONFIG vtep'
  ],
  [
    'a device that a stitch has',
    { 'stitches/s': { a: { function: 'f', port: 'p' }, b: { interface: 'tap0' } }, 'networks/n': at('tap0') },
    'INKEV_ERR_DEVICE_TAKEN physical.edge-1.interface'
  ],
  [
    'tunnels between two segments',
    { 'networks/n': { vni: 1, subnets: {}, physical: { ...lan.physical, 'edge-2': { interface: 'eth1' } } } },
    'INKEV_ERR_CONFIG physical.edge-2'
  ]
])('a network with %s', (_, all, expected) => {
  expect(refusal(all)).toBe(expected)
})

test.each([
  ['on the device of a segment', { interface: 'eth1' }, 'INKEV_ERR_DEVICE_TAKEN interface'],
  ['with a tag that is none', { netns: 'a', vlans: { '4095': { network: 'red' } } }, 'INKEV_ERR_CONFIG vlans.4095'],
  ['with a tag that is no number', { netns: 'a', vlans: { blue: { network: 'red' } } }, 'INKEV_ERR_CONFIG vlans.blue'],
  ['in a network twice', { netns: 'a', network: 'red', vlans: { '7': { network: 'red' } } }, 'INKEV_ERR_CONFIG vlans.7.network'],
  [
    'with an address outside the network of its tag',
    { netns: 'a', vlans: { '7': { network: 'red', ip_addresses: ['10.9.0.1'] } } },
    'INKEV_ERR_OUTSIDE_SUBNET vlans.7.ip_addresses.0'
  ],
  ['of several tags', trunk, 'accepted']
])('a port %s', (_, port, expected) => {
  expect(refusal({ 'networks/lan': lan, 'networks/red': red, 'ports/p': port })).toBe(expected)
})

test('a segment keeps its network active, and its MTU is that of the narrowest way', () => {
  const { instances, workloads, statuses } = buildGraph(desiredOf({ 'networks/lan': lan, 'networks/n': { ...red, ...at('eth2') } }), facts)
  expect([...instances].map(([key, { network }]) => [key, network!.mtu])).toEqual([
    ['networks/lan', 1400],
    ['networks/n', 1400]
  ])
  expect([...workloads.keys()]).toEqual(['segments/lan', 'segments/n'])
  expect(statuses.get('networks/lan')).toEqual({ state: 'active' })
})

test('a trunk port is one workload for each tag, all on one device', () => {
  const { workloads, statuses } = buildGraph(desiredOf({ 'networks/lan': lan, 'networks/red': red, 'ports/p': trunk }), facts)
  const seen = [...workloads.values()].filter(({ on }) => on === 'ports/p').map(({ key, tag, network }) => [key, tag, network])
  expect(seen).toEqual([
    ['ports/p', 0, undefined],
    ['ports/p/7', 7, 'lan'],
    ['ports/p/8', 8, 'red']
  ])
  expect(statuses.get('ports/p')).toEqual({ state: 'active' })
})

test('networks from which packets can come to network cards and taps are known, and the workloads in them that these do not come to', () => {
  const gateway = { router: { interfaces: { red: { address: '10.0.1.1/24' }, lan: { address: '10.9.0.1/24' } } } }
  const all = {
    'networks/lan': lan,
    'networks/red': red,
    'networks/blue': { vni: 2, subnets: {} },
    'networks/green': { vni: 3, subnets: {} },
    'functions/gateway': gateway,
    'functions/copies': { mirror: {} },
    'stitches/red': { a: { network: 'red' }, b: { function: 'gateway', port: 'red' } },
    'stitches/lan': { a: { network: 'lan' }, b: { function: 'gateway', port: 'lan' } },
    'stitches/copies': { a: { function: 'copies', port: 'copy' }, b: { interface: 'tap0' } },
    'ports/red': { network: 'red', netns: 'a' },
    'ports/copied': { network: 'blue', netns: 'b', chain: ['copies'] },
    'ports/blue': { network: 'blue', netns: 'd' },
    'ports/green': { network: 'green', netns: 'c' },
    'ports/tap': { network: 'green', interface: 'tap1', mac: '02:00:00:00:00:01' }
  }
  const plain = new Exits(buildGraph(desiredOf(all), facts))
  expect(['lan', 'red', 'blue', 'green'].filter(network => plain.from(network))).toEqual(['lan', 'red', 'blue', 'green'])
  expect(plain.workloadsWithout().map(({ key }) => key)).toEqual(['ports/red', 'ports/blue', 'ports/green'])
  const { 'stitches/lan': _, 'stitches/copies': __, 'ports/tap': ___, ...closed } = all
  const beyond = {
    ...closed,
    'stitches/copies': all['stitches/copies'],
    'stitches/blue': { ...all['stitches/lan'], a: { network: 'blue' } }
  }
  const routed = new Exits(buildGraph(desiredOf(beyond), facts))
  expect(['lan', 'red', 'blue', 'green'].filter(network => routed.from(network))).toEqual(['lan', 'red', 'blue'])
  const none = new Exits(buildGraph(desiredOf(closed), facts))
  expect(['lan', 'red', 'blue', 'green'].filter(network => none.from(network))).toEqual(['lan'])
})
