// SPDX-License-Identifier: Apache-2.0
// inkev_port: the port on its host, and on every other host of its network an endpoint that says where its addresses live.

import { endpoint } from '@inkev/agent/api/resources'
import { bool, name } from '@inkev/bpf/catalogue/fields'
import type { Stored } from '../agent'
import { endpointOperations, memberships } from '../endpoints'
import { defineResource } from '../resource'
import { isSame } from '../same'
import { attributesOf } from '../schema'
import { settled } from '../settled'
import type { Members } from '../value'
import type { Session } from '../world'

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

  problems({ host, ...planned }, world) {
    return memberships(planned).flatMap(({ network }) => {
      const intent = world.intent('networks', network)
      if (!intent || typeof host !== 'string' || intent.hosts.includes(host)) return []
      return [
        {
          path: [{ attribute: 'host' }],
          message: `network ${network} does not span ${host}: its hosts are ${intent.hosts.join(', ')}.`,
          hint: `Add ${host} to hosts of the network.`
        }
      ]
    })
  },

  async announce(session, _planned, prior, found) {
    const [[host, { item }]] = [...found] as [[string, Stored]]
    const now = memberships(item).map(({ network }) => network)
    if (prior)
      await retractFrom(
        session,
        prior,
        memberships(prior).filter(({ network }) => !now.includes(network))
      )
    for (const record of endpointOperations(host, item)) {
      const hosts = await otherHosts(session, host, record.body.network)
      await settled(hosts, other => session.agent(other).bulk([record]))
    }
  },

  withdraw: (session, prior) => retractFrom(session, prior, memberships(prior)),

  async reflect(session, state, found) {
    const [[host, { item }]] = [...found] as [[string, Stored]]
    let announced = true
    for (const record of endpointOperations(host, item)) {
      const known = await settled(await otherHosts(session, host, record.body.network), other => isKnownOn(session, other, record))
      announced &&= known.every(Boolean)
    }
    return { ...state, announced }
  }
})

/** The other hosts of a network, as the port's own host knows them; those that the provider block does not name are somebody else's to tell. */
async function otherHosts(session: Session, host: string, network: string): Promise<string[]> {
  const peers = await session.agent(host).list('peers')
  const hosts = [...peers.values()].filter(({ item }) => item.network === network).map(({ item }) => String(item.host))
  return hosts.filter(other => session.world.agents?.has(other))
}

/** Takes the port's endpoints in these networks back, save where the port lives elsewhere by now. */
async function retractFrom(session: Session, { host, name }: Members, left: ReturnType<typeof memberships>): Promise<void> {
  if (!session.world.agents?.has(String(host))) return
  for (const { network } of left) {
    const endpoint = `${network}.${String(name)}`
    await settled(await otherHosts(session, String(host), network), async other => {
      const known = (await session.agent(other).list('endpoints')).get(endpoint)
      if (known?.item.host === host) await session.agent(other).delete('endpoints', endpoint)
    })
  }
}

async function isKnownOn(session: Session, other: string, { name, body }: ReturnType<typeof endpointOperations>[number]): Promise<boolean> {
  const known = (await session.agent(other).list('endpoints')).get(name)?.item
  const wanted: Members = body
  return (
    known !== undefined &&
    Object.entries(endpointFields).every(([field, attribute]) => isSame(attribute, known[field] ?? null, wanted[field] ?? null))
  )
}
