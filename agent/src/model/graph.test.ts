// SPDX-License-Identifier: Apache-2.0
// From a desired state to the graph of one host: what runs, what waits, what is idle, and what each function sees at its ports.

import { DEFAULT_POLICY } from '@inkev/bpf/catalogue/policy'
import { describe, expect, test } from '@jest/globals'
import type { Desired, HostFacts } from './desired'
import { buildGraph } from './graph'
import { type Numbers, Situation } from './surroundings'

const facts: HostFacts = {
  name: 'edge-1',
  uplink: { name: 'uplink', ifindex: 2, mtu: 1500, vtep: '192.0.2.1' },
  hasNetns: () => true,
  troubles: () => ({ failing: new Map(), hindered: new Map() }),
  programs: DEFAULT_POLICY,
  device: () => ({ ifindex: 7, mtu: 1500 })
}

/** Small numbers that tell what they number. */
const numbers: Numbers = {
  instance: key => ({ 'networks/web': 16, 'networks/db': 17, 'functions/gateway': 18, 'functions/rules': 19 })[key] ?? 99,
  port: (_, port) => ({ web: 0, db: 1, inside: 0, outside: 1, 'stitches/gw-web': 2, 'stitches/gw-db': 2 })[port] ?? 50,
  workload: key => Number(key.slice(-1)),
  peer: vtep => Number(vtep.split('.')[3])
}

type Given = { [T in keyof Desired]?: Record<string, unknown> }

function desired(given: Given): Desired {
  const types = ['networks', 'peers', 'endpoints', 'ports', 'programs', 'functions', 'stitches'] as const
  return Object.fromEntries(types.map(type => [type, new Map(Object.entries(given[type] ?? {}))])) as unknown as Desired
}

const network = (vni: number) => ({
  vni,
  subnets: { v4: { cidr: `10.0.${vni}.0/24` } },
  learning: true,
  aging_time: '300s',
  suppression: true
})
const port = (name: string, netns: string, address: string, chain: string[] = []) => ({
  network: name,
  netns,
  ifname: 'eth0',
  create_netns: false,
  ip_addresses: [address],
  configure_addresses: true,
  default_route: true,
  chain,
  pin_addresses: false
})
const gateway = { router: { interfaces: { web: { address: '10.0.1.1/24' }, db: { address: '10.0.2.1/24' } } } }

const routed: Given = {
  networks: { web: network(1), db: network(2) },
  functions: { gateway },
  stitches: {
    'gw-web': { a: { function: 'gateway', port: 'web' }, b: { network: 'web' } },
    'gw-db': { a: { network: 'db' }, b: { function: 'gateway', port: 'db' } }
  }
}

describe('a graph', () => {
  test('holds what a workload of this host reaches, and no more', () => {
    const { instances, statuses } = buildGraph(
      desired({ ...routed, networks: { ...routed.networks, far: network(3) }, ports: { web1: port('web', 'web1', '10.0.1.11') } }),
      facts
    )
    expect([...instances.keys()].sort()).toEqual(['functions/gateway', 'networks/db', 'networks/web'])
    expect(statuses.get('networks/far')).toEqual({ state: 'idle', reason: 'no workload of this host reaches it' })
  })

  test('is empty without workloads', () => {
    const { instances, statuses } = buildGraph(desired(routed), facts)
    expect(instances.size).toBe(0)
    expect(statuses.get('stitches/gw-web')?.state).toBe('idle')
  })

  test('leaves a port out that waits for its network or for a function of its chain', () => {
    const { workloads, statuses } = buildGraph(
      desired({ networks: { web: network(1) }, ports: { a: port('none', 'a', '10.0.1.1'), b: port('web', 'b', '10.0.1.2', ['rules']) } }),
      facts
    )
    expect(workloads.size).toBe(0)
    expect(statuses.get('ports/a')).toEqual({ state: 'pending', reason: 'waits for network none' })
    expect(statuses.get('ports/b')).toEqual({ state: 'pending', reason: 'waits for function rules' })
  })

  test('gives a workload the prefix of its subnet and the routes to its gateway', () => {
    const { workloads } = buildGraph(desired({ networks: { web: network(1) }, ports: { web1: port('web', 'web1', '10.0.1.11') } }), facts)
    expect(workloads.get('ports/web1')).toMatchObject({
      mtu: 1450,
      device: { addresses: ['10.0.1.11/24'], routes: [{ destination: '0.0.0.0/0', via: '10.0.1.1' }] }
    })
  })

  test('gives no default route to a workload that is the gateway itself', () => {
    const { workloads } = buildGraph(desired({ networks: { web: network(1) }, ports: { gw1: port('web', 'gw1', '10.0.1.1') } }), facts)
    expect(workloads.get('ports/gw1')).toMatchObject({ device: { routes: [] } })
  })

  test('takes a device of the host that is stitched to a network as a port of it', () => {
    const { workloads } = buildGraph(
      desired({ networks: { web: network(1) }, stitches: { s: { a: { interface: 'eth1' }, b: { network: 'web' } } } }),
      facts
    )
    expect(workloads.get('interfaces/eth1')).toMatchObject({
      owner: 'stitches/s',
      network: 'web',
      join: { instance: 'networks/web', port: 'workloads' }
    })
  })

  test('lets the port tell of itself where another host still tells of it', () => {
    const endpoint = { network: 'web', host: 'edge-2', mac: '02:00:00:00:00:01', addresses: ['10.0.1.11'] }
    const { remoteAddresses, statuses } = buildGraph(
      desired({ networks: { web: network(1) }, ports: { web1: port('web', 'web1', '10.0.1.11') }, endpoints: { 'web.web1': endpoint } }),
      facts
    )
    expect(remoteAddresses).toEqual([])
    expect(statuses.get('endpoints/web.web1')).toEqual({ state: 'idle', reason: 'the port itself is on this host' })
  })
})

describe('what lies around an instance', () => {
  const endpoint = { network: 'db', host: 'edge-2', mac: '02:00:00:00:00:09', addresses: ['10.0.2.19'] }
  const all = {
    ...routed,
    ports: { web1: port('web', 'web1', '10.0.1.11') },
    peers: { 'db.edge-2': { network: 'db', host: 'edge-2', vtep: '192.0.2.2' } },
    endpoints: { 'db.db9': endpoint }
  }

  test('of a network: its workloads, its remote hosts, and the functions that have addresses in it', () => {
    const graph = buildGraph(desired(all), facts)
    const { bridge } = new Situation(graph, numbers).of(graph.instances.get('networks/db')!)
    expect(bridge).toMatchObject({ vni: 2, mtu: 1450, port_ids: [], peers: [2], stitched: [2] })
    expect(bridge!.endpoints).toEqual([
      { mac: '02:00:00:00:00:09', addresses: ['10.0.2.19'], peer: 2 },
      { mac: expect.any(String), addresses: ['10.0.2.1'], bridge_port: 2 }
    ])
  })

  test('of a router: the networks at its ports with all who live there', () => {
    const graph = buildGraph(desired(all), facts)
    const { ports } = new Situation(graph, numbers).of(graph.instances.get('functions/gateway')!)
    expect(ports.web).toMatchObject({ number: 0, network: { name: 'web', vni: 1, mtu: 1450, cidrs: ['10.0.1.0/24'] } })
    expect(ports.web!.network!.endpoints).toContainEqual({ mac: expect.any(String), addresses: ['10.0.1.11'], port_id: 1 })
    expect(ports.db!.network!.endpoints).toContainEqual({ mac: '02:00:00:00:00:09', addresses: ['10.0.2.19'], peer: 2 })
  })

  test('is seen through a function that leaves addresses as they are', () => {
    const through = {
      ...all,
      functions: { gateway, rules: { firewall: {} } },
      stitches: {
        ...routed.stitches,
        'gw-web': { a: { function: 'gateway', port: 'web' }, b: { function: 'rules', port: 'outside' } },
        'rules-web': { a: { function: 'rules', port: 'inside' }, b: { network: 'web' } }
      }
    }
    const graph = buildGraph(desired(through), facts)
    expect(new Situation(graph, numbers).of(graph.instances.get('functions/gateway')!).ports.web!.network?.name).toBe('web')
    expect(new Situation(graph, numbers).of(graph.instances.get('networks/web')!).bridge!.endpoints).toContainEqual({
      mac: expect.any(String),
      addresses: ['10.0.1.1'],
      bridge_port: 50
    })
  })

  test('of a network: also where the instances of a function are that lead packets to one another', () => {
    const translator = {
      nat: { gateways: { 'edge-1': { ports: '1024-2047' }, 'edge-2': { ports: '2048-4095' }, 'edge-9': { ports: '1' } } }
    }
    const through = {
      ...all,
      functions: { gateway, translator },
      stitches: {
        ...routed.stitches,
        'gw-db': { a: { function: 'gateway', port: 'db' }, b: { function: 'translator', port: 'inside' } },
        'nat-db': { a: { function: 'translator', port: 'outside' }, b: { network: 'db' } }
      }
    }
    const graph = buildGraph(desired(through), facts)
    const { bridge } = new Situation(graph, numbers).of(graph.instances.get('networks/db')!)
    const places = bridge!.endpoints.filter(({ addresses }) => addresses.length === 0).map(({ mac: _, ...place }) => place)
    expect(places).toHaveLength(4)
    expect(places).toEqual(
      expect.arrayContaining([
        { addresses: [], bridge_port: 50 },
        { addresses: [], peer: 2 }
      ])
    )
  })

  test('of a network: also the addresses that a function on the way adds to those behind it', () => {
    const through = {
      ...all,
      functions: { gateway, translator: { nat: { floating: { web: { inside: '10.0.2.19', outside: '10.0.1.99' } } } } },
      stitches: {
        ...routed.stitches,
        'gw-web': { a: { function: 'gateway', port: 'web' }, b: { function: 'translator', port: 'inside' } },
        'nat-web': { a: { function: 'translator', port: 'outside' }, b: { network: 'web' } }
      }
    }
    const graph = buildGraph(desired(through), facts)
    expect(new Situation(graph, numbers).of(graph.instances.get('networks/web')!).bridge!.endpoints).toContainEqual(
      expect.objectContaining({ addresses: ['10.0.1.1', '10.0.1.99'] })
    )
  })
})
