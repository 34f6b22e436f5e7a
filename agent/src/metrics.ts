// SPDX-License-Identifier: Apache-2.0
// Metrics in the Prometheus format: the counters of every function that runs, and how the resources fare.

import { Counter, Gauge, Registry } from 'prom-client'
import type { Introspection } from './introspection'

/** The text for one scrape. */
export async function metricsOf(introspection: Introspection): Promise<string> {
  const registry = new Registry()
  const metrics = new Map<string, Counter<'function'>>()
  for (const { kind, name, counters } of introspection.allCounters())
    for (const [counter, { value, doc }] of Object.entries(counters)) {
      const metric = `inkev_${kind}_${counter}_total`
      if (!metrics.has(metric))
        metrics.set(metric, new Counter({ name: metric, help: doc, labelNames: ['function'], registers: [registry] }))
      metrics.get(metric)!.inc({ function: name }, Number(value))
    }
  const healthy = new Gauge({
    name: 'inkev_healthy',
    help: 'Whether what a function wants watched is well (1) or fails (0), as this host sees it.',
    labelNames: ['function', 'name'],
    registers: [registry]
  })
  for (const { function: owner, name, state } of introspection.allHealth())
    if (state !== 'unknown') healthy.set({ function: owner, name }, state === 'healthy' ? 1 : 0)
  const resources = new Gauge({
    name: 'inkev_resources',
    help: 'Resources of this host by type and state.',
    labelNames: ['type', 'state'],
    registers: [registry]
  })
  for (const [key, { state }] of introspection.statuses()) resources.inc({ type: key.slice(0, key.indexOf('/')), state })
  return registry.metrics()
}
