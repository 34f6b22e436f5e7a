// SPDX-License-Identifier: Apache-2.0
// inkev_port: the port on its host, and on every other host of its network an endpoint that says where its addresses live.

import { endpoint } from '@inkev/agent/api/resources'
import { bool, name } from '@inkev/bpf/catalogue/fields'
import type { Item, Stored } from '../agent'
import { defineResource } from '../resource'
import { isSame } from '../same'
import { attributesOf } from '../schema'
import { settled } from '../settled'
import type { Members } from '../value'
import type { Session } from '../world'
import { endpointOperation } from './network'

const endpointFields = attributesOf(endpoint)

export const port = defineResource({
  type: 'inkev_port',
  rest: 'ports',
  description: 'Where one workload joins a network on one host: a veth pair into a network namespace, or an existing device.',
  own: {
    name: name({ doc: 'Name of the port.', replace: true }),
    host: name({ doc: 'The host on which the workload runs.', replace: true }),
    announced: bool({
      doc: 'Whether every other host of the network knows where the port’s addresses live. False is drift, which the next apply repairs.',
      default: true
    })
  },
  adjust: { announced: { optional: false }, mac: { follows: ['network', 'netns', 'interface'] }, mtu: { follows: ['network'] } },
  identity: ['host', 'name'],
  hosts: ({ host }) => (typeof host === 'string' ? [host] : []),

  problems({ host, network }, world) {
    const intent = typeof network === 'string' ? world.intent('networks', network) : undefined
    if (!intent || typeof host !== 'string' || intent.hosts.includes(host)) return []
    return [
      {
        path: [{ attribute: 'host' }],
        message: `network ${String(network)} does not span ${host}: its hosts are ${intent.hosts.join(', ')}.`,
        hint: `Add ${host} to hosts of the network.`
      }
    ]
  },

  async announce(session, _planned, prior, found) {
    const [[host, { item }]] = [...found] as [[string, Stored]]
    if (prior && prior.network !== item.network) await retract(session, prior)
    if (typeof item.network !== 'string' || !item.mac) return
    const record = endpointOperation(item.network, host, item)
    const hosts = await otherHosts(session, host, item.network)
    await settled(hosts, other => session.agent(other).bulk([record]))
  },

  withdraw: retract,

  async reflect(session, state, found) {
    const [[host, { item }]] = [...found] as [[string, Stored]]
    const hosts = typeof item.network === 'string' && item.mac ? await otherHosts(session, host, item.network) : []
    const known = await settled(hosts, other => isKnownOn(session, other, host, item))
    return { ...state, announced: known.every(Boolean) }
  }
})

/** The other hosts of a network, as the port's own host knows them; those that the provider block does not name are somebody else's to tell. */
async function otherHosts(session: Session, host: string, network: string): Promise<string[]> {
  const peers = await session.agent(host).list('peers')
  const hosts = [...peers.values()].filter(({ item }) => item.network === network).map(({ item }) => String(item.host))
  return hosts.filter(other => session.world.agents?.has(other))
}

/** Takes the port's endpoints back, save where the port lives elsewhere by now. */
async function retract(session: Session, { host, name, network }: Members): Promise<void> {
  if (typeof network !== 'string' || !session.world.agents?.has(String(host))) return
  const endpoint = `${network}.${String(name)}`
  await settled(await otherHosts(session, String(host), network), async other => {
    const known = (await session.agent(other).list('endpoints')).get(endpoint)
    if (known?.item.host === host) await session.agent(other).delete('endpoints', endpoint)
  })
}

async function isKnownOn(session: Session, other: string, host: string, port: Item): Promise<boolean> {
  const { body, name } = endpointOperation(String(port.network), host, port)
  const known = (await session.agent(other).list('endpoints')).get(name)?.item
  return (
    known !== undefined &&
    Object.entries(endpointFields).every(([field, attribute]) => isSame(attribute, known[field] ?? null, body?.[field] ?? null))
  )
}
