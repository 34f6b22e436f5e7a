// SPDX-License-Identifier: Apache-2.0
// Which hosts a network spans, and where its addresses live. Only this module knows who says so: clients by REST, and one day a store that many hosts watch.

import type { Endpoint, Peer } from '../../api/resources'
import type { Store } from '../store/store'

export interface Directory {
  /** By name, `<network>.<host>`. */
  peers(): ReadonlyMap<string, Peer>
  /** By name, `<network>.<port>`. */
  endpoints(): ReadonlyMap<string, Endpoint>
}

/** The directory that clients write: the resources `peers` and `endpoints`. */
export function restDirectory(store: Store): Directory {
  return {
    peers: () => store.table<Peer>('peers'),
    endpoints: () => store.table<Endpoint>('endpoints')
  }
}
