// SPDX-License-Identifier: Apache-2.0
// All data sources of the provider, by type.

import type { DataSource } from '../data'
import { host } from './host'
import { topology } from './topology'
import { trace } from './trace'

export const dataSources: Readonly<Record<string, DataSource>> = Object.fromEntries(
  [host, topology, trace].map(source => [source.type, source])
)
