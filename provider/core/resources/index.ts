// SPDX-License-Identifier: Apache-2.0
// All resources of the provider, by type.

import type { Resource } from '../resource'
import { networkFunction } from './function'
import { network } from './network'
import { port } from './port'
import { program } from './program'
import { stitch } from './stitch'

export const resources: Readonly<Record<string, Resource>> = Object.fromEntries(
  [network, port, program, networkFunction, stitch].map(resource => [resource.type, resource])
)
