// SPDX-License-Identifier: Apache-2.0
// Measures every scenario in turn, round by round, so that whatever disturbs the machine disturbs them all.

import type { Lab } from '../lab/lab'
import { ping } from '../lab/traffic'
import type { Rounds } from './figures'
import { type Mode, measure } from './measure'
import { ownScenarios } from './own'
import { references, type Scenario, Scope } from './references'

const MODES: Mode[] = ['rr', 'crr', 'bulk']

export interface TrafficOptions {
  rounds: number
  milliseconds: number
  /** Path of the compiled rr.c. */
  rr: string
  lab: Lab
  say: (line: string) => void
}

/** Builds references beside the lab's own tenant, measures all, and removes the references. */
export async function measureTraffic({ rounds, milliseconds, rr, lab, say }: TrafficOptions): Promise<Rounds> {
  const scopes: Scope[] = []
  try {
    const scenarios: Record<string, Scenario> = {}
    for (const [name, build] of Object.entries(references)) {
      const scope = new Scope(`${lab.name}-ref${scopes.length}`)
      scopes.push(scope)
      scenarios[name] = await build(scope)
    }
    Object.assign(scenarios, await ownScenarios(lab))
    await warmUp(scenarios)
    const results: Rounds = Object.fromEntries(Object.keys(scenarios).map(name => [name, { rr: [], crr: [], bulk: [] }]))
    for (let round = 1; round <= rounds; round++) {
      for (const mode of MODES) {
        say(`round ${round} of ${rounds}: ${mode}`)
        for (const [name, scenario] of Object.entries(scenarios))
          results[name]![mode]!.push(await measure(scenario, mode, milliseconds, rr))
      }
    }
    return results
  } finally {
    for (const scope of scopes) await scope.down()
  }
}

async function warmUp(scenarios: Record<string, Scenario>): Promise<void> {
  for (const [name, { client, address }] of Object.entries(scenarios)) {
    if (!(await ping(client, address, 3))) throw new Error(`${name}: the client cannot reach the server at ${address}`)
  }
}
