// SPDX-License-Identifier: Apache-2.0
// inkev_network: the network on each of its hosts, and on each of them what it must know of the others: their tunnel ends and their ports.

import { findMisplaced } from '@inkev/agent/src/model/placing'
import { cidrsOf } from '@inkev/agent/src/model/resolve'
import { name } from '@inkev/bpf/catalogue/fields'
import { AgentError, type Item, type Operation, type Stored } from '../agent'
import { endpointOperations } from '../endpoints'
import { defineResource, hostSet, hostsOf } from '../resource'
import { settled } from '../settled'
import { isMembers } from '../value'
import type { Session } from '../world'

export const network = defineResource({
  type: 'inkev_network',
  rest: 'networks',
  description: 'A tenant’s layer 2 segment (broadcast domain), across any number of hosts.',
  own: {
    name: name({ doc: 'Name of the network.', replace: true }),
    hosts: hostSet('The hosts that the network spans.')
  },
  adjust: { mtu: { follows: ['hosts', 'vni', 'physical'] } },
  identity: ['name'],
  hosts: hostsOf,

  /** A host without a segment would have a network of its own. */
  problems({ hosts, physical, vni }) {
    if (!isMembers(physical) || !Array.isArray(hosts) || hosts.some(host => typeof host !== 'string')) return []
    const segments = Object.keys(physical)
    const without = vni === null ? hostsOf({ hosts }).filter(host => !segments.includes(host)) : []
    const stranger = segments.find(host => !hostsOf({ hosts }).includes(host))
    return [
      ...without.map(host => ({
        path: [{ attribute: 'hosts' }],
        message: `the network has no vni and no physical segment on ${host}, which could not reach the others.`,
        hint: `Add ${host} to physical, or take it out of hosts.`
      })),
      ...(stranger === undefined
        ? []
        : [
            {
              path: [{ attribute: 'physical' }, { key: stranger }],
              message: `the network does not span ${stranger}: its hosts are ${hostsOf({ hosts }).join(', ')}.`,
              hint: `Add ${stranger} to hosts, or take it out of physical.`
            }
          ])
    ]
  },

  /** The narrowest underlay decides. */
  agree(answers) {
    return { mtu: Math.min(...answers.map(({ mtu }) => Number(mtu))) }
  },

  async announce(session, { name, ...planned }, prior, found) {
    const hosts = hostsOf(planned)
    const isNew = (host: string) => !prior || !hostsOf(prior).includes(host)
    if (planned.vni === null) return
    await settled(hosts, async host => {
      const peers = await settled(others(hosts, host), other => peerOf(session, String(name), other))
      const { item } = found.get(host)!
      const endpoints = isNew(host) ? await settled(others(hosts, host), other => endpointsOf(session, item, other)) : []
      await session.agent(host).bulk([...peers, ...endpoints.flat()])
    })
  },

  /** On a host that leaves, all that it knew of the others; on the others, that host. */
  async withdraw(session, { name, ...prior }, leaving) {
    const network = String(name)
    const hosts = new Set([...hostsOf(prior), ...leaving])
    const reachable = [...hosts].filter(host => session.world.agents?.has(host))
    await settled(reachable, async host => {
      const records = await recordsOf(session, network, host)
      await session.agent(host).bulk(leaving.includes(host) ? records : records.filter(({ about }) => leaving.includes(about)))
    })
  },

  /** A host that lacks a peer does not hold the network wholly. */
  async reflect(session, state, found) {
    const hosts = [...found.keys()]
    if (state.vni === null) return { ...state, hosts: hosts.toSorted() }
    const whole = await settled(hosts, host => knowsPeers(session, String(state.name), host, others(hosts, host)))
    return { ...state, hosts: hosts.filter((_, index) => whole[index]).toSorted() }
  }
})

function others(hosts: string[], host: string): string[] {
  return hosts.filter(other => other !== host)
}

async function peerOf(session: Session, network: string, host: string): Promise<Operation> {
  const { vtep } = await session.agent(host).host()
  if (vtep === undefined)
    throw new AgentError(host, `${host} has no uplink, so a network cannot span it and other hosts`, {
      path: 'hosts',
      hint: 'Start its agent with --uplink, or take it out of hosts.'
    })
  return { method: 'PUT', resource: 'peers', name: `${network}.${host}`, body: { network, host, vtep } }
}

/** What another host must know of the ports that a host has in the network; a port that is still to be renumbered announces itself then. */
async function endpointsOf(session: Session, { name, ...network }: Item, host: string): Promise<Operation[]> {
  const ports = await session.agent(host).list('ports')
  const cidrs = cidrsOf(network as never)
  return [...ports.values()]
    .flatMap(({ item }) => endpointOperations(host, item))
    .filter(({ body }) => body.network === name && !findMisplaced(cidrs, body.addresses))
}

/** Deletes every record that a host holds about others in the network. */
async function recordsOf(session: Session, network: string, host: string): Promise<(Operation & { about: string })[]> {
  const lists = await Promise.all(
    (['peers', 'endpoints'] as const).map(async resource => ({ resource, items: await session.agent(host).list(resource) }))
  )
  return lists.flatMap(({ resource, items }) =>
    [...items.values()]
      .filter(({ item }) => item.network === network)
      .map(({ item }) => ({ method: 'DELETE', resource, name: item.name, about: String(item.host) }))
  )
}

async function knowsPeers(session: Session, network: string, host: string, peers: string[]): Promise<boolean> {
  const known: ReadonlyMap<string, Stored> = await session.agent(host).list('peers')
  const vteps = await settled(peers, async peer => (await session.agent(peer).host()).vtep)
  return peers.every((peer, index) => known.get(`${network}.${peer}`)?.item.vtep === vteps[index])
}
