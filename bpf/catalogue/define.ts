// SPDX-License-Identifier: Apache-2.0
// How a kind of network function is declared, once: its ports, configuration and counters, and how they become the contents of kernel maps.

import type { Static, TObject, TProperties } from '@sinclair/typebox'
import type { ObjectSpec } from './btf'
import { group } from './fields'

/** Integers without a sign, one after another: many are written at once. */
export type Bytes = Uint8Array | Uint16Array | Uint32Array

/** A value in the words of the BTF codec (btf.ts): numbers, bigints, booleans, the text forms of addresses, arrays and records of these. */
export type Value = number | bigint | boolean | string | Bytes | Value[] | { [field: string]: Value }

/** One entry of a kernel map. */
export interface Entry {
  key: Value
  value: Value
}

/**
 * What the configuration wants the maps of one instance to hold, by map name. The agent makes it so in three phases, so that no packet sees a half-made
 * change: entries that are new or differ are put; then `commit`; then entries of the same maps that are no longer wanted are deleted.
 */
export interface Image {
  maps: Record<string, Entry[]>
  /** Put after all others: the switch that makes the new entries count. Its map's other entries are left alone. */
  commit?: { map: string; entries: Entry[] }
  /**
   * What the operator calls a key that is a number or an address in the kernel: map name → key in text → name. Tables read from the kernel are shown with it. A map
   * that is not among `maps` is filled by the kernel: when the image changes, entries under keys that have no name any more are deleted from it.
   */
  labels?: Record<string, Record<string, string>>
}

/** Where an address of a network lives, as seen from one host. Exactly one of `port_id`, `peer`, `bridge_port` is set. */
export interface Endpoint {
  mac: string
  addresses: string[]
  /** A workload port of this host. */
  port_id?: number
  /** A remote host: index into the core map `peers`. */
  peer?: number
  /** A function stitched to the network's bridge: the bridge's port towards it. */
  bridge_port?: number
}

/** What lies at one port of an instance. */
export interface Neighbourhood {
  /** The port's number in this instance. */
  number: number
  /** The network that the port is stitched to, if it is. */
  network?: { name: string; vni?: number; mtu: number; cidrs: string[]; endpoints: Endpoint[] }
}

/** A question that a host's agent asks again and again of what a function leads to, and how it judges the answers. */
export interface Probe {
  /** `tcp`: a connection is accepted; `http`: GET is answered with a status from 200 to 399. */
  protocol: 'tcp' | 'http'
  address: string
  port: number
  /** Of `http`. */
  path: string
  /** Milliseconds from one question to the next, and those after which one has no answer. */
  interval: number
  timeout: number
  /** Answers in a row by which what failed is well again, and failures in a row by which it fails. */
  healthyThreshold: number
  unhealthyThreshold: number
  /** Workload ports: the first that lives on the host, in a namespace and with an address of the family, is asked from. Where there is none, nothing is asked. */
  from: string[]
}

/** All that an image may depend on beside the configuration. Pure data: the same input makes the same image on every host of the same situation. */
export interface Surroundings {
  /** The instance's own name. */
  name: string
  /** The name of this host. */
  host: string
  /** By port name. Ports that are not stitched are present, with no network. */
  ports: Record<string, Neighbourhood>
  /** Counts up with each new image of the instance, from 1: for kinds that fill first and switch last. */
  generation: number
  /** Those of the kind's `probes` that fail, by their keys, in order; absent where none does. */
  failing?: string[]
  /** For kind `bridge` only: the network itself and its remote hosts. */
  bridge?: { vni?: number; mtu: number; endpoints: Endpoint[]; port_ids: number[]; peers: number[]; stitched: number[] }
}

/** Compiled code that is not the catalogue's own. */
export interface CodeObject {
  /** Names it among all objects; another text for other code. */
  name: string
  /** Its program. */
  main: string
  elf: Uint8Array
  spec: ObjectSpec
}

/** What a function owns at one of its ports: a network's bridge treats it as a known endpoint. */
export interface Presence {
  mac: string
  addresses: string[]
}

/** A prefix to which a function forwards: on the link, or by way of another station. */
export interface Lead {
  prefix: string
  via?: string
}

/** A capture, as a listener is told of it. */
export interface Capture {
  /** Most bytes of a packet, from the Ethernet header on. */
  snap_length: number
}

/** A fault in a configuration that its schema alone cannot see. `path` is dotted, as `interfaces.web.address`. */
export interface Problem {
  path: string
  message: string
  hint?: string
}

export interface FunctionOptions<F extends TProperties> {
  /** One sentence: what the function does to packets. */
  doc: string
  /** Port names in the order of their numbers; or the table of `config` each key of which is a port. A kind that can stand in a port's chain has `inside` first, `outside` second. */
  ports: readonly string[] | { table: keyof F & string }
  config: F
  /** Drop reasons and events, one sentence each, in the order of their numbers. In C: `<KIND>_<NAME>`. */
  counters: Record<string, string>
  /** A configuration to start from, for the documentation. Where it is left out, one is made of the fields' examples and defaults. */
  example?: Record<string, unknown>
  /** Faults across fields. Pure; also run by the provider at plan. */
  check?(config: Static<TObject<F>>): Problem[]
  /** What of a configuration does not work in the chain of a port, where it does in stitches. Pure; also run by the provider at plan. */
  checkChained?(config: Static<TObject<F>>): Problem[]
  /** What it owns at its ports, by port name. */
  presents?(config: Static<TObject<F>>, name: string): Record<string, Presence>
  /** Addresses at its ports, by port name, that what lies behind its other port answers for: of a kind that changes nothing of a frame's own addresses. */
  adds?(config: Static<TObject<F>>): Record<string, string[]>
  /** MAC addresses at its ports by which its instances reach one another, by port name and host: the port's network brings their frames to that host's instance. */
  places?(config: Static<TObject<F>>, name: string): Record<string, Record<string, string[]>>
  /** Addresses that packets are sent on to, by the paths of the fields that say them: a plan must not leave them without a way. */
  reaches?(config: Static<TObject<F>>): Record<string, string>
  /** Where a kind with addresses of its own forwards to; whatever lies outside of these it drops. */
  leads?(config: Static<TObject<F>>): Lead[]
  /** What the agent shall watch, by keys of the kind's own. All is taken for healthy until it fails. */
  probes?(config: Static<TObject<F>>): Record<string, Probe>
  /** Contents of the kernel maps besides `config`, which always follows from the scalar fields. A kind with tables needs it. */
  image?(config: Static<TObject<F>>, surroundings: Surroundings): Image
  /** Sizes of maps that depend on the configuration, by map name. */
  sizes?(config: Static<TObject<F>>): Record<string, number>
  /** What it writes down of packets (core/capture.h) for those who listen at the agent; undefined where its configuration asks for none. */
  captures?(config: Static<TObject<F>>): Capture | undefined
  /** The code that runs, where it is not the catalogue's object of the kind's name. */
  object?: CodeObject
  /** Made by the agent for other resources, not offered as a function of its own (the bridge of a network). */
  internal?: boolean
}

export interface FunctionKind<F extends TProperties = TProperties> extends FunctionOptions<F> {
  kind: string
  /** The schema of the whole configuration. */
  schema: TObject<F>
}

/** Declares a kind. Its name is its folder's, its C file's and its program's. */
export function defineFunction<F extends TProperties>(kind: string, declared: FunctionOptions<F>): FunctionKind<F> {
  return { kind, ...declared, schema: group(declared.config, { doc: declared.doc }) }
}

/** The ports by which a function stands in chains. Any others that it has can be stitched at the same time. */
const CHAIN_PORTS = ['inside', 'outside']

/** Whether a kind can stand between a workload port and its network. */
export function isChainable(kind: Pick<FunctionKind, 'ports'>): boolean {
  return Array.isArray(kind.ports) && CHAIN_PORTS.every((port, number) => (kind.ports as string[])[number] === port)
}

export function isChainPort(port: string | undefined): boolean {
  return port !== undefined && CHAIN_PORTS.includes(port)
}

/** The port names of one instance, in the order of their numbers as far as the configuration alone can say. */
export function portNames(kind: FunctionKind, config: Record<string, unknown>): string[] {
  if (Array.isArray(kind.ports)) return [...kind.ports]
  const { table } = kind.ports as { table: string }
  return Object.keys((config[table] ?? {}) as object)
}
