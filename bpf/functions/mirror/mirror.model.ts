// SPDX-License-Identifier: Apache-2.0
// Of which packets a mirror makes copies, said once more and plainly. The program is compared with it.

import { cidrContains } from '../../catalogue/addresses'

export interface ModelConfig {
  enabled: boolean
  direction: 'both' | 'ingress' | 'egress'
  local?: string
  remote?: string
  protocol?: string
  port?: number
}

export interface ModelPacket {
  /** The port by which it comes. */
  from: 'inside' | 'outside'
  /** Absent where the packet is not IP, or cannot be read. */
  ip?: {
    source: string
    destination: string
    protocol: string
    /** Source and destination; none where it has none, as fragments but the first. */
    ports: number[]
  }
}

/** Whether a packet is chosen. Which of the chosen are taken as a sample is chance. */
export function isChosen({ enabled, direction, local, remote, protocol, port }: ModelConfig, { from, ip }: ModelPacket): boolean {
  if (!enabled || direction === (from === 'inside' ? 'ingress' : 'egress')) return false
  const asksHeaders = [local, remote, protocol, port].some(asked => asked !== undefined)
  if (!ip) return !asksHeaders
  const [near, far] = from === 'inside' ? [ip.source, ip.destination] : [ip.destination, ip.source]
  return (
    (local === undefined || cidrContains(local, near)) &&
    (remote === undefined || cidrContains(remote, far)) &&
    (protocol === undefined || protocol === ip.protocol) &&
    (port === undefined || ip.ports.includes(port))
  )
}
