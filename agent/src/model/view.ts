// SPDX-License-Identifier: Apache-2.0
// A resource as clients see it: what they wrote, and what the agent computes.

import type { Desired, HostFacts, Network, ResourceType, WorkloadPort } from './desired'
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
    stitches: nothing
  }
  return { ...(config as object), ...computed[type](config as never, desired, facts, name) }
}

function nothing(): object {
  return {}
}

function networkValues(network: Network, _: Desired, facts: HostFacts): object {
  const subnets = subnetsOf(network).map(({ key, cidr, gateway }) => [key, { cidr, gateway }])
  return { subnets: Object.fromEntries(subnets), mtu: mtuOf(network, facts) }
}

function portValues(port: WorkloadPort, desired: Desired, facts: HostFacts, name: string): object {
  const mac = macOf(name, port)
  return { ...(mac && { mac }), mtu: portMtuOf(port, desired, facts) }
}
