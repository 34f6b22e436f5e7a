// SPDX-License-Identifier: Apache-2.0
// Measures every scenario in turn, round by round, so that whatever disturbs the machine disturbs them all.

import type { Lab } from '../lab/lab'
import type { Rounds } from './figures'
import { MODES, measure, modesOf, type Programs } from './measure'
import { type Builder, type Scenario, Scope } from './references'

/** What is compared: references by their builders, and what a lab's own tenants offer. */
export interface Compared {
  references: Record<string, Builder>
  own: (lab: Lab) => Promise<Record<string, Scenario>>
}

export interface TrafficOptions {
  rounds: number
  milliseconds: number
  programs: Programs
  lab: Lab
  say: (line: string) => void
}

const WARM_UP_MS = 20

/** Builds references beside the lab's own tenants, measures all, and removes the references. */
export async function measureTraffic({ references, own }: Compared, options: TrafficOptions): Promise<Rounds> {
  const scopes: Scope[] = []
  try {
    const scenarios: Record<string, Scenario> = {}
    for (const [name, build] of Object.entries(references)) {
      const scope = new Scope(`${options.lab.name}-ref${scopes.length}`)
      scopes.push(scope)
      scenarios[name] = await build(scope)
    }
    Object.assign(scenarios, await own(options.lab))
    return await measureRounds(scenarios, options)
  } finally {
    for (const scope of scopes) await scope.down()
  }
}

async function measureRounds(
  scenarios: Record<string, Scenario>,
  { rounds, milliseconds, programs, say }: TrafficOptions
): Promise<Rounds> {
  const results: Rounds = Object.fromEntries(
    Object.entries(scenarios).map(([name, scenario]) => [name, Object.fromEntries(modesOf(scenario).map(mode => [mode, []]))])
  )
  const named = async <T>(name: string, work: Promise<T>): Promise<T> => {
    return work.catch(error => Promise.reject(new Error(`${name}: ${error.message}`)))
  }
  for (const [name, scenario] of Object.entries(scenarios)) await named(name, measure(scenario, 'rr', WARM_UP_MS, programs))
  for (let round = 1; round <= rounds; round++) {
    for (const mode of MODES) {
      say(`round ${round} of ${rounds}: ${mode}`)
      for (const [name, scenario] of Object.entries(scenarios)) {
        const samples = results[name]![mode]
        samples?.push(await named(name, measure(scenario, mode, milliseconds, programs)))
      }
    }
  }
  return results
}
