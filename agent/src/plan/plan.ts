// SPDX-License-Identifier: Apache-2.0
// The steps from what the kernel holds to what it should hold, in an order in which no packet is lost. Pure.

import {
  type Actual,
  type DeviceWish,
  type Entries,
  type HookWish,
  type ImageWish,
  type ObjectWish,
  programValue,
  type Wiring,
  type Wishes
} from './state'

export type Step =
  /** Creates a named namespace where there is none. */
  | { do: 'found'; key: string }
  /** Makes a device, or brings it to what it should be. */
  | { do: 'make'; key: string; wish: DeviceWish }
  /** Loads an object and pins it; where an earlier one of the key runs, takes over its maps. Nothing leads to it yet. */
  | { do: 'load'; key: string; wish: ObjectWish }
  /** Moves the memory of what ran before an object to it, and then the packets; these wait meanwhile. */
  | { do: 'take over'; key: string }
  /** Writes maps of one object: first `puts`, then `commit`, then `deletes`; then takes from the maps that the kernel fills what is not `allowed`. */
  | { do: 'sync'; key: string; puts: MapEntries[]; commit: MapEntries[]; deletes: MapKeys[]; allowed: ImageWish['allowed'] }
  /** Writes a shared map. */
  | { do: 'put'; key: string; entries: Entries }
  | { do: 'delete'; key: string; keys: string[] }
  /** Leads what arrives at a device into an object; where another program of the key's hook runs, replaces it in one step. */
  | { do: 'attach'; key: string; wish: HookWish }
  | { do: 'detach'; key: string }
  /** Removes the pins of what ran before the object. */
  | { do: 'tidy'; key: string }
  | { do: 'unload'; key: string }
  /** Removes devices. */
  | { do: 'unmake'; key: 'devices'; keys: string[] }
  /** Deletes a namespace that inkev created. */
  | { do: 'dissolve'; key: string }
  /** Removes the shared maps, when nothing uses them. */
  | { do: 'clear'; key: 'core' }

export interface MapEntries {
  map: string
  entries: Entries
}

export interface MapKeys {
  map: string
  keys: string[]
}

/**
 * The order in which shared maps are filled: what is led to, before what leads to it; a slot's program before its entry, the functions of a chain before the
 * port that names them. Emptied the other way round.
 */
const LED_TO = ['instances', 'host', 'peers', 'panel', 'stitches', 'workload_ips', 'vlan_tags', 'workloads'] as const
/** Through these come packets from outside: filled when all else stands. */
const ENTRANCES = ['tunnels', 'veth_stations', 'residents', 'workload_ids', 'vlan_ids'] as const

/** The shared maps that the agent writes; the road keeps others for itself. */
export type SharedMap = (typeof LED_TO | typeof ENTRANCES)[number]

export const SHARED_MAPS: readonly SharedMap[] = [...LED_TO, ...ENTRANCES]

/** Namespaces, devices and objects: made first, for the wiring refers to them. */
export function planMaking(wishes: Wishes, actual: Actual): Step[] {
  const namespaces = [...wishes.namespaces].filter(([name, create]) => create && !actual.namespaces.get(name))
  const devices = [...wishes.devices.values()].filter(({ key, make }) => actual.devices.get(key)?.made !== JSON.stringify(make))
  const objects = [...wishes.objects.values()].filter(({ key, digest }) => actual.objects.get(key)?.digest !== digest)
  return [
    ...namespaces.map(([key]) => ({ do: 'found', key }) as const),
    ...devices.map(wish => ({ do: 'make', key: wish.key, wish }) as const),
    ...objects.map(wish => ({ do: 'load', key: wish.key, wish }) as const)
  ]
}

/** The maps of objects that no packet reaches yet: filled before any does. */
export function planFilling(wishes: Wishes, actual: Actual): Step[] {
  return planImages(wishes, actual, running => !running)
}

/** The objects that are loaded and filled, and have yet to take over memory. */
export function planTakeover(actual: Actual, broken: ReadonlySet<string>): Step[] {
  const waiting = [...actual.objects].filter(([key, fact]) => fact.waiting && !broken.has(key))
  return waiting.map(([key]) => ({ do: 'take over', key }))
}

/**
 * A re-stitched port leads to its new end before the images follow, and before the old way is taken apart. Devices go before their hooks, which then cost the
 * kernel nothing.
 */
export function planWiring(wishes: Wishes, wiring: Wiring, actual: Actual): Step[] {
  const hooks = [...wiring.hooks.values()].filter(wish => differs(wish, actual))
  return [
    ...LED_TO.flatMap(map => planPuts(map, wiring, actual)),
    ...planImages(wishes, actual, running => running),
    ...ENTRANCES.flatMap(map => planPuts(map, wiring, actual)),
    ...hooks.map(wish => ({ do: 'attach', key: wish.key, wish }) as const),
    ...planUnmaking(gone(actual.devices, wishes.devices)),
    ...gone(actual.hooks, wiring.hooks).map(key => ({ do: 'detach', key }) as const),
    ...SHARED_MAPS.toReversed().flatMap(map => planDeletes(map, wiring, actual))
  ]
}

/** What is no longer wished, once nothing leads to it. */
export function planRemoval(wishes: Wishes, actual: Actual): Step[] {
  const stale = [...actual.objects].filter(([key, fact]) => fact.stale && !fact.waiting && wishes.objects.has(key))
  return [
    ...stale.map(([key]) => ({ do: 'tidy', key }) as const),
    ...gone(actual.objects, wishes.objects).map(key => ({ do: 'unload', key }) as const),
    ...gone(actual.namespaces, wishes.namespaces).map(key => ({ do: 'dissolve', key }) as const),
    ...(wishes.objects.size === 0 && actual.shared.size > 0 ? [{ do: 'clear', key: 'core' } as const] : [])
  ]
}

/** The kernel removes many devices as fast as one. */
function planUnmaking(devices: string[]): Step[] {
  return devices.length > 0 ? [{ do: 'unmake', key: 'devices', keys: devices }] : []
}

/** Keys that are there and not wished. */
function gone(all: ReadonlyMap<string, unknown>, wished: ReadonlyMap<string, unknown>): string[] {
  return [...all.keys()].filter(key => !wished.has(key))
}

function differs({ key, ifindex, object, program }: HookWish, { hooks, objects }: Actual): boolean {
  const fact = hooks.get(key)
  return fact?.ifindex !== ifindex || fact.programId !== objects.get(object)?.programs.get(program)
}

/** What is to be put into a map and what to be deleted from it. */
export function diffEntries(wished: Entries, held: Entries): { put: Entries; remove: string[] } {
  const put: Entries = new Map()
  for (const [key, value] of wished) if (held.get(key) !== value) put.set(key, value)
  return { put, remove: [...held.keys()].filter(key => !wished.has(key)) }
}

const NOTHING: Entries = new Map()

function planPuts(map: SharedMap, wiring: Wiring, actual: Actual): Step[] {
  const { put } = diffEntries(wiring.shared.get(map) ?? NOTHING, actual.shared.get(map) ?? NOTHING)
  return put.size > 0 ? [{ do: 'put', key: map, entries: put }] : []
}

function planDeletes(map: SharedMap, wiring: Wiring, actual: Actual): Step[] {
  const { remove } = diffEntries(wiring.shared.get(map) ?? NOTHING, actual.shared.get(map) ?? NOTHING)
  return remove.length > 0 ? [{ do: 'delete', key: map, keys: remove }] : []
}

/** Of those objects that packets reach, or of those that they do not reach; of none whose code is another than was wished. */
function planImages({ images, objects }: Wishes, actual: Actual, wanted: (running: boolean) => boolean): Step[] {
  const running = new Set(actual.shared.get('instances')?.values())
  return [...images].flatMap(([key, image]) => {
    const object = actual.objects.get(key)
    const isWished = object?.digest === objects.get(key)?.digest
    return object && isWished && wanted(running.has(programValue(object.programId))) ? planImage(key, image, actual) : []
  })
}

function planImage(key: string, image: ImageWish, actual: Actual): Step[] {
  const held = (map: string) => actual.images.get(key)?.get(map) ?? NOTHING
  const diffs = [...image.maps].map(([map, entries]) => ({ map, ...diffEntries(entries, held(map)) }))
  const puts = diffs.filter(({ put }) => put.size > 0).map(({ map, put }) => ({ map, entries: put }))
  const deletes = diffs.filter(({ remove }) => remove.length > 0).map(({ map, remove }) => ({ map, keys: remove }))
  const commits = [...image.commit].map(([map, entries]) => ({ map, entries: diffEntries(entries, held(map)).put }))
  const commit = commits.filter(({ entries }) => entries.size > 0)
  return puts.length + commit.length + deletes.length > 0 ? [{ do: 'sync', key, puts, commit, deletes, allowed: image.allowed }] : []
}
