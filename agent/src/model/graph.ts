// SPDX-License-Identifier: Apache-2.0
// From the desired state to the graph of this host: which functions run, what lies at each of their ports, and why the rest does not run.

import { type FunctionKind, portNames } from '@inkev/bpf/catalogue/define'
import { kinds } from '@inkev/bpf/functions/index.gen'
import type { Status } from '../../api/resources'
import {
  type Desired,
  type HostFacts,
  inWords,
  kindOf,
  type Network,
  programNameOf,
  resourceKey,
  type StitchEnd,
  splitKey,
  type WorkloadPort
} from './desired'
import { misfitOf } from './placing'
import { healthInWords, type PlacedProbes, placeProbes, type Troubles } from './probing'
import { usersOf } from './references'
import { membershipsOf, mtuOf, networksOf, type Subnet, subnetsOf } from './resolve'
import { interfaceKey, interfaceWorkload, portWorkloads, segmentWorkload, type Target, type Workload } from './workloads'

/** The kind that every network is an instance of. */
const NETWORK_KIND = 'bridge'

/** A function that runs here. Its key is that of its resource: `functions/gateway`, or `networks/web` for the bridge of a network. */
export interface Instance {
  key: string
  name: string
  kind: FunctionKind
  config: Record<string, unknown>
  /** By port name; undefined where nothing is stitched. The stitched ports of a network are named by the keys of their stitches. */
  ports: Map<string, Target | undefined>
  /** Set for the bridge of a network. */
  network?: ResolvedNetwork
  /** What it wants watched, and how that fares. */
  probes: PlacedProbes
  troubles: Troubles
  /** Stands in chains of workload ports: what follows inwards and outwards depends on the port. */
  chained: boolean
}

export interface ResolvedNetwork {
  /** None where it has no tunnels. */
  vni: number | undefined
  mtu: number
  subnets: Subnet[]
  staticEntries: NonNullable<Network['static_entries']>
}

/** A remote host of a network that is active here. */
export interface Remote {
  network: string
  host: string
  vtep: string
}

/** An address of an active network that lives on another host. */
export interface RemoteAddress {
  network: string
  host: string
  mac: string
  addresses: string[]
}

export interface Graph {
  /** The name of this host. */
  host: string
  instances: Map<string, Instance>
  workloads: Map<string, Workload>
  /** Both ends of the complete stitches, by the name of the stitch. */
  stitches: Map<string, [Target, Target]>
  remotes: Remote[]
  remoteAddresses: RemoteAddress[]
  /** By resource key: as far as the desired state alone can tell. */
  statuses: Map<string, Status>
}

export function buildGraph(desired: Desired, facts: HostFacts): Graph {
  const links = linkStitches(desired)
  const workloads = buildWorkloads(desired, facts, links)
  const instances = buildInstances(desired, facts, links, workloads)
  const isActive = ({ network }: { network: string }) => instances.get(resourceKey('networks', network))?.network?.vni !== undefined
  return {
    host: facts.name,
    instances,
    workloads,
    stitches: links.ends,
    remotes: [...desired.peers.values()].filter(isActive),
    remoteAddresses: [...desired.endpoints]
      .filter(([name, endpoint]) => isActive(endpoint) && !isLocal(desired, name))
      .map(([, endpoint]) => endpoint),
    statuses: tellStatuses(desired, links, instances, workloads)
  }
}

/** The complete stitches. */
interface Links {
  /** Both ends by the name of the stitch. */
  ends: Map<string, [Target, Target]>
  /** What lies behind each end, by `endKey`. */
  behind: Map<string, Target>
}

function linkStitches(desired: Desired): Links {
  const complete = [...desired.stitches].filter(([, { a, b }]) => !missingOf(desired, a) && !missingOf(desired, b))
  const ends = new Map(complete.map(([name, { a, b }]) => [name, [targetOf(a, name), targetOf(b, name)]]))
  const behind = [...ends.values()].flatMap(([a, b]) => [[endKey(a!), b!] as const, [endKey(b!), a!] as const])
  return { ends: ends as Links['ends'], behind: new Map(behind) }
}

function endKey(target: Target): string {
  return 'workload' in target ? target.workload : `${target.instance} ${target.port}`
}

/** What an end names and is not there, in words. A function may lose a port, as it may go: who renames one changes the stitch after the function. */
function missingOf(desired: Desired, end: StitchEnd): string | undefined {
  const { networks, ports } = desired
  if (end.network !== undefined) return networks.has(end.network) ? undefined : inWords(resourceKey('networks', end.network))
  if (end.function !== undefined) return missingOfFunction(desired, end.function, end.port!)
  return end.port === undefined || ports.has(end.port) ? undefined : inWords(resourceKey('ports', end.port))
}

function missingOfFunction(desired: Desired, name: string, port: string): string | undefined {
  const key = resourceKey('functions', name)
  const missing = missingFor(desired, name)
  if (missing) return inWords(missing)
  const { kind, config } = kindOf(desired, desired.functions.get(name)!)!
  return portNames(kind, config).includes(port) ? undefined : `port ${port} of ${inWords(key)}`
}

/** What must come before a function can run: itself, or the program that it is made of. */
function missingFor(desired: Desired, name: string): string | undefined {
  const declared = desired.functions.get(name)
  if (!declared) return resourceKey('functions', name)
  return kindOf(desired, declared) ? undefined : resourceKey('programs', programNameOf(declared)!)
}

function targetOf(end: StitchEnd, stitch: string): Target {
  if (end.network !== undefined) return { instance: resourceKey('networks', end.network), port: resourceKey('stitches', stitch) }
  if (end.function !== undefined) return { instance: resourceKey('functions', end.function), port: end.port! }
  return { workload: end.port === undefined ? interfaceKey(end.interface!) : resourceKey('ports', end.port) }
}

function buildWorkloads(desired: Desired, facts: HostFacts, { ends, behind }: Links): Map<string, Workload> {
  const ready = [...desired.ports].filter(([, port]) => !missingForPort(desired, port))
  const workloads = ready.flatMap(([name, port]) => portWorkloads(desired, facts, name, port, behind.get(resourceKey('ports', name))))
  for (const [stitch, [a, b]] of ends)
    for (const [end, other] of [
      [a, b],
      [b, a]
    ] as const) {
      const [type, device] = splitKey('workload' in end ? end.workload : end.instance)
      if ((type as string) === 'interfaces') workloads.push(interfaceWorkload(desired, facts, device, stitch, other))
    }
  const segments = [...desired.networks].flatMap(([name, network]) => segmentWorkload(name, network, facts) ?? [])
  return new Map([...workloads, ...segments].map(workload => [workload.key, workload]))
}

function missingForPort(desired: Desired, port: WorkloadPort): string | undefined {
  const { chain } = port
  const network = networksOf(port).find(name => !desired.networks.has(name))
  if (network !== undefined) return resourceKey('networks', network)
  return chain.map(name => missingFor(desired, name)).find(missing => missing !== undefined)
}

/** Every instance to which packets of this host's workloads can come. */
function buildInstances(desired: Desired, facts: HostFacts, links: Links, workloads: Map<string, Workload>): Map<string, Instance> {
  const chained = new Set([...workloads.values()].flatMap(({ chain }) => chain))
  const joined = [...workloads.values()].flatMap(({ join }) => (join && 'instance' in join ? [join.instance] : []))
  const reached = new Set([...chained, ...joined])
  const neighbours = neighboursOf(links)
  for (const key of reached) for (const next of neighbours.get(key) ?? []) reached.add(next)
  return new Map([...reached].map(key => [key, { ...buildInstance(desired, facts, key, links), chained: chained.has(key) }]))
}

/** Instance → instances that are one stitch away. */
function neighboursOf({ ends }: Links): Map<string, string[]> {
  const neighbours = new Map<string, string[]>()
  const add = (from: string, to: string) => neighbours.set(from, [...(neighbours.get(from) ?? []), to])
  for (const [a, b] of ends.values())
    if ('instance' in a && 'instance' in b) {
      add(a.instance, b.instance)
      add(b.instance, a.instance)
    }
  return neighbours
}

function buildInstance(desired: Desired, facts: HostFacts, key: string, links: Links): Omit<Instance, 'chained'> {
  const [type, name] = splitKey(key)
  if (type === 'networks') return networkInstance(key, name, desired.networks.get(name)!, facts, links)
  const { kind, config } = kindOf(desired, desired.functions.get(name)!)!
  const ports = new Map(portNames(kind, config).map(port => [port, links.behind.get(endKey({ instance: key, port }))]))
  const probes = placeProbes(desired, kind, config)
  return { key, name, kind, config, ports, probes, troubles: troublesOf(probes, facts, key) }
}

const NO_TROUBLES: Troubles = { failing: new Map(), hindered: new Map() }

/** In the order of the probes. What nobody asks does not fail. */
function troublesOf(probes: PlacedProbes, facts: HostFacts, key: string): Troubles {
  if (probes.size === 0) return NO_TROUBLES
  const asked = [...probes].flatMap(([probe, { from }]) => (from ? [probe] : []))
  const among = (reasons: ReadonlyMap<string, string>) =>
    new Map(asked.flatMap(probe => (reasons.has(probe) ? [[probe, reasons.get(probe)!] as const] : [])))
  const { failing, hindered } = facts.troubles(key)
  return { failing: among(failing), hindered: among(hindered) }
}

function networkInstance(key: string, name: string, declared: Network, facts: HostFacts, { ends }: Links): Omit<Instance, 'chained'> {
  const kind = kinds[NETWORK_KIND]!
  const ports = [...ends].flatMap(([stitch, [a, b]]) => {
    const other = 'instance' in a && a.instance === key ? b : 'instance' in b && b.instance === key ? a : undefined
    return other && 'instance' in other ? [[resourceKey('stitches', stitch), other] as const] : []
  })
  return {
    key,
    name,
    kind,
    config: bridgeConfig(declared),
    ports: new Map(ports),
    probes: new Map(),
    troubles: NO_TROUBLES,
    network: { vni: declared.vni, mtu: mtuOf(declared, facts), subnets: subnetsOf(declared), staticEntries: declared.static_entries ?? {} }
  }
}

/** The part of a network that its bridge is configured by; the same value for the same network, so that it can be seen to be the same. */
function bridgeConfig(network: Network): Record<string, unknown> {
  const { config } = kinds[NETWORK_KIND]!
  const known = bridgeConfigs.get(network) ?? {
    vni: 0,
    ...Object.fromEntries(Object.entries(network).filter(([field]) => field in config))
  }
  bridgeConfigs.set(network, known)
  return known
}

const bridgeConfigs = new WeakMap<Network, Record<string, unknown>>()

/** Whether the port that an endpoint tells of is on this host, and in its network: then the port itself tells. */
function isLocal({ ports, endpoints }: Desired, endpoint: string): boolean {
  const { network } = endpoints.get(endpoint)!
  const port = ports.get(endpoint.slice(network.length + 1))
  return port !== undefined && networksOf(port).includes(network)
}

const ACTIVE: Status = { state: 'active' }

function idle(reason: string): Status {
  return { state: 'idle', reason }
}

function waitsFor(words: string): Status {
  return { state: 'pending', reason: `waits for ${words}` }
}

function tellStatuses(
  desired: Desired,
  links: Links,
  instances: Map<string, Instance>,
  workloads: Map<string, Workload>
): Map<string, Status> {
  const ofInstance = (key: string) => {
    const instance = instances.get(key)
    if (!instance) return idle('no workload of this host reaches it')
    const reason = healthInWords(instance.probes, instance.troubles)
    const state: Status['state'] = instance.troubles.hindered.size > 0 ? 'degraded' : 'active'
    return reason === undefined ? ACTIVE : { state, reason }
  }
  const inNetwork = (name: string) =>
    desired.networks.has(name) ? ofInstance(resourceKey('networks', name)) : waitsFor(inWords(resourceKey('networks', name)))
  const ofFunction = (name: string) => {
    const missing = missingFor(desired, name)
    return missing ? waitsFor(inWords(missing)) : ofInstance(resourceKey('functions', name))
  }
  const ofProgram = (name: string) =>
    usersOf(desired, 'programs', name).some(user => instances.has(user)) ? ACTIVE : idle('no function of this host runs it')
  const statuses: [string, Status][] = [
    ...[...desired.networks.keys()].map(name => [resourceKey('networks', name), inNetwork(name)] as [string, Status]),
    ...[...desired.functions.keys()].map(name => [resourceKey('functions', name), ofFunction(name)] as [string, Status]),
    ...[...desired.programs.keys()].map(name => [resourceKey('programs', name), ofProgram(name)] as [string, Status]),
    ...[...desired.ports].map(
      ([name, port]) => [resourceKey('ports', name), ofPort(desired, port, workloads.get(resourceKey('ports', name)))] as [string, Status]
    ),
    ...[...desired.stitches.keys()].map(
      name => [resourceKey('stitches', name), ofStitch(desired, name, links, instances)] as [string, Status]
    ),
    ...[...desired.peers].map(([name, { network }]) => [resourceKey('peers', name), inNetwork(network)] as [string, Status]),
    ...[...desired.endpoints].map(
      ([name, endpoint]) => [resourceKey('endpoints', name), ofEndpoint(desired, name, inNetwork(endpoint.network))] as [string, Status]
    )
  ]
  return new Map(statuses)
}

function ofPort(desired: Desired, port: WorkloadPort, workload: Workload | undefined): Status {
  if (!workload) return waitsFor(inWords(missingForPort(desired, port)!))
  for (const { network, field, addresses } of membershipsOf(port)) {
    const known = desired.networks.get(network)
    const misfit = known && misfitOf(known, field, addresses)
    if (misfit) return { state: 'degraded', reason: misfit }
  }
  return workload.join || port.vlans ? ACTIVE : idle('nothing is stitched to it')
}

function ofStitch(desired: Desired, name: string, { ends }: Links, instances: Map<string, Instance>): Status {
  const { a, b } = desired.stitches.get(name)!
  const missing = missingOf(desired, a) ?? missingOf(desired, b)
  if (missing) return waitsFor(missing)
  const reached = ends.get(name)!.every(end => 'workload' in end || instances.has(end.instance))
  return reached ? ACTIVE : idle('no workload of this host reaches it')
}

function ofEndpoint(desired: Desired, name: string, network: Status): Status {
  const endpoint = desired.endpoints.get(name)!
  if (isLocal(desired, name)) return idle('the port itself is on this host')
  const declared = desired.networks.get(endpoint.network)
  const misfit = declared && misfitOf(declared, 'addresses', endpoint.addresses)
  if (misfit) return { state: 'degraded', reason: misfit }
  const known = [...desired.peers.values()].some(peer => peer.network === endpoint.network && peer.host === endpoint.host)
  return known ? network : { state: 'pending', reason: `waits for peer ${endpoint.network}.${endpoint.host}` }
}
