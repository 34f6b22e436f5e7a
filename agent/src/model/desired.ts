// SPDX-License-Identifier: Apache-2.0
// The desired state of one host as the model reads it: every stored resource by name, and the facts of the host.

import type { FunctionKind } from '@inkev/bpf/catalogue/define'
import type { ProgramPolicy } from '@inkev/bpf/catalogue/policy'
import { PROGRAM_KIND, type Program as ReadProgram, readProgram } from '@inkev/bpf/catalogue/program'
import { kinds } from '@inkev/bpf/functions/index.gen'
import type { Endpoint, Network, NetworkFunction, Peer, Program, ResourceType, Stitch, StitchEnd, WorkloadPort } from '../../api/resources'
import type { Troubles } from './probing'

export type { Endpoint, Network, NetworkFunction, Peer, Program, ResourceType, Stitch, StitchEnd, WorkloadPort }

type Rows<V> = ReadonlyMap<string, V>

/** Configurations are canonical: defaults filled in, addresses in one form. Fields that the agent computes may be absent. */
export interface Desired {
  networks: Rows<Network>
  peers: Rows<Peer>
  endpoints: Rows<Endpoint>
  ports: Rows<WorkloadPort>
  programs: Rows<Program>
  functions: Rows<NetworkFunction>
  stitches: Rows<Stitch>
}

/** No resource of any type, and room for rows of one kind. */
export function noRows<Row = never>(): { [type in keyof Desired]: Map<string, Row> } {
  return {
    networks: new Map(),
    peers: new Map(),
    endpoints: new Map(),
    ports: new Map(),
    programs: new Map(),
    functions: new Map(),
    stitches: new Map()
  }
}

/** What the model must know of the host. */
export interface HostFacts {
  name: string
  /** Absent on a host whose networks end at it. `mtu` is the least of all uplinks; `further` are those beside the first. */
  uplink?: { name: string; ifindex: number; mtu: number; vtep: string; further?: { name: string; ifindex: number }[] }
  /** Whether a namespace of a workload port is there. */
  hasNetns(netns: string): boolean
  /** What is wrong with what the function of a key wants watched, by the keys of its kind. */
  troubles(key: string): Troubles
  /** What programs may be uploaded. */
  programs: ProgramPolicy
  /** A device of the host; undefined when there is none of that name. */
  device(name: string): { ifindex: number; mtu: number } | undefined
}

/** All devices towards other hosts. */
export function uplinksOf(uplink: HostFacts['uplink']): { name: string; ifindex: number }[] {
  return uplink ? [uplink, ...(uplink.further ?? [])] : []
}

/** `networks/web`: names one resource among all. */
export function resourceKey(type: ResourceType, name: string): string {
  return `${type}/${name}`
}

/** The kind of a function, with its configuration; undefined while the program that it is made of is missing. */
export function kindOf(
  { programs }: Pick<Desired, 'programs'>,
  declared: NetworkFunction
): { kind: FunctionKind; config: Record<string, unknown> } | undefined {
  const [[name, config] = ['', {}]] = Object.entries(declared)
  const kind = name === PROGRAM_KIND ? programOf(programs.get(programNameOf(declared)!))?.kind : kinds[name]
  return kind && { kind, config }
}

/** The program that a function is made of; undefined for one of the catalogue. */
export function programNameOf(declared: NetworkFunction): string | undefined {
  return declared[PROGRAM_KIND]?.name as string | undefined
}

/** A program as its ELF declares it; undefined where it is missing, or is none. */
export function programOf(program: Program | undefined): ReadProgram | undefined {
  if (!program) return undefined
  const known = readPrograms.get(program) ?? attemptRead(program)
  readPrograms.set(program, known)
  return 'kind' in known ? known : undefined
}

/** Throws RangeError where the ELF is refused. */
export function requireProgram(program: Program): ReadProgram {
  const read = programOf(program)
  if (!read) throw readPrograms.get(program)
  return read
}

const readPrograms = new WeakMap<Program, ReadProgram | RangeError>()

function attemptRead({ sha256, elf }: Program): ReadProgram | RangeError {
  try {
    return readProgram(`programs/${sha256}`, Buffer.from(elf, 'base64'))
  } catch (error) {
    if (error instanceof RangeError) return error
    throw error
  }
}

const SINGULAR: Record<ResourceType, string> = {
  networks: 'network',
  peers: 'peer',
  endpoints: 'endpoint',
  ports: 'port',
  programs: 'program',
  functions: 'function',
  stitches: 'stitch'
}

/** `network web`: a resource key as a sentence names it. */
export function inWords(key: string): string {
  const [type, name] = splitKey(key)
  return `${SINGULAR[type]} ${name}`
}

export function splitKey(key: string): [type: ResourceType, name: string] {
  const slash = key.indexOf('/')
  return [key.slice(0, slash) as ResourceType, key.slice(slash + 1)]
}
