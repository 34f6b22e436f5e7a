// SPDX-License-Identifier: Apache-2.0
// Whether addresses that functions in chains send packets on to (`reaches`) have a way: what a plan must not leave without one.

import { isIP } from 'node:net'
import { cidrContains, normalise } from '@inkev/bpf/catalogue/addresses'
import type { FunctionKind } from '@inkev/bpf/catalogue/define'
import { InkevError } from '../../api/errors'
import { type Desired, kindOf, type Network, type ResourceType, type StitchEnd, type WorkloadPort } from './desired'
import { subnetsOf } from './resolve'

interface Unreached {
  function: string
  /** Of the field that says the address, in the function. */
  path: string
  message: string
}

/**
 * Throws where a resource leaves such an address without a way for good: the workload's only way out is the default gateway, that is a function of this host,
 * and it leads to no prefix that holds the address. Whatever is not known yet, or not declared at all, may be a way. An agent takes such a configuration, since
 * the change that makes the way may come after it; a plan that holds both must not end so.
 */
export function requireReach(desired: Desired, type: ResourceType, name: string): void {
  const ports = type === 'ports' ? [name] : ['networks', 'functions', 'stitches'].includes(type) ? desired.ports.keys() : []
  for (const port of ports) {
    const unreached = findUnreached(desired, desired.ports.get(port)!)
    if (!unreached) continue
    const { function: fn, path, message } = unreached
    const isOwn = type === 'functions' && fn === name
    throw new InkevError(
      'INKEV_ERR_CONFIG',
      `${isOwn ? '' : `${path} of function ${fn}: `}${message}, the gateway of port ${port}`,
      isOwn ? path : type === 'ports' ? 'chain' : '',
      'Take an address that the gateway leads to, or give it an interface or a route.'
    )
  }
}

function findUnreached(desired: Desired, port: WorkloadPort): Unreached | undefined {
  const name = port.chain.at(-1)
  const known = name === undefined ? undefined : functionOf(desired, name)
  const addresses = Object.entries(known?.kind.reaches?.(known.config as never) ?? {})
  const network = desired.networks.get(port.network ?? '')
  if (addresses.length === 0 || !network || !goesByDefault(port)) return undefined
  const gateways = gatewaysOf(desired, port, network)
  for (const [field, address] of addresses) {
    const gateway = gateways.get(isIP(normalise(address)))
    if (!gateway || gateway.leads.some(prefix => cidrContains(prefix, address))) continue
    const message = `${address} lies behind no interface and no route of ${gateway.name}`
    return { function: name!, path: `${known!.kind.kind}.${field}`, message }
  }
  return undefined
}

/** Whether the default gateway is the only way out of a workload that the configuration knows. */
function goesByDefault({ netns, vlans, routes, configure_addresses, default_route }: WorkloadPort): boolean {
  return netns !== undefined && !vlans && Object.keys(routes ?? {}).length === 0 && configure_addresses !== false && default_route
}

interface Gateway {
  name: string
  leads: string[]
}

/** The functions that are a workload's default gateways, by family; none where it has several, or another station is the gateway. */
function gatewaysOf(desired: Desired, port: WorkloadPort, network: Network): Map<number, Gateway> {
  const stations = stationsOf(desired, port.network!)
  return new Map(
    [4, 6].flatMap(family => {
      const subnets = subnetsOf(network).filter(({ gateway }) => isIP(gateway) === family)
      const found = stations.find(({ addresses }) => subnets.length === 1 && addresses.includes(normalise(subnets[0]!.gateway)))
      return found ? [[family, found] as const] : []
    })
  )
}

/** The functions stitched to a network that say where they lead, with their addresses in it. */
function stationsOf(desired: Desired, network: string): (Gateway & { addresses: string[] })[] {
  const ends = [...desired.stitches.values()].flatMap(({ a, b }) => (a.network === network ? [b] : b.network === network ? [a] : []))
  return ends.flatMap(({ function: name, port }: StitchEnd) => {
    const known = name === undefined ? undefined : functionOf(desired, name)
    if (!known?.kind.leads) return []
    const addresses = known.kind.presents?.(known.config as never, name!)[port!]?.addresses ?? []
    return [{ name: name!, addresses, leads: known.kind.leads(known.config as never) }]
  })
}

function functionOf(desired: Desired, name: string): { kind: FunctionKind; config: Record<string, unknown> } | undefined {
  const declared = desired.functions.get(name)
  return declared && kindOf(desired, declared)
}
