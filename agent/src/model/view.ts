// SPDX-License-Identifier: Apache-2.0
// A resource as clients see it: what they wrote, and what the agent computes.

import type { TSchema } from '@sinclair/typebox'
import { resources } from '../../api/resources'
import { type Desired, type HostFacts, type Network, type Program, programOf, type ResourceType, type WorkloadPort } from './desired'
import { macOf, mtuOf, portMtuOf, subnetsOf } from './resolve'

export function viewOf(
  desired: Desired,
  facts: HostFacts,
  type: ResourceType,
  name: string,
  config: unknown,
  portNumbers: (name: string) => Record<string, number>
): Record<string, unknown> {
  const computed = {
    networks: networkValues,
    ports: portValues,
    functions: () => ({ ports: portNumbers(name) }),
    peers: nothing,
    endpoints: nothing,
    stitches: nothing,
    programs: programValues
  }
  return { ...readable(type, config as object), ...computed[type](config as never, desired, facts, name) }
}

/** Without what is only ever written. */
function readable(type: ResourceType, config: object): object {
  const fields: Record<string, TSchema> = resources[type].properties
  return Object.fromEntries(Object.entries(config).filter(([field]) => !fields[field]?.writeOnly))
}

function nothing(): object {
  return {}
}

function networkValues(network: Network, _: Desired, facts: HostFacts): object {
  const subnets = subnetsOf(network).map(({ key, cidr, gateway }) => [key, { cidr, gateway }])
  return { subnets: Object.fromEntries(subnets), mtu: mtuOf(network, facts) }
}

function programValues(program: Program): object {
  return { declares: programOf(program)?.declares }
}

function portValues(port: WorkloadPort, desired: Desired, facts: HostFacts, name: string): object {
  const mac = macOf(name, port)
  return { ...(mac && { mac }), mtu: portMtuOf(port, desired, facts) }
}
