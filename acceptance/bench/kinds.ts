// SPDX-License-Identifier: Apache-2.0
// Which kinds of the catalogue are compared with what, and the tasks that both sides are given. Pure.

/** Client and server, in two subnets with a router between them: the same addresses for everybody. */
export const CLIENT = { subnet: '10.9.1.0/24', gateway: '10.9.1.1', address: '10.9.1.2' }
export const SERVER = { subnet: '10.9.2.0/24', gateway: '10.9.2.1', address: '10.9.2.2' }

/** What a translation of sources shows in place of the client's address. */
export const POOL = '10.9.2.100'

/** The virtual address of a balancer, and its backends: all of them addresses of the server. */
export const VIRTUAL = '203.0.113.10'
export const BACKENDS = [SERVER.address, '10.9.2.3', '10.9.2.4', '10.9.2.5']

/** A rate that nobody reaches here: what is measured is the judgement, not the loss. In Gbit/s. */
export const POLICED_RATE = 100

/** What payloads are searched for; none of it ever comes. */
export const PATTERNS = [1, 2, 3, 4, 5, 6, 7, 8].map(n => `forbidden-${n}`)

export const RULE_COUNTS = [1, 100, 10_000]

/** The destinations that so many rules of a filter allow. The server's is the last. */
export function allowed(count: number): string[] {
  return [...Array.from({ length: count - 1 }, (_, n) => `10.99.${n >> 8}.${n & 255}`), SERVER.address]
}

export const ROUTER = 'inkev router alone'
export const FIREWALL_ROW = 8
/** What so many in a row keep of the transactions that one lets through. */
export const ROW_TARGET = 0.85
const firewall = (count: number) => `inkev firewall, ${count} ${count === 1 ? 'rule' : 'rules'}`

/** Names of scenarios: inkev's own, by what they measure. */
export const OWN_KIND = {
  nat: 'inkev nat',
  balancer: 'inkev load_balancer',
  policer: 'inkev policer',
  inspect: 'inkev inspect',
  firewall,
  row: `inkev firewall, ${FIREWALL_ROW} in a row`
}

/** Names of scenarios: what they are compared with. */
export const PEER = {
  router: 'router namespace alone',
  masquerade: 'nftables masquerade',
  balancer: 'nftables DNAT by a map',
  policer: 'nftables limit',
  bucket: 'tbf on both sides',
  queue: 'nfqueue program',
  proxy: 'user-space proxy',
  set: (count: number) => `nftables set of ${count}`,
  list: (count: number) => `iptables list of ${count}`
}

/** One kind beside one reference. */
export interface Comparison {
  own: string
  peer: string
  /** Most of the reference's overhead that the kind may have. */
  overhead: number
  /** How many times the reference's new connections it must reach. */
  newConnections?: number
}

const beside = (own: string, peer: string, more: Partial<Comparison> = {}): Comparison => ({ own, peer, overhead: 1 / 3, ...more })
const NFTABLES = { newConnections: 1.3 }

export const COMPARISONS: Comparison[] = [
  beside(OWN_KIND.nat, PEER.masquerade, NFTABLES),
  beside(OWN_KIND.balancer, PEER.balancer, NFTABLES),
  beside(OWN_KIND.policer, PEER.policer, NFTABLES),
  beside(OWN_KIND.policer, PEER.bucket),
  beside(OWN_KIND.inspect, PEER.queue, { overhead: 1 / 5 }),
  beside(OWN_KIND.inspect, PEER.proxy, { overhead: 1 / 5 }),
  ...RULE_COUNTS.flatMap(count => [beside(firewall(count), PEER.set(count), NFTABLES), beside(firewall(count), PEER.list(count))])
]
