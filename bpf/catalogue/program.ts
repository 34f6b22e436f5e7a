// SPDX-License-Identifier: Apache-2.0
// A user's program as a kind of function: what its ELF declares in the words of program/function.h, and why it may be refused before the kernel sees it.

import { coreCounters } from '../core/core'
import { type Codec, type MapSpec, type ObjectSpec, readObjectOf, recordOf, variableTags } from './btf'
import { isChar } from './codec'
import type { CodeObject, Entry, FunctionKind, Image, Problem, Value } from './define'
import { type Elf, readElf } from './elf'
import { group } from './fields'
import { LayoutFault, layoutText, shapeOf, sharedBytes } from './layout'
import { foreignUse, KEY_MAX, MAP_TYPES, OWN_MAPS, RECORD_MAX, RESERVED_MAPS, ROAD_MAPS } from './policy'
import { MismatchError } from './scalars'
import { resolved } from './types'

/** The attribute of a function that is made of an uploaded program. */
export const PROGRAM_KIND = 'program'

/** What the operator says of an instance: every value as text, for only the program knows its type. */
export interface ProgramConfig {
  config?: Record<string, string>
  tables?: Record<string, { rows: Record<string, string> }>
}

/** What a program declares, for people. */
export interface Declares {
  doc: string
  ports: Record<string, string>
  counters: Record<string, string>
  config: Record<string, { type: string; doc: string; default?: string }>
  tables: Record<string, { key: string; value: string; max: number; doc: string }>
}

export interface Program {
  kind: FunctionKind
  declares: Declares
}

/** PROGRAM_COUNTERS_MAX of function.h. */
const COUNTERS_MAX = 64
const PORTS_MAX = 200
/** The kernel keeps 15 characters of a name. */
const NAME = /^[A-Za-z_][A-Za-z0-9_]{0,14}$/
const MEMBER = /^[a-z][a-z0-9_]{0,39}$/
const TAG = { doc: 'inkev:doc:', default: 'inkev:default:', table: 'inkev:table' }

/** Reads an ELF; `name` names its object among others. Throws RangeError with a sentence that says what no policy could allow. */
export function readProgram(name: string, elf: Uint8Array): Program {
  const { file, spec } = readFile(elf)
  const variables = file.sections.find(section => /^\.(data|bss)/.test(section))
  if (variables) throw new RangeError(`it has variables that are not constant (section ${variables}): keep them in a map`)
  const main = mainOf(spec)
  for (const map of spec.maps.values()) requireMap(map)
  const foreign = foreignUse(file)
  if (foreign) throw new RangeError(foreign)
  const declares = declaredBy(spec)
  return { kind: kindOf({ name, main, elf, spec }, declares), declares }
}

/** What Node says of places outside a file is of no use to its owner. */
function readFile(elf: Uint8Array): { file: Elf; spec: ObjectSpec } {
  try {
    const file = readElf(elf)
    return { file, spec: readObjectOf(file) }
  } catch (error) {
    const isOurs = error instanceof RangeError && !('code' in error) && !/call stack|array length|allocation/i.test(error.message)
    throw isOurs ? error : new RangeError('the ELF, or the BTF in it, is cut short or damaged', { cause: error })
  }
}

/** What an instance says, without the fields and tables that the program does not have. */
export function onlyKnown({ object }: FunctionKind, { config, tables, ...rest }: ProgramConfig): ProgramConfig {
  const declared = declaredBy(object!.spec)
  const known = <T>(given: Record<string, T> | undefined, names: object) =>
    Object.fromEntries(Object.entries(given ?? {}).filter(([name]) => Object.hasOwn(names, name)))
  return { ...rest, config: known(config, declared.config), tables: known(tables, declared.tables) }
}

/** Why the memory of a running program cannot be taken over by its next version, as a sentence; undefined where it can. Tables, configuration and counters are written anew. */
export function takeoverFault(before: CodeObject, next: CodeObject): string | undefined {
  for (const [name, map] of before.spec.maps) {
    const successor = next.spec.maps.get(name)
    if (!successor || ROAD_MAPS.includes(name) || OWN_MAPS.includes(name) || isTable(before.spec, name)) continue
    try {
      if (layoutText(map) !== layoutText(successor)) sharedBytes(shapeOf(before.spec, map), shapeOf(next.spec, successor))
    } catch (error) {
      if (!(error instanceof LayoutFault)) throw error
      return `map ${name} cannot be taken over: ${error.message}`
    }
  }
  return undefined
}

function mainOf({ programs }: ObjectSpec): string {
  const [main, ...others] = programs.values()
  if (!main) throw new RangeError('it holds no program: define one by INKEV_FUNCTION')
  if (others.length > 0) throw new RangeError(`it holds ${[...programs.keys()].join(' and ')}, and must hold one program`)
  if (main.section !== 'tc')
    throw new RangeError(`program ${main.name} is in section ${main.section}, and must be in tc: define it by INKEV_FUNCTION`)
  requireName(main.name, 'program')
  return main.name
}

function requireName(name: string, what: string): void {
  if (!NAME.test(name)) throw new RangeError(`${what} ${JSON.stringify(name)} needs a name of at most 15 letters, digits and underscores`)
}

function requireMap(map: MapSpec): void {
  const { name, type, key, value, keySize, valueSize, maxEntries, pinned } = map
  if (pinned) throw new RangeError(`map ${name} is pinned by its name, under which others could be found: leave pinning out`)
  if (ROAD_MAPS.includes(name)) return
  requireName(name, 'map')
  if (RESERVED_MAPS.includes(name)) throw new RangeError(`map ${name} has the name of one of the road's own: give it another`)
  if (!MAP_TYPES.some(allowed => allowed === type))
    throw new RangeError(`map ${name} is of a type (${type}) that no program may have: take one of ${MAP_TYPES.join(', ')}`)
  if (!key || !value)
    throw new RangeError(`map ${name} says only the size of its keys or values: declare it by __type(key, …) and __type(value, …)`)
  if (keySize > KEY_MAX || valueSize > RECORD_MAX)
    throw new RangeError(`map ${name} has records that are too large: keys of ${KEY_MAX} and values of ${RECORD_MAX} bytes are allowed`)
  if (maxEntries < 1) throw new RangeError(`map ${name} has no entries: declare max_entries`)
  try {
    layoutText(map)
  } catch (error) {
    throw error instanceof MismatchError ? error.of(`map ${name}`) : error
  }
}

function declaredBy(spec: ObjectSpec): Declares {
  const ports = recordOf(spec, 'inkev_ports')
  const counters = recordOf(spec, 'inkev_counters')
  if (!ports || spec.maps.get('counters')?.maxEntries !== Object.keys(coreCounters).length + COUNTERS_MAX)
    throw new RangeError('it was not compiled with inkev/function.h of this version, or declares no INKEV_PORTS')
  if (ports.members.length > PORTS_MAX) throw new RangeError(`it has ${ports.members.length} ports, and at most ${PORTS_MAX} are allowed`)
  for (const { members } of [ports, counters ?? { members: [] }])
    for (const { name } of members)
      if (!MEMBER.test(name))
        throw new RangeError(`${JSON.stringify(name)} is no name for a port or a counter: use lower-case letters, digits and underscores`)
  const taken = counters?.members.find(({ name }) => name in coreCounters)
  if (taken) throw new RangeError(`counter ${taken.name} has the name of one that every function has`)
  if (counters && counters.members.length > COUNTERS_MAX)
    throw new RangeError(`it has ${counters.members.length} counters, and at most ${COUNTERS_MAX} are allowed`)
  const documented = (record: typeof ports | undefined) =>
    Object.fromEntries((record?.members ?? []).map(({ name, tags }) => [name, tagged(tags, TAG.doc) ?? '']))
  return {
    doc: tagged(variableTags(spec, 'inkev_about'), TAG.doc) ?? '',
    ports: documented(ports),
    counters: documented(counters),
    config: configOf(spec),
    tables: Object.fromEntries(
      tablesOf(spec).map(({ name, key, value, maxEntries }) => [
        name,
        { key: key!.type, value: value!.type, max: maxEntries, doc: tagged(variableTags(spec, name), TAG.doc) ?? '' }
      ])
    )
  }
}

function configOf(spec: ObjectSpec): Declares['config'] {
  const members = spec.maps.has('config') ? (recordOf(spec, 'inkev_config')?.members ?? []) : []
  return Object.fromEntries(
    members.map(({ name, type, tags }) => {
      const fallback = tagged(tags, TAG.default)
      return [name, { type: typeName(spec, type), doc: tagged(tags, TAG.doc) ?? '', ...(fallback !== undefined && { default: fallback }) }]
    })
  )
}

function typeName({ types }: ObjectSpec, index: number): string {
  const type = types[index]
  return type && 'name' in type ? type.name : (type?.kind ?? '')
}

function tagged(tags: string[], prefix: string): string | undefined {
  return tags.find(tag => tag.startsWith(prefix))?.slice(prefix.length)
}

function isTable(spec: ObjectSpec, map: string): boolean {
  return variableTags(spec, map).includes(TAG.table)
}

function tablesOf(spec: ObjectSpec): MapSpec[] {
  return [...spec.maps.values()].filter(({ name }) => isTable(spec, name))
}

function kindOf(object: CodeObject, { doc, ports, counters, config, tables }: Declares): FunctionKind {
  const image = (given: ProgramConfig): Image => ({
    maps: {
      ...(object.spec.maps.has('config') && { config: [{ key: 0, value: configValue(object.spec, config, given.config ?? {}) }] }),
      ...Object.fromEntries(Object.keys(tables).map(name => [name, tableEntries(object.spec, name, given.tables?.[name]?.rows ?? {})]))
    }
  })
  return {
    kind: PROGRAM_KIND,
    doc,
    ports: Object.keys(ports),
    config: {},
    counters,
    schema: group({}),
    object,
    check: given => problemsOf(object.spec, { config, tables }, given as ProgramConfig, image),
    image: given => image(given as ProgramConfig)
  }
}

/** Members that the program does not have are left out: they are faults of the configuration, not of the program's next version. */
function configValue(spec: ObjectSpec, declared: Declares['config'], given: Record<string, string>): Value {
  const { members } = recordOf(spec, 'inkev_config')!
  return Object.fromEntries(
    members.flatMap(({ name, type }) => {
      const text = given[name] ?? declared[name]!.default
      return text === undefined ? [] : [[name, typedValue(spec, type, text)]]
    })
  )
}

function tableEntries(spec: ObjectSpec, name: string, rows: Record<string, string>): Entry[] {
  const { key, value } = spec.maps.get(name)!
  return Object.entries(rows).map(([left, right]) => ({ key: wordOf(key!, left), value: wordOf(value!, right) }))
}

/** A text as the codec of its type takes it. */
function typedValue({ types }: ObjectSpec, index: number, text: string): Value {
  const type = types[index]
  const isBool = type?.kind === 'typedef' && type.name === 'bool_t'
  const target = resolved(types, index)
  if (isBool || (target?.kind === 'int' && target.bool)) return text === 'true' ? true : text === 'false' ? false : text
  if (target?.kind === 'int' && /^-?[0-9]+$/.test(text)) return BigInt(text)
  if (target?.kind === 'array' && isChar(types, target.element)) return text
  return target?.kind === 'struct' || target?.kind === 'union' || target?.kind === 'array' ? parsed(text) : text
}

/** As `typedValue`, where only the codec is known: the first reading that it takes. */
function wordOf(codec: Codec, text: string): Value {
  const readings = [text, ...(/^-?[0-9]+$/.test(text) ? [BigInt(text)] : []), parsed(text)]
  return readings.find(reading => !faultOf(() => codec.encode(reading))) ?? text
}

function parsed(text: string): Value {
  try {
    return JSON.parse(text) as Value
  } catch {
    return text
  }
}

function faultOf(encode: () => unknown): MismatchError | undefined {
  try {
    encode()
    return undefined
  } catch (error) {
    if (error instanceof MismatchError) return error
    throw error
  }
}

function problemsOf(
  spec: ObjectSpec,
  { config, tables }: Pick<Declares, 'config' | 'tables'>,
  given: ProgramConfig,
  image: (given: ProgramConfig) => Image
): Problem[] {
  const strangers = [
    ...unknownIn(given.config, config, 'config', 'field of its configuration'),
    ...unknownIn(given.tables, tables, 'tables', 'table')
  ]
  if (strangers.length > 0) return strangers
  const { maps } = image(given)
  return Object.entries(maps).flatMap(([map, entries]) => {
    const { key, value, maxEntries } = spec.maps.get(map)!
    const path = map === 'config' ? 'config' : `tables.${map}.rows`
    if (entries.length > maxEntries)
      return [{ path, message: `${entries.length} rows are too many`, hint: `At most ${maxEntries} are possible.` }]
    return entries.flatMap((entry, n) => {
      const fault = faultOf(() => key!.encode(entry.key)) ?? faultOf(() => value!.encode(entry.value))
      const row = map === 'config' ? fault?.path : Object.keys(given.tables![map]!.rows)[n]
      return fault ? [{ path: [path, row].filter(Boolean).join('.'), message: fault.reason }] : []
    })
  })
}

function unknownIn(given: object | undefined, declared: object, path: string, what: string): Problem[] {
  const names = Object.keys(declared)
  return Object.keys(given ?? {})
    .filter(name => !names.includes(name))
    .map(name => ({
      path: `${path}.${name}`,
      message: `the program has no ${what} ${name}`,
      hint: `It has: ${names.join(', ') || 'none'}.`
    }))
}
