// SPDX-License-Identifier: Apache-2.0
// What a router must do with a packet, in the plainest words: lists that are read from end to end. Written from the README.

import { cidrContains } from '../../catalogue/addresses'

export interface Station {
  address: string
  mac: string
  link: string
}

export interface ModelRoute {
  destination: string
  via?: string
  type: 'unicast' | 'blackhole' | 'unreachable' | 'prohibit'
}

export interface ModelConfig {
  /** Prefixes and largest packets of the links, by name. */
  links: Record<string, { cidrs: string[]; mtu: number }>
  routes: ModelRoute[]
  /** Who is known without asking. */
  declared: Station[]
}

export interface Sent {
  src: string
  dst: string
  ttl: number
  /** Of the IP packet. */
  length: number
  /** Whether the frame is addressed to the router. */
  isOurs: boolean
}

/** What becomes of a packet: it goes on to one of `macs`; or an error goes back; or nothing goes anywhere; or a neighbour is asked for first. */
export type Fate =
  | { goes: 'on'; link: string; macs: string[] }
  | { goes: 'back'; counted: string[] }
  | { goes: 'nowhere'; counted: string[] }
  | { goes: 'later' }

/** The few prefixes and addresses of a test are compared again and again. */
const compared = new Map<string, boolean>()

function holds(cidr: string, address: string): boolean {
  const pair = `${cidr} ${address}`
  const known = compared.get(pair) ?? cidrContains(cidr, address)
  compared.set(pair, known)
  return known
}

/** Senders that no packet has. */
const MARTIANS = ['0.0.0.0/8', '127.0.0.0/8', '224.0.0.0/3', '::/64', 'ff00::/8']

const TOLD = { unreachable: 'unreachable', prohibit: 'prohibited' } as const

export class RouterModel {
  private readonly learned = new Map<string, Station>()
  /** Who has been heard since so much time passed that nobody is believed any longer. */
  private heard = new Set<string>()

  constructor(private config: ModelConfig) {}

  configure(config: ModelConfig): void {
    this.config = config
  }

  /** So long that every learned neighbour is forgotten. */
  wait(): void {
    this.heard = new Set()
  }

  /** A station of a link asks for the router's address there. Whether that teaches the router: it has known another MAC, or none, of an address that it takes to live there. */
  hear(station: Station): boolean {
    const [hop] = this.hopsTo(station.address)
    if (hop?.link !== station.link || hop.via !== undefined) return false
    const known = this.learned.get(station.address)
    this.learned.set(station.address, station)
    this.heard.add(station.address)
    return known?.mac !== station.mac
  }

  fateOf({ src, dst, ttl, length, isOurs }: Sent): Fate {
    if (!isOurs) return { goes: 'nowhere', counted: ['not_ours'] }
    if (MARTIANS.some(cidr => holds(cidr, src))) return { goes: 'nowhere', counted: ['martian'] }
    const error = (reason: string): Fate => ({ goes: 'back', counted: ['errors', reason].sort() })
    const hops = this.hopsTo(dst)
    if (hops.length === 0) return error('no_route')
    const [{ type }] = hops as [Hop]
    if (type === 'blackhole') return { goes: 'nowhere', counted: ['blackholed'] }
    if (type !== 'unicast') return error(TOLD[type])
    if (ttl <= 1) return error('ttl_exceeded')
    const stations = hops.map(({ via, link }) => this.stationAt(via ?? dst, link))
    if (stations.some(station => station === undefined)) return { goes: 'later' }
    const { link } = stations[0]!
    return length > this.config.links[link]!.mtu ? error('too_big') : { goes: 'on', link, macs: stations.map(station => station!.mac) }
  }

  /** Those of the longest prefix: of a link, or of routes. */
  private hopsTo(dst: string): Hop[] {
    const { links, routes } = this.config
    const linked = Object.entries(links).flatMap(([link, { cidrs }]) =>
      cidrs.map((destination): Hop => ({ destination, link, type: 'unicast' }))
    )
    const routed = routes.map((route): Hop => ({ ...route, link: route.via === undefined ? '' : this.linkOf(route.via) }))
    const matching = [...linked, ...routed].filter(({ destination }) => holds(destination, dst))
    const longest = Math.max(...matching.map(({ destination }) => lengthOf(destination)))
    return matching.filter(({ destination }) => lengthOf(destination) === longest)
  }

  private linkOf(via: string): string {
    return Object.entries(this.config.links).find(([, { cidrs }]) => cidrs.some(cidr => holds(cidr, via)))![0]
  }

  private stationAt(address: string, link: string): Station | undefined {
    const declared = this.config.declared.find(station => station.address === address && station.link === link)
    const learned = this.learned.get(address)
    return declared ?? (learned?.link === link && this.heard.has(address) ? learned : undefined)
  }
}

type Hop = ModelRoute & { link: string }

function lengthOf(cidr: string): number {
  return Number(cidr.split('/')[1])
}
