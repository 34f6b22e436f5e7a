// SPDX-License-Identifier: Apache-2.0
// inkev's side of the comparison by kinds: for each a tenant of its own, two networks and a router, with the kind where it belongs.

import type { Host } from '../lab/host'
import type { Lab } from '../lab/lab'
import {
  allowed,
  BACKENDS,
  CLIENT,
  FIREWALL_ROW,
  OWN_KIND,
  PATTERNS,
  POLICED_RATE,
  POOL,
  ROUTER,
  RULE_COUNTS,
  SERVER,
  VIRTUAL
} from './kinds'
import { put } from './own'
import type { Scenario } from './references'

/** What a tenant has beside networks and router. */
interface Wish {
  function?: Record<string, unknown>
  /** Between router and the server's network, in place of the chain of the client's port. */
  between?: true
  /** How many of it stand in a row. */
  times?: number
  /** What the client asks for, in place of the server's own address. */
  address?: string
}

const nat = { sources: { all: { source: CLIENT.subnet, pool: `${POOL}/32` } } }

const load_balancer = {
  services: { web: { address: VIRTUAL, port: 5201 } },
  backends: Object.fromEntries(BACKENDS.map((address, n) => [`b${n}`, { service: 'web', address }]))
}

const policer = { limits: { all: { rate: `${POLICED_RATE}gbit` } } }

const inspect = {
  rules: { tcp: { protocol: 'tcp', action: 'drop' } },
  patterns: Object.fromEntries(PATTERNS.map((text, n) => [`p${n}`, { rule: 'tcp', text }]))
}

const firewall = (count: number) => ({
  default_egress: 'deny',
  rules: Object.fromEntries(
    allowed(count).map((address, n) => [
      `r${n}`,
      { priority: n + 1, direction: 'egress', protocol: 'tcp', destination: `${address}/32`, ports: '5201', action: 'allow' }
    ])
  )
})

const WISHES: Record<string, Wish> = {
  [ROUTER]: {},
  [OWN_KIND.nat]: { function: { nat }, between: true },
  [OWN_KIND.balancer]: { function: { load_balancer }, address: VIRTUAL },
  [OWN_KIND.policer]: { function: { policer } },
  [OWN_KIND.inspect]: { function: { inspect } },
  ...Object.fromEntries(RULE_COUNTS.map(count => [OWN_KIND.firewall(count), { function: { firewall: firewall(count) } }])),
  [OWN_KIND.row]: { function: { firewall: firewall(1) }, times: FIREWALL_ROW }
}

async function tenant(host: Host, number: number, wish: Wish): Promise<Scenario> {
  const named = (what: string) => `${what}-${number}`
  const stitch = (a: [string, string], b: object) => put(host, `stitches/${a.join('-')}`, { a: { function: a[0], port: a[1] }, b })
  const functions = Array.from({ length: wish.function ? (wish.times ?? 1) : 0 }, (_, n) => named(`f${n}`))
  for (const name of functions) await put(host, `functions/${name}`, wish.function)
  await put(host, `networks/${named('in')}`, { vni: 100 + number, subnets: { v4: { cidr: CLIENT.subnet } } })
  await put(host, `networks/${named('out')}`, { vni: 200 + number, subnets: { v4: { cidr: SERVER.subnet } } })
  await put(host, `functions/${named('gw')}`, {
    router: { interfaces: { in: { address: `${CLIENT.gateway}/24` }, out: { address: `${SERVER.gateway}/24` } } }
  })
  await stitch([named('gw'), 'in'], { network: named('in') })
  if (wish.between) {
    await stitch([named('gw'), 'out'], { function: functions[0], port: 'inside' })
    await stitch([functions[0]!, 'outside'], { network: named('out') })
  } else {
    await stitch([named('gw'), 'out'], { network: named('out') })
  }
  const workload = (what: string, network: string, ip_addresses: string[], chain: string[]) =>
    put(host, `ports/${named(what)}`, { network: named(network), netns: named(what), create_netns: true, ip_addresses, chain })
  await workload('client', 'in', [CLIENT.address], wish.between ? [] : functions)
  await workload('server', 'out', BACKENDS, [])
  return {
    client: host.workload(named('client')),
    server: host.workload(named('server')),
    address: wish.address ?? SERVER.address
  }
}

/** Sets all tenants up on the first host of a lab, and names the scenarios that they offer. */
export async function kindScenarios(lab: Lab): Promise<Record<string, Scenario>> {
  const scenarios: Record<string, Scenario> = {}
  for (const [number, [name, wish]] of Object.entries(WISHES).entries()) scenarios[name] = await tenant(lab.hosts[0]!, number, wish)
  return scenarios
}
