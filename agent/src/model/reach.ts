// SPDX-License-Identifier: Apache-2.0
// Whether addresses that functions send packets on to (`reaches`) have a way: what a plan must not leave without one.

import { isIP } from 'node:net'
import { cidrContains, normalise } from '@inkev/bpf/catalogue/addresses'
import { type FunctionKind, type Lead, portNames } from '@inkev/bpf/catalogue/define'
import { InkevError } from '../../api/errors'
import { type Desired, kindOf, type Network, type ResourceType, type StitchEnd, type WorkloadPort } from './desired'
import { cidrsOf, subnetsOf } from './resolve'

interface Unreached {
  function: string
  /** Of the field that says the address, in the function. */
  path: string
  message: string
  hint: string
  /** Of the field that put the function there, in the resources of this type. */
  placed: { type: ResourceType; path: string }
}

/**
 * Throws where a resource leaves such an address without a way for good: every way out of the function is known, and none leads there. Whatever is not known
 * yet, or not declared at all, may be a way. An agent takes such a configuration, since the change that makes the way may come after it; a plan that holds both
 * must not end so.
 */
export function requireReach(desired: Desired, type: ResourceType, name: string): void {
  const unreached = findUnreached(desired, type, name)
  if (!unreached) return
  const { function: fn, path, message, hint, placed } = unreached
  const isOwn = type === 'functions' && fn === name
  throw new InkevError(
    'INKEV_ERR_CONFIG',
    isOwn ? message : `${path} of function ${fn}: ${message}`,
    isOwn ? path : type === placed.type ? placed.path : '',
    hint
  )
}

/** The first that a change of this resource can have to do with. */
function findUnreached(desired: Desired, type: ResourceType, name: string): Unreached | undefined {
  const isWay = ['networks', 'functions', 'stitches'].includes(type)
  const ports = type === 'ports' ? [name] : isWay ? desired.ports.keys() : []
  for (const port of ports) {
    const unreached = unreachedFromChain(desired, port)
    if (unreached) return unreached
  }
  for (const fn of isWay ? desired.functions.keys() : []) {
    const unreached = unreachedFromStitches(desired, fn)
    if (unreached) return unreached
  }
  return undefined
}

/** What the last function of a port's chain cannot reach: the workload's only way out is the default gateway, a function of this host that does not lead there. */
function unreachedFromChain(desired: Desired, portName: string): Unreached | undefined {
  const port = desired.ports.get(portName)!
  const name = port.chain.at(-1)
  const known = name === undefined ? undefined : functionOf(desired, name)
  const addresses = known ? reachesOf(known) : []
  const network = desired.networks.get(port.network ?? '')
  if (addresses.length === 0 || !network || !goesByDefault(port)) return undefined
  const gateways = gatewaysOf(desired, port, network)
  for (const [field, address] of addresses) {
    const gateway = gateways.get(isIP(address))
    if (!gateway || gateway.leads.some(({ prefix }) => cidrContains(prefix, address))) continue
    return {
      function: name!,
      path: `${known!.kind.kind}.${field}`,
      message: `${address} lies behind no interface and no route of ${gateway.name}, the gateway of port ${portName}`,
      hint: 'Take an address that the gateway leads to, or give it an interface or a route.',
      placed: { type: 'ports', path: 'chain' }
    }
  }
  return undefined
}

/**
 * What a function cannot reach that is stitched to routers and networks themselves. A router takes no frame but its own: what enters the function comes from a
 * router, for the link or a station that it has a route by; or from the link, for a router.
 */
function unreachedFromStitches(desired: Desired, name: string): Unreached | undefined {
  const known = functionOf(desired, name)
  const addresses = known ? reachesOf(known) : []
  if (!known || addresses.length === 0) return undefined
  const sides = portNames(known.kind, known.config).map(port => sideOf(desired, name, port))
  if (!sides.every(side => side !== undefined) || !sides.some(side => 'leads' in side)) return undefined
  const found = addresses.find(([, address]) => !sides.some(side => mayLead(side, address)) && !hasStation(sides, address))
  if (!found) return undefined
  const [field, address] = found
  return {
    function: name,
    path: `${known.kind.kind}.${field}`,
    message: `${address} lies ${sides.map(sideInWords).join(', and ')}, to which ${name} is stitched`,
    hint: 'Take an address of that network, or give the router an interface or a route to it.',
    placed: { type: 'stitches', path: '' }
  }
}

/** What a port of a function is stitched to: a network, by the prefixes of its link, or a router. */
type Side = { name: string; link: string[] } | { name: string; leads: Lead[] }

/** Undefined where nothing is stitched, or it is not known what lies there. */
function sideOf(desired: Desired, name: string, port: string): Side | undefined {
  const isEnd = (end: StitchEnd) => end.function === name && end.port === port
  const stitch = [...desired.stitches.values()].find(({ a, b }) => isEnd(a) || isEnd(b))
  const end = stitch && (isEnd(stitch.a) ? stitch.b : stitch.a)
  const network = desired.networks.get(end?.network ?? '')
  if (network) return { name: end!.network!, link: cidrsOf(network) }
  const router = end?.function === undefined ? undefined : functionOf(desired, end.function)
  return router?.kind.leads && { name: end!.function!, leads: router.kind.leads(router.config as never) }
}

/** A link without a subnet of the address's family may be one of any. */
function mayLead(side: Side, address: string): boolean {
  if ('leads' in side) return side.leads.some(({ prefix }) => cidrContains(prefix, address))
  const cidrs = side.link.filter(cidr => familyOf(cidr) === isIP(address))
  return cidrs.length === 0 || cidrs.some(cidr => cidrContains(cidr, address))
}

/** Whether a router hands packets of the address's family to a station on one of the links, which may know the way. */
function hasStation(sides: Side[], address: string): boolean {
  const links = [LINK_LOCAL, ...sides.flatMap(side => ('link' in side ? side.link : []))]
  const stations = sides
    .flatMap(side => ('leads' in side ? side.leads : []))
    .flatMap(({ via }) => (via === undefined ? [] : [normalise(via)]))
  return stations.some(via => isIP(via) === isIP(address) && links.some(cidr => cidrContains(cidr, via)))
}

const LINK_LOCAL = 'fe80::/10'

function sideInWords(side: Side): string {
  return 'leads' in side ? `behind no interface and no route of ${side.name}` : `in no subnet of network ${side.name}`
}

function familyOf(cidr: string): number {
  return isIP(cidr.split('/')[0]!)
}

/** Addresses by the fields that say them. */
function reachesOf({ kind, config }: Known): [field: string, address: string][] {
  return Object.entries(kind.reaches?.(config as never) ?? {}).map(([field, address]) => [field, normalise(address)])
}

/** Whether the default gateway is the only way out of a workload that the configuration knows. */
function goesByDefault({ netns, vlans, routes, configure_addresses, default_route }: WorkloadPort): boolean {
  return netns !== undefined && !vlans && Object.keys(routes ?? {}).length === 0 && configure_addresses !== false && default_route
}

interface Gateway {
  name: string
  leads: Lead[]
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

interface Known {
  kind: FunctionKind
  config: Record<string, unknown>
}

function functionOf(desired: Desired, name: string): Known | undefined {
  const declared = desired.functions.get(name)
  return declared && kindOf(desired, declared)
}
