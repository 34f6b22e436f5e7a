// SPDX-License-Identifier: Apache-2.0
// What functions want watched, where on this host it is asked from, and what is said of it.

import { isIP } from 'node:net'
import type { FunctionKind, Probe } from '@inkev/bpf/catalogue/define'
import type { Desired } from './desired'

/** A probe, and the port that it is asked from; none where no port of the host will do. */
export interface PlacedProbe {
  probe: Probe
  from?: { port: string; netns: string }
}

/** By the keys of the function's kind. */
export type PlacedProbes = Map<string, PlacedProbe>

/** Failures that a sentence names. */
const NAMED_MAX = 5

export function placeProbes(desired: Desired, kind: FunctionKind, config: Record<string, unknown>): PlacedProbes {
  const probes = Object.entries(kind.probes?.(config as never) ?? {})
  return new Map(probes.map(([key, probe]) => [key, { probe, ...placeFor(desired, probe) }]))
}

function placeFor({ ports }: Desired, { address, from }: Probe): Pick<PlacedProbe, 'from'> {
  const family = isIP(address)
  for (const name of from) {
    const port = ports.get(name)
    if (port?.netns !== undefined && port.ip_addresses.some(own => isIP(own) === family)) return { from: { port: name, netns: port.netns } }
  }
  return {}
}

/** What a host knows of a function's probes: reasons by key. */
export interface Troubles {
  /** Who answers wrongly, or not at all. */
  failing: ReadonlyMap<string, string>
  /** Who cannot be asked, as the port for it is of no use. */
  hindered: ReadonlyMap<string, string>
}

/** What a status tells of a function that runs: who fails and why, and what nobody can ask or asks after. */
export function healthInWords(probes: PlacedProbes, { failing, hindered }: Troubles): string | undefined {
  const fallen = [...failing].map(([key, reason]) => `${key} (${reason})`)
  const unasked = [...probes].find(([, { from }]) => !from)
  const hidden = [...hindered].map(([key, reason]) => `${key} (from port ${probes.get(key)!.from!.port}: ${reason})`)
  const sentences = [
    ...(hidden.length > 0 ? [`cannot probe: ${shortened(hidden)}`] : []),
    ...(fallen.length > 0 ? [`failing: ${shortened(fallen)}`] : []),
    ...(unasked
      ? [`${unasked[0]} is taken for healthy, as none of the ports ${unasked[1].probe.from.join(', ')} can ask it from this host`]
      : [])
  ]
  return sentences.length > 0 ? sentences.join('; ') : undefined
}

function shortened(names: string[]): string {
  const more = names.length - NAMED_MAX
  return names.slice(0, NAMED_MAX).join(', ') + (more > 0 ? ` and ${more} more` : '')
}
