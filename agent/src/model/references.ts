// SPDX-License-Identifier: Apache-2.0
// Which resources name which others: what a deletion would tear apart.

import { type Desired, programNameOf, type ResourceType, resourceKey, type StitchEnd, type WorkloadPort } from './desired'
import { networksOf } from './resolve'

/** Keys of the resources that cannot do without this one. Peers and endpoints can: they wait. */
export function usersOf({ ports, stitches, functions }: Desired, type: ResourceType, name: string): string[] {
  if (type === 'programs')
    return [...functions].filter(([, declared]) => programNameOf(declared) === name).map(([user]) => resourceKey('functions', user))
  const users = [
    ...[...ports].filter(([, port]) => portUses(port, type, name)).map(([user]) => resourceKey('ports', user)),
    ...[...stitches]
      .filter(([, { a, b }]) => endUses(a, type, name) || endUses(b, type, name))
      .map(([user]) => resourceKey('stitches', user))
  ]
  return users
}

function portUses(port: WorkloadPort, type: ResourceType, name: string): boolean {
  if (type === 'networks') return networksOf(port).includes(name)
  return type === 'functions' && port.chain.includes(name)
}

function endUses(end: StitchEnd, type: ResourceType, name: string): boolean {
  if (type === 'networks') return end.network === name
  if (type === 'functions') return end.function === name
  return type === 'ports' && end.port === name && end.function === undefined
}
