// SPDX-License-Identifier: Apache-2.0
// What the kinds of the catalogue are measured against: a router namespace between client and server that does their task by nftables, iptables or a program in user space.

import { allowed, BACKENDS, CLIENT, PATTERNS, PEER, POLICED_RATE, RULE_COUNTS, SERVER, VIRTUAL } from './kinds'
import { pinned } from './measure'
import { type Builder, link, type NamedNamespace, type Scenario, type Scope, veth } from './references'

interface Routed extends Scenario {
  router: NamedNamespace
}

async function routed(scope: Scope): Promise<Routed> {
  const [client, server, router] = [await scope.make('c'), await scope.make('s'), await scope.make('r')]
  await link(
    { namespace: client, device: 'eth0', address: `${CLIENT.address}/24` },
    { namespace: router, device: 'inner', address: `${CLIENT.gateway}/24` }
  )
  await link(
    { namespace: server, device: 'eth0', address: `${SERVER.address}/24` },
    { namespace: router, device: 'outer', address: `${SERVER.gateway}/24` }
  )
  await router.each('sysctl -qw net.ipv4.ip_forward=1')
  await client.each(`ip route add default via ${CLIENT.gateway}`)
  await server.each(`ip route add default via ${SERVER.gateway}`)
  return { client, server, router, address: SERVER.address }
}

/** The router with a table of nftables. */
function nftables(...lines: string[]): (scope: Scope) => Promise<Routed> {
  return async scope => {
    const scenario = await routed(scope)
    await scenario.router.run(['nft', '-f', '-'], { input: `table ip bench {\n${lines.join('\n')}\n}\n` })
    return scenario
  }
}

const chain = (hook: string, type: string, priority: string, ...rules: string[]) =>
  `chain ${hook} {\n type ${type} hook ${hook} priority ${priority}\n${rules.join('\n')}\n}`

const masquerade = nftables(chain('postrouting', 'nat', 'srcnat', 'oifname "outer" masquerade'))

const BACKEND_MAP = BACKENDS.map((address, n) => `${n} : ${address}`).join(', ')
const balancing = nftables(
  chain(
    'prerouting',
    'nat',
    'dstnat',
    `ip daddr ${VIRTUAL} tcp dport 5201 dnat to jhash ip saddr . tcp sport mod ${BACKENDS.length} map { ${BACKEND_MAP} }`
  )
)

async function balancer(scope: Scope): Promise<Scenario> {
  const scenario = await balancing(scope)
  for (const address of BACKENDS.slice(1)) await scenario.server.run(['ip', 'address', 'add', `${address}/24`, 'dev', 'eth0'])
  return { ...scenario, address: VIRTUAL }
}

const policer = nftables(chain('forward', 'filter', 'filter', `limit rate over ${POLICED_RATE * 125} mbytes/second burst 250 mbytes drop`))

/** The kernel's own token bucket, as a queue before either end. */
async function bucket(scope: Scope): Promise<Scenario> {
  const scenario = await routed(scope)
  for (const device of ['inner', 'outer'])
    await scenario.router.each(`tc qdisc add dev ${device} root tbf rate ${POLICED_RATE}gbit burst 250mb limit 500mb`)
  return scenario
}

/** Known connections first, as everybody writes it; then one lookup. */
function set(count: number): Builder {
  return nftables(
    `set allowed {\n type ipv4_addr . inet_service\n elements = { ${allowed(count)
      .map(address => `${address} . 5201`)
      .join(', ')} }\n}`,
    chain('forward', 'filter', 'filter', 'ct state established,related accept', 'ip daddr . tcp dport @allowed accept', 'drop')
  )
}

/** The same as a list of rules, one after the other. */
function list(count: number): Builder {
  const rules = ['-m conntrack --ctstate RELATED,ESTABLISHED', ...allowed(count).map(address => `-d ${address} -p tcp --dport 5201`)]
  const input = ['*filter', ':FORWARD DROP', ...rules.map(rule => `-A FORWARD ${rule} -j ACCEPT`), 'COMMIT', ''].join('\n')
  return async scope => {
    const scenario = await routed(scope)
    await scenario.router.run(['iptables-restore'], { input })
    return scenario
  }
}

/** All packets go up to a program, which lets them pass. */
function queue(inspector: string): Builder {
  return async scope => {
    const scenario = await routed(scope)
    await scenario.router.each('iptables -A FORWARD -p tcp -j NFQUEUE --queue-num 0')
    await scope.start(scenario.router, pinned([inspector, 'queue', '0', ...PATTERNS]))
    return { ...scenario, userSpace: true }
  }
}

/** The client speaks to a program, which speaks to the server. */
function proxy(inspector: string): Builder {
  return async scope => {
    const scenario = await routed(scope)
    await scope.start(scenario.router, pinned([inspector, 'proxy', CLIENT.gateway, '5201', SERVER.address, ...PATTERNS]))
    return { ...scenario, address: CLIENT.gateway, userSpace: true }
  }
}

/** `inspector` is the path of the compiled inspector.c. */
export function kindReferences(inspector: string): Record<string, Builder> {
  const filters = RULE_COUNTS.flatMap(count => [[PEER.set(count), set(count)] as const, [PEER.list(count), list(count)] as const])
  return {
    'bare veth': veth,
    [PEER.router]: routed,
    [PEER.masquerade]: masquerade,
    [PEER.balancer]: balancer,
    [PEER.policer]: policer,
    [PEER.bucket]: bucket,
    [PEER.queue]: queue(inspector),
    [PEER.proxy]: proxy(inspector),
    ...Object.fromEntries(filters)
  }
}
