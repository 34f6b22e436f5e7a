// SPDX-License-Identifier: Apache-2.0
// What is refused before it is stored: faults within one resource, and beside the others. Missing references are none: a resource waits for them.

import { isIP } from 'node:net'
import { cidrOverlaps, parseMac } from '@inkev/bpf/catalogue/addresses'
import { type FunctionKind, isChainable, isChainPort, portNames } from '@inkev/bpf/catalogue/define'
import { onlyKnown, PROGRAM_KIND, takeoverFault } from '@inkev/bpf/catalogue/program'
import { type ErrorCode, InkevError } from '../../api/errors'
import {
  type Desired,
  type Endpoint,
  type HostFacts,
  kindOf,
  type Network,
  type NetworkFunction,
  type Peer,
  type Program,
  programOf,
  type ResourceType,
  resourceKey,
  type Stitch,
  type StitchEnd,
  splitKey,
  uplinksOf,
  type WorkloadPort
} from './desired'
import { CHAIN_MAX, FUNCTIONS_MAX, PORTS_MAX } from './limits'
import { findLoop } from './loops'
import { findMisplaced } from './placing'
import { requireAllowed } from './programs'
import { usersOf } from './references'
import { cidrsOf, macOf, membershipsOf, segmentOf, subnetsOf } from './resolve'

/** Throws `InkevError` unless `desired`, which holds the resource already, may have it. `before` is what it was. */
export function validate(desired: Desired, facts: HostFacts, type: ResourceType, name: string, before: unknown): void {
  const { networks, peers, endpoints, ports, functions, stitches } = desired
  const checks: Record<ResourceType, () => void> = {
    networks: () => validateNetwork(desired, facts, name, networks.get(name)!),
    peers: () => validatePeer(facts, name, peers.get(name)!),
    endpoints: () => validateEndpoint(desired, facts, name, endpoints.get(name)!),
    ports: () => validatePort(desired, facts, name, ports.get(name)!),
    programs: () => validateProgram(desired, facts, name, desired.programs.get(name)!, before as Program | undefined),
    functions: () => validateFunction(desired, name, functions.get(name)!, before as NetworkFunction | undefined),
    stitches: () => validateStitch(desired, facts, name, stitches.get(name)!)
  }
  checks[type]()
}

function refuse(code: ErrorCode, path: string, message: string, hint?: string): never {
  throw new InkevError(code, message, path, hint)
}

function validateNetwork(desired: Desired, facts: HostFacts, name: string, network: Network): void {
  const { networks, functions } = desired
  if (networks.size + functions.size > FUNCTIONS_MAX)
    refuse('INKEV_ERR_FULL', 'name', `a host takes ${FUNCTIONS_MAX} networks and functions`)
  for (const [other, { vni }] of networks)
    if (other !== name && vni !== undefined && vni === network.vni)
      refuse('INKEV_ERR_VNI_TAKEN', 'vni', `VNI ${vni} belongs to network ${other}`)
  validateSegments(desired, facts, name, network)
  const subnets = subnetsOf(network)
  for (const [position, { key, cidr, gateway }] of subnets.entries()) {
    const clash = subnets.slice(0, position).find(other => cidrOverlaps(other.cidr, cidr))
    if (clash) refuse('INKEV_ERR_SUBNET_OVERLAP', `subnets.${key}.cidr`, `${cidr} overlaps ${clash.cidr} of subnet ${clash.key}`)
    const misplaced = findMisplaced([cidr], [gateway])
    if (misplaced) refuse(misplaced.code, `subnets.${key}.gateway`, misplaced.message)
  }
  for (const [key, { mac, port, host }] of Object.entries(network.static_entries ?? {})) {
    requireUnicast(`static_entries.${key}.mac`, mac)
    if ((port === undefined) === (host === undefined))
      refuse(
        'INKEV_ERR_NEEDS',
        `static_entries.${key}`,
        `static entry ${key} needs exactly one of port and host`,
        'Say behind which port of this host, or behind which other host, the MAC lives.'
      )
  }
}

/** A network that is extended to several segments and has tunnels beside them would lead frames round, where the segments are one. */
function validateSegments(desired: Desired, facts: HostFacts, name: string, network: Network): void {
  const hosts = Object.keys(network.physical ?? {})
  if (network.vni === undefined && hosts.length === 0)
    refuse(
      'INKEV_ERR_NEEDS',
      'vni',
      `network ${name} has neither vni nor physical`,
      'Give the VNI of its tunnels, or the segment of each host.'
    )
  if (network.vni !== undefined && hosts.length > 1)
    refuse(
      'INKEV_ERR_CONFIG',
      `physical.${hosts[1]}`,
      `network ${name} has a vni, so it can be extended to one physical segment only, and ${hosts[0]} has that`,
      'Leave one of them out; or leave vni out, and let the hosts meet on the segment.'
    )
  const segment = segmentOf(network, facts)
  if (!segment) return
  const path = `physical.${facts.name}`
  const other = [...desired.networks].find(([known, declared]) => known !== name && sameSegment(segmentOf(declared, facts), segment))
  if (other)
    refuse(
      'INKEV_ERR_DEVICE_TAKEN',
      segment.vlan === undefined ? `${path}.interface` : `${path}.vlan`,
      `${segmentInWords(segment)} belong to network ${other[0]}`,
      'Give each network a device or a tag of its own.'
    )
  const user = usersOfDevice(desired, segment.interface)[0]
  if (user) refuse('INKEV_ERR_DEVICE_TAKEN', `${path}.interface`, `device ${segment.interface} is used by ${user} as a whole`)
  if (!facts.device(segment.interface))
    refuse('INKEV_ERR_INTERFACE_MISSING', `${path}.interface`, `host ${facts.name} has no device ${segment.interface}`)
}

type Segment = NonNullable<ReturnType<typeof segmentOf>>

function sameSegment(a: Segment | undefined, b: Segment): boolean {
  return a !== undefined && a.interface === b.interface && a.vlan === b.vlan
}

function segmentInWords({ interface: device, vlan }: Segment): string {
  return vlan === undefined ? `the frames without tag at ${device}` : `the frames with tag ${vlan} at ${device}`
}

/**
 * Throws where a network leaves a port of its own outside its subnets. An agent takes such a network, since its ports are renumbered after it, and shows them
 * degraded until then; a plan that holds both must not end so.
 */
export function requirePortsInside({ networks, ports }: Desired, name: string): void {
  const cidrs = cidrsOf(networks.get(name)!)
  for (const [port, declared] of ports)
    for (const { field, addresses } of membershipsOf(declared).filter(({ network }) => network === name)) {
      const misplaced = findMisplaced(cidrs, addresses)
      if (misplaced) refuse(misplaced.code, 'subnets', `${field}.${misplaced.position} of port ${port}: ${misplaced.message}`)
    }
}

function validatePeer(facts: HostFacts, name: string, { network, host, vtep }: Peer): void {
  requireName(name, network, host)
  if (host === facts.name) refuse('INKEV_ERR_CONFIG', 'host', `${host} is this host itself`, 'A peer is another host of the network.')
  if (!facts.uplink)
    refuse(
      'INKEV_ERR_UPLINK_MISSING',
      'vtep',
      `host ${facts.name} has no uplink, so no other host can be reached`,
      'Start its agent with --uplink.'
    )
  if (vtep === facts.uplink.vtep)
    refuse('INKEV_ERR_CONFIG', 'vtep', `${vtep} is the VTEP of this host itself`, 'Give each host an underlay address of its own.')
  if (isIP(vtep) !== isIP(facts.uplink.vtep))
    refuse(
      'INKEV_ERR_CONFIG',
      'vtep',
      `${vtep} and this host’s ${facts.uplink.vtep} are of different families`,
      'Give all hosts VTEPs of one family.'
    )
}

function validateEndpoint(desired: Desired, facts: HostFacts, name: string, { network, host, mac, addresses }: Endpoint): void {
  if (!name.startsWith(`${network}.`)) requireName(name, network, '<port>')
  if (host === facts.name)
    refuse('INKEV_ERR_CONFIG', 'host', `${host} is this host itself`, 'An endpoint lives on another host; ports of this one need none.')
  requireUnicast('mac', mac)
  requireAddresses(desired, name, network, mac, addresses, 'addresses')
}

function validatePort(desired: Desired, facts: HostFacts, name: string, port: WorkloadPort): void {
  const { network, netns, ifname, ip_addresses, chain, vlans } = port
  if ((netns === undefined) === (port.interface === undefined))
    refuse('INKEV_ERR_PLACE', netns === undefined ? 'netns' : 'interface', `port ${name} needs exactly one of netns and interface`)
  if (network === undefined) {
    if (ip_addresses.length > 0)
      refuse('INKEV_ERR_NEEDS', 'ip_addresses', 'addresses need a network', 'Give network, or leave ip_addresses out.')
    if (chain.length > 0 && !vlans)
      refuse('INKEV_ERR_NEEDS', 'chain', 'a chain leads to a network, and the port has none', 'Give network, or stitch the functions.')
    if (port.pin_addresses && !vlans)
      refuse('INKEV_ERR_NEEDS', 'pin_addresses', 'only addresses of a network can be pinned', 'Give network.')
  }
  const mac = macOf(name, port)
  if (mac) requireUnicast('mac', mac)
  else if (port.pin_addresses)
    refuse('INKEV_ERR_NEEDS', 'mac', 'pin_addresses needs to know the MAC behind an existing interface', 'Give mac.')
  requireVlans(port)
  for (const { network, field, addresses } of membershipsOf(port))
    requireAddresses(desired, `${network}.${name}`, network, mac, addresses, field)
  for (const [key, { destination, via }] of Object.entries(port.routes ?? {}))
    if (isIP(via) !== isIP(destination.split('/')[0]!))
      refuse('INKEV_ERR_CONFIG', `routes.${key}.via`, `${via} is of another family than ${destination}`)
  for (const [position, fn] of chain.entries()) requireChainable(desired, fn, chain.indexOf(fn) === position, `chain.${position}`)
  if (netns !== undefined) requireNetns(desired, facts, name, port)
  else requireInterface(desired, facts, `ports/${name}`, port.interface!, 'interface')
  if (ifname === 'lo') refuse('INKEV_ERR_DEVICE_TAKEN', 'ifname', 'every namespace has a device lo')
}

const TAG_MAX = 4094

function requireVlans({ network, vlans = {}, chain }: WorkloadPort): void {
  const tags = Object.keys(vlans)
  for (const tag of tags) {
    const path = `vlans.${tag}`
    if (!/^[1-9][0-9]*$/.test(tag) || Number(tag) > TAG_MAX)
      refuse('INKEV_ERR_CONFIG', path, `${tag} is no VLAN tag`, `Take a number from 1 to ${TAG_MAX}.`)
    const joined = vlans[tag]!.network
    const other = joined === network ? 'without tag' : tags.find(other => other !== tag && vlans[other]!.network === joined)
    if (other !== undefined)
      refuse(
        'INKEV_ERR_CONFIG',
        `${path}.network`,
        `the port joins network ${joined} twice (${other})`,
        'Join each network once: frames would go round.'
      )
  }
  if (tags.length > 0 && chain.length >= CHAIN_MAX)
    refuse('INKEV_ERR_FULL', 'chain', `the chain of a port with vlans takes ${CHAIN_MAX - 1} functions`)
}

function validateFunction(desired: Desired, name: string, declared: NetworkFunction, before?: NetworkFunction): void {
  const names = Object.keys(declared)
  if (names.length !== 1)
    refuse('INKEV_ERR_KIND', '', `function ${name} has ${names.length === 0 ? 'no kind' : `the kinds ${names.join(', ')}`}`)
  if (before && !(names[0]! in before))
    refuse(
      'INKEV_ERR_KIND',
      names[0]!,
      `function ${name} is a ${Object.keys(before)[0]} and cannot become a ${names[0]}`,
      'Delete it and create another.'
    )
  if (!before && desired.networks.size + desired.functions.size > FUNCTIONS_MAX)
    refuse('INKEV_ERR_FULL', 'name', `a host takes ${FUNCTIONS_MAX} networks and functions`)
  const known = kindOf(desired, declared)
  if (!known) return
  const { kind, config } = known
  const [problem] = kind.check?.(config as never) ?? []
  if (problem) refuse('INKEV_ERR_CONFIG', `${kind.kind}.${problem.path}`, problem.message, problem.hint)
  const ports = portNames(kind, config)
  if (ports.length > PORTS_MAX) refuse('INKEV_ERR_FULL', kind.kind, `a function takes ${PORTS_MAX} ports, not ${ports.length}`)
  const [chaining] = [...desired.ports].find(([, { chain }]) => chain.includes(name)) ?? []
  if (chaining !== undefined && !isChainable(kind))
    refuse(
      'INKEV_ERR_NOT_CHAINABLE',
      kind.kind,
      `port ${chaining} has function ${name} in its chain, and a ${kind.kind} cannot stand there`
    )
  const [misplaced] = chaining === undefined ? [] : (kind.checkChained?.(config as never) ?? [])
  if (misplaced)
    refuse(
      'INKEV_ERR_NOT_CHAINABLE',
      `${kind.kind}.${misplaced.path}`,
      `${misplaced.message}, and port ${chaining} has function ${name} in its chain`,
      misplaced.hint
    )
  requireNoLoop(desired, kind.kind)
}

function validateProgram(desired: Desired, facts: HostFacts, name: string, program: Program, before: Program | undefined): void {
  const { kind } = requireAllowed(facts.programs, name, program)
  const users = usersOf(desired, 'programs', name).map(user => splitKey(user)[1])
  const running = programOf(before)?.kind.object
  const fault = running && users.length > 0 ? takeoverFault(running, kind.object!) : undefined
  if (fault) refuse('INKEV_ERR_LAYOUT', 'elf', fault)
  for (const user of users) requireFit(desired, user, kind)
}

/** A function of the program must be able to go on as it is. What it says beyond what the program knows is its own next change. */
function requireFit(desired: Desired, user: string, kind: FunctionKind): void {
  const config = desired.functions.get(user)![PROGRAM_KIND]!
  const known = onlyKnown(kind, config)
  const [problem] = kind.check!(known as never)
  if (problem)
    refuse(
      'INKEV_ERR_PROGRAM',
      'elf',
      `function ${user} does not fit it: ${problem.path}: ${problem.message}`,
      'Give new fields a default.'
    )
  const [chaining] = [...desired.ports].find(([, { chain }]) => chain.includes(user)) ?? []
  if (chaining !== undefined && !isChainable(kind))
    refuse('INKEV_ERR_NOT_CHAINABLE', 'elf', `function ${user} stands in the chain of port ${chaining}, and the program cannot`)
  requireNoLoop(desired, 'elf')
}

function validateStitch(desired: Desired, facts: HostFacts, name: string, { a, b }: Stitch): void {
  requireEnd(a, 'a')
  requireEnd(b, 'b')
  if (isPort(a) && (isPort(b) || b.network !== undefined)) refuseDetour(a, b, 'a')
  if (isPort(b) && a.network !== undefined) refuseDetour(b, a, 'b')
  if (pointOf(a) !== undefined && pointOf(a) === pointOf(b))
    refuse('INKEV_ERR_PORT_TAKEN', 'b', `both ends are ${pointOf(a)}`, 'Join two different points.')
  for (const [end, path] of [
    [a, 'a'],
    [b, 'b']
  ] as const) {
    requireKnownPort(desired, end, path)
    requireFree(desired, name, end, path)
    if (end.interface !== undefined) requireInterface(desired, facts, `stitches/${name}`, end.interface, `${path}.interface`)
    const stitches = [...desired.stitches.values()].filter(other => other.a.network === end.network || other.b.network === end.network)
    if (end.network !== undefined && stitches.length > PORTS_MAX)
      refuse('INKEV_ERR_FULL', `${path}.network`, `a network takes ${PORTS_MAX} stitches`)
  }
  requireNoLoop(desired, 'b')
}

function isPort(end: StitchEnd): boolean {
  return end.port !== undefined && end.function === undefined
}

function refuseDetour(end: StitchEnd, other: StitchEnd, path: string): never {
  if (other.network !== undefined)
    refuse(
      'INKEV_ERR_STITCH_END',
      `${path}.port`,
      `port ${end.port} joins network ${other.network} without a stitch`,
      'Give network to the port instead.'
    )
  refuse(
    'INKEV_ERR_STITCH_END',
    `${path}.port`,
    `ports ${end.port} and ${other.port} would be joined directly`,
    'Put both into a network, or a function between them.'
  )
}

function requireEnd(end: StitchEnd, path: string): void {
  const things = [end.function, end.network, end.interface].filter(thing => thing !== undefined).length + (isPort(end) ? 1 : 0)
  const words = Object.keys(end).join(' and ') || 'nothing'
  if (things !== 1 || (end.port !== undefined && end.function === undefined && !isPort(end)))
    refuse('INKEV_ERR_STITCH_END', path, `end ${path} says ${words}`)
  if (end.function !== undefined && end.port === undefined)
    refuse('INKEV_ERR_STITCH_END', `${path}.port`, `end ${path} names function ${end.function} but none of its ports`)
}

/** What only one stitch can end at; undefined for a network, which takes many. */
function pointOf(end: StitchEnd): string | undefined {
  if (end.function !== undefined) return `port ${end.port} of function ${end.function}`
  if (end.interface !== undefined) return `interface ${end.interface}`
  return end.port === undefined ? undefined : `port ${end.port}`
}

function requireKnownPort(desired: Desired, end: StitchEnd, path: string): void {
  const { functions, ports } = desired
  const declared = end.function === undefined ? undefined : functions.get(end.function)
  const known = declared && kindOf(desired, declared)
  if (known) {
    const { kind, config } = known
    const names = portNames(kind, config)
    if (!names.includes(end.port!))
      refuse(
        'INKEV_ERR_NO_SUCH_PORT',
        `${path}.port`,
        `function ${end.function} (${kind.kind}) has no port ${end.port}`,
        `It has: ${names.join(', ') || 'none'}.`
      )
  }
  const network = isPort(end) ? ports.get(end.port!)?.network : undefined
  if (network !== undefined)
    refuse(
      'INKEV_ERR_STITCH_END',
      `${path}.port`,
      `port ${end.port} joins network ${network}, so it cannot be stitched`,
      'Stitch the network, or leave network out of the port.'
    )
}

function requireFree({ stitches, ports }: Desired, name: string, end: StitchEnd, path: string): void {
  const point = pointOf(end)
  if (point === undefined) return
  for (const [other, { a, b }] of stitches)
    if (other !== name && (pointOf(a) === point || pointOf(b) === point))
      refuse(
        'INKEV_ERR_PORT_TAKEN',
        end.interface === undefined ? `${path}.port` : `${path}.interface`,
        `${point} is taken by stitch ${other}`
      )
  if (end.function === undefined || !isChainPort(end.port)) return
  for (const [port, { chain }] of ports)
    if (chain.includes(end.function))
      refuse(
        'INKEV_ERR_FUNCTION_BOUND',
        `${path}.function`,
        `function ${end.function} stands in the chain of port ${port}, so it cannot be stitched`
      )
}

function requireChainable(desired: Desired, name: string, first: boolean, path: string): void {
  const { functions, stitches } = desired
  if (!first) refuse('INKEV_ERR_CONFIG', path, `function ${name} stands twice in the chain`, 'Name each function once.')
  const declared = functions.get(name)
  const known = declared && kindOf(desired, declared)
  if (known && !isChainable(known.kind))
    refuse('INKEV_ERR_NOT_CHAINABLE', path, `function ${name} is a ${known.kind.kind}, which cannot stand in a chain`)
  const [misplaced] = known?.kind.checkChained?.(known.config as never) ?? []
  if (misplaced)
    refuse(
      'INKEV_ERR_NOT_CHAINABLE',
      path,
      `${known!.kind.kind}.${misplaced.path} of function ${name} ${misplaced.message}`,
      misplaced.hint
    )
  for (const [stitch, { a, b }] of stitches)
    if ([a, b].some(end => end.function === name && isChainPort(end.port)))
      refuse('INKEV_ERR_FUNCTION_BOUND', path, `function ${name} is stitched by ${stitch}, so it cannot stand in a chain`)
}

function requireNoLoop(desired: Desired, path: string): void {
  const loop = findLoop(desired)
  if (loop) refuse('INKEV_ERR_LOOP', path, `packets would go round: ${loop.join(' – ')}`)
}

function requireName(name: string, network: string, rest: string): void {
  if (name !== `${network}.${rest}`)
    refuse(
      'INKEV_ERR_NAME',
      'name',
      `${name} must be named ${network}.${rest}`,
      'The name is the network’s, a dot, and that of the host or port.'
    )
}

function requireUnicast(path: string, mac: string): void {
  if (parseMac(mac)[0]! & 1)
    refuse(
      'INKEV_ERR_NOT_A_HOST_ADDRESS',
      path,
      `${mac} is no address of one interface`,
      'Take one whose first byte is even, as 02:00:00:00:00:01.'
    )
}

/** `owner` is the name under which other hosts know the port, `<network>.<port>`: a port and its own endpoint do not clash while it moves. */
function requireAddresses(
  desired: Desired,
  owner: string,
  network: string,
  mac: string | undefined,
  addresses: string[],
  path: string
): void {
  const known = desired.networks.get(network)
  const misplaced = known && findMisplaced(cidrsOf(known), addresses)
  if (misplaced) refuse(misplaced.code, `${path}.${misplaced.position}`, misplaced.message)
  for (const [position, address] of addresses.entries())
    if (addresses.indexOf(address) !== position) refuse('INKEV_ERR_ADDRESS_TAKEN', `${path}.${position}`, `${address} is there twice`)
  for (const other of residentsOf(desired, network)) {
    if (other.owner === owner) continue
    const taken = addresses.findIndex(address => other.addresses.includes(address))
    if (taken >= 0) refuse('INKEV_ERR_ADDRESS_TAKEN', `${path}.${taken}`, `${addresses[taken]} belongs to ${other.owner}`)
    if (mac !== undefined && other.mac === mac) refuse('INKEV_ERR_MAC_TAKEN', 'mac', `${mac} belongs to ${other.owner}`)
  }
}

interface Resident {
  owner: string
  mac: string | undefined
  addresses: string[]
}

/** A generator, as it is gone through for every port and endpoint of a large configuration. */
function* residentsOf({ ports, endpoints }: Desired, network: string): Generator<Resident> {
  for (const [name, port] of ports)
    for (const membership of port.vlans || port.network === network ? membershipsOf(port) : [])
      if (membership.network === network) yield { owner: `${network}.${name}`, mac: macOf(name, port), addresses: membership.addresses }
  for (const [owner, endpoint] of endpoints)
    if (endpoint.network === network) yield { owner, mac: endpoint.mac, addresses: endpoint.addresses }
}

function requireNetns({ ports }: Desired, facts: HostFacts, name: string, { netns, ifname, create_netns }: WorkloadPort): void {
  for (const [other, port] of ports)
    if (other !== name && port.netns === netns && port.ifname === ifname)
      refuse('INKEV_ERR_DEVICE_TAKEN', 'ifname', `port ${other} is ${ifname} in namespace ${netns}`, 'Give one of them another ifname.')
  if (create_netns && netns!.startsWith('/'))
    refuse(
      'INKEV_ERR_NEEDS',
      'create_netns',
      `only named namespaces can be created, and ${netns} is a path`,
      'Give a name as of `ip netns`.'
    )
  if (!create_netns && !facts.hasNetns(netns!))
    refuse('INKEV_ERR_NETNS_MISSING', 'netns', `there is no network namespace ${netns} on host ${facts.name}`)
}

function requireInterface(desired: Desired, facts: HostFacts, user: string, device: string, path: string): void {
  const other = usersOfDevice(desired, device).find(key => key !== user) ?? segmentAt(desired, facts, device)
  if (other) refuse('INKEV_ERR_DEVICE_TAKEN', path, `device ${device} is used by ${other}`)
  if (uplinksOf(facts.uplink).some(uplink => uplink.name === device))
    refuse('INKEV_ERR_DEVICE_TAKEN', path, `device ${device} is an uplink of host ${facts.name}`)
  if (!facts.device(device)) refuse('INKEV_ERR_INTERFACE_MISSING', path, `host ${facts.name} has no device ${device}`)
}

/** The network that has a segment at a device of this host. */
function segmentAt({ networks }: Desired, facts: HostFacts, device: string): string | undefined {
  const [name] = [...networks].find(([, network]) => segmentOf(network, facts)?.interface === device) ?? []
  return name && resourceKey('networks', name)
}

function usersOfDevice({ ports, stitches }: Desired, device: string): string[] {
  return [
    ...[...ports].filter(([, port]) => port.interface === device).map(([name]) => `ports/${name}`),
    ...[...stitches].filter(([, { a, b }]) => a.interface === device || b.interface === device).map(([name]) => `stitches/${name}`)
  ]
}
