// SPDX-License-Identifier: Apache-2.0
// inkev's side of the comparison: one tenant of two networks, a router and a firewall on every port, put to the agents of a lab by REST.

import type { Host } from '../lab/host'
import type { Lab } from '../lab/lab'
import { OWN } from './figures'
import type { Scenario } from './references'

const NETWORKS = { web: { vni: 7001, cidr: '10.8.1.0/24' }, db: { vni: 7002, cidr: '10.8.2.0/24' } }
type NetworkName = keyof typeof NETWORKS

interface Workload {
  name: string
  network: NetworkName
  host: number
  address: string
}

const WORKLOADS: Workload[] = [
  { name: 'client', network: 'web', host: 0, address: '10.8.1.11' },
  { name: 'neighbour', network: 'web', host: 0, address: '10.8.1.12' },
  { name: 'routed', network: 'db', host: 0, address: '10.8.2.11' },
  { name: 'remote', network: 'web', host: 1, address: '10.8.1.21' }
]

/** Puts one resource; throws with the agent's sentence unless it is taken. */
export async function put(host: Host, path: string, body: unknown): Promise<Record<string, unknown>> {
  const answer = await host.request('PUT', `/v1/${path}`, body)
  if (answer.status >= 300) throw new Error(`PUT ${path} on ${host.name} was refused (${answer.status}): ${JSON.stringify(answer.body)}`)
  return answer.body
}

/** Rules as tight as those of the references: known connections, and new ones of TCP and ICMP. */
export const FIREWALL = {
  rules: {
    tcp: { priority: 10, direction: 'ingress', protocol: 'tcp', action: 'allow' },
    icmp: { priority: 20, direction: 'ingress', protocol: 'icmp', action: 'allow' }
  }
}

async function putTenant(host: Host): Promise<void> {
  for (const [name, { vni, cidr }] of Object.entries(NETWORKS)) await put(host, `networks/${name}`, { vni, subnets: { v4: { cidr } } })
  await put(host, 'functions/rules', { firewall: FIREWALL })
  await put(host, 'functions/gateway', { router: { interfaces: { web: { address: '10.8.1.1/24' }, db: { address: '10.8.2.1/24' } } } })
  for (const network of Object.keys(NETWORKS)) {
    await put(host, `stitches/gateway-${network}`, { a: { function: 'gateway', port: network }, b: { network } })
  }
}

async function putPeers(lab: Lab): Promise<void> {
  for (const host of lab.hosts) {
    for (const other of lab.hosts.filter(({ name }) => name !== host.name)) {
      for (const network of Object.keys(NETWORKS)) {
        await put(host, `peers/${network}.${other.name}`, { network, host: other.name, vtep: other.vtep })
      }
    }
  }
}

async function putWorkload(lab: Lab, { name, network, host, address }: Workload): Promise<void> {
  const port = { network, netns: name, create_netns: true, ip_addresses: [address], chain: ['rules'] }
  const home = lab.hosts[host]!
  const { mac } = await put(home, `ports/${name}`, port)
  for (const other of lab.hosts.filter(other => other.name !== home.name)) {
    await put(other, `endpoints/${network}.${name}`, { network, host: home.name, mac, addresses: [address] })
  }
}

/** Sets the tenant up on both hosts of a lab and names the scenarios it offers. */
export async function ownScenarios(lab: Lab): Promise<Record<string, Scenario>> {
  for (const host of lab.hosts) await putTenant(host)
  await putPeers(lab)
  for (const workload of WORKLOADS) await putWorkload(lab, workload)
  const client = lab.hosts[0]!.workload('client')
  const towards = (wanted: string): Scenario => {
    const { host, name, address } = WORKLOADS.find(({ name }) => name === wanted)!
    return { client, server: lab.hosts[host]!.workload(name), address }
  }
  return { [OWN.bridged]: towards('neighbour'), [OWN.routed]: towards('routed'), [OWN.across]: towards('remote') }
}
