// SPDX-License-Identifier: Apache-2.0
// The desired state of one host as the model reads it: every stored resource by name, and the facts of the host.

import type { FunctionKind } from '@inkev/bpf/catalogue/define'
import { kinds } from '@inkev/bpf/functions/index.gen'
import type { Endpoint, Network, NetworkFunction, Peer, ResourceType, Stitch, StitchEnd, WorkloadPort } from '../../api/resources'

export type { Endpoint, Network, NetworkFunction, Peer, ResourceType, Stitch, StitchEnd, WorkloadPort }

type Rows<V> = ReadonlyMap<string, V>

/** Configurations are canonical: defaults filled in, addresses in one form. Fields that the agent computes may be absent. */
export interface Desired {
  networks: Rows<Network>
  peers: Rows<Peer>
  endpoints: Rows<Endpoint>
  ports: Rows<WorkloadPort>
  functions: Rows<NetworkFunction>
  stitches: Rows<Stitch>
}

/** What the model must know of the host. */
export interface HostFacts {
  name: string
  /** Absent on a host whose networks end at it. */
  uplink?: { name: string; ifindex: number; mtu: number; vtep: string }
  /** Whether a namespace of a workload port is there. */
  hasNetns(netns: string): boolean
  /** The index of a device of the host; undefined when there is none of that name. */
  ifindexOf(name: string): number | undefined
}

/** `networks/web`: names one resource among all. */
export function resourceKey(type: ResourceType, name: string): string {
  return `${type}/${name}`
}

/** The kind of a function, with its configuration. */
export function kindOf(declared: NetworkFunction): { kind: FunctionKind; config: Record<string, unknown> } {
  const [[name, config] = ['', {}]] = Object.entries(declared)
  return { kind: kinds[name]!, config }
}

const SINGULAR: Record<ResourceType, string> = {
  networks: 'network',
  peers: 'peer',
  endpoints: 'endpoint',
  ports: 'port',
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
