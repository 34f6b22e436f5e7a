// SPDX-License-Identifier: Apache-2.0
// The contents of the balancer's kernel tables: services, the Maglev table and members of each, and which backends may keep their sessions.

import { createHash } from 'node:crypto'
import { derivedMac, normalise } from '../../catalogue/addresses'
import type { Entry, Image, Surroundings, Value } from '../../catalogue/define'
import { healthyOf } from './health'
import type { Backend, BalancerConfig, Service } from './load_balancer'
import { maglev, SLOTS } from './maglev'

/** Slots in one record of the kernel's table; ROW in tables.h. */
const ROW = 256

/** A backend that takes new sessions, as the kernel gets it. */
interface Member {
  address: string
  port: number
  weight: number
  /** Its MAC, and the port of the balancer behind which it lives, where that is known. */
  mac?: string
  out?: number
}

export function balancerImage(config: BalancerConfig, surroundings: Surroundings): Image {
  const { services, backends } = config
  const { generation, failing = [] } = surroundings
  const links = linksOf(surroundings)
  const members: Entry[] = []
  const slots: Entry[] = []
  const places: Entry[] = []
  for (const [name, service] of Object.entries(services)) {
    const pool = poolOf(service, takersOf(backends, name, failing), links)
    const table = tableId(pool)
    const rows = tables.get(table) ?? rowsOf(pool)
    remember(table, rows)
    for (const [number, member] of pool.entries()) members.push({ key: { table, number }, value: memberRecord(member) })
    for (const [row, member] of rows.entries()) slots.push({ key: { table, row }, value: { member } })
    places.push({
      key: keyOf(service),
      value: { table, members: pool.length, mode: service.mode, by_source: service.affinity === 'source' }
    })
  }
  return {
    maps: {
      members: distinct(members),
      slots: distinct(slots),
      services: places,
      addresses: distinct(Object.values(services).map(({ address }) => addressEntry(address, surroundings))),
      backends: Object.values(backends).map(backend => backendEntry(backend, services[backend.service]!, generation))
    },
    commit: { map: 'generation', entries: [{ key: 0, value: generation }] }
  }
}

/** Services with equal pools share their table. */
function distinct(entries: Entry[]): Entry[] {
  return [...new Map(entries.map(entry => [textOf(entry.key), entry])).values()]
}

function textOf(key: Value): string {
  return JSON.stringify(key, (_, value) => (typeof value === 'bigint' ? String(value) : value))
}

/** The backends of a service that are meant to take new sessions. */
function takersOf(backends: BalancerConfig['backends'], service: string, failing: readonly string[]): Backend[] {
  return healthyOf(
    Object.entries(backends).filter(([, backend]) => backend.service === service && !backend.drain),
    failing
  )
}

/** Where the addresses of the adjacent networks live. */
type Links = Map<string, { mac: string; out: number }>

function linksOf({ ports }: Surroundings): Links {
  return new Map(
    Object.values(ports).flatMap(({ number: out, network }) =>
      (network?.endpoints ?? []).flatMap(({ mac, addresses }) => addresses.map(address => [normalise(address), { mac, out }] as const))
    )
  )
}

/** Who takes new sessions. A direct service can use only those whose MAC is known. */
function poolOf(service: Service, backends: Backend[], links: Links): Member[] {
  return backends
    .map(({ address, port, weight }) => ({
      address: normalise(address),
      port: port ?? service.port,
      weight,
      ...links.get(normalise(address))
    }))
    .filter(({ mac }) => service.mode === 'nat' || mac !== undefined)
    .sort((a, b) => (placeOf(a) < placeOf(b) ? -1 : 1))
}

function placeOf({ address, port }: Pick<Member, 'address' | 'port'>): string {
  return `${address} ${port}`
}

/** A table's number follows from what it holds, so that it never changes under a service: a service is led to a new table by one store. */
function tableId(pool: Member[]): bigint {
  return createHash('sha256').update(JSON.stringify(pool)).digest().readBigUInt64LE()
}

/** Tables of late, as they cost some 30 ms each and most outlast a change. */
const tables = new Map<bigint, Uint8Array[]>()
const TABLES_REMEMBERED = 512

function remember(table: bigint, rows: Uint8Array[]): void {
  tables.delete(table)
  tables.set(table, rows)
  for (const oldest of tables.keys()) if (tables.size > TABLES_REMEMBERED) tables.delete(oldest)
}

function rowsOf(pool: Member[]): Uint8Array[] {
  if (pool.length === 0) return []
  const table = maglev(pool.map(member => ({ name: placeOf(member), weight: member.weight })))
  return Array.from({ length: Math.ceil(SLOTS / ROW) }, (_, row) => table.subarray(row * ROW, (row + 1) * ROW))
}

function memberRecord({ address, port, mac, out = 0 }: Member): Value {
  return { address, port, ...(mac !== undefined && { mac }), out }
}

function keyOf({ address, port, protocol }: Service): { address: string; port: number; protocol: string } {
  return { address: normalise(address), port, protocol }
}

/** Beside a network the balancer is the virtual address's station on the link. In a chain it is none: packets come by way of the gateway. */
function addressEntry(address: string, { name, ports }: Surroundings): Entry {
  const isOnLink = Object.values(ports).some(({ network }) => network)
  return { key: normalise(address), value: { mac: derivedMac('load_balancer', name), on_link: isOnLink } }
}

/** The generation tells backends that are still there from those that are about to be deleted. */
function backendEntry({ address, port, drain }: Backend, service: Service, generation: number): Entry {
  const key = { service: keyOf(service), address: normalise(address), port: port ?? service.port }
  return { key, value: { generation, draining: drain } }
}
