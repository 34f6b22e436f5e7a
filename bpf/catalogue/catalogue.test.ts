// SPDX-License-Identifier: Apache-2.0
// The rules of the catalogue, held against every kind in it: what is declared is read, counted and fits the compiled object.

import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { beforeAll, describe, expect, test } from '@jest/globals'
import { coreCounters } from '../core/core'
import { kinds } from '../functions/index.gen'
import { isHostAddress, parseIp, parseMac } from './addresses'
import { encodeEntries, readObject } from './btf'
import { configEntry, configMembers } from './config'
import { type Endpoint, type FunctionKind, type Image, portNames, type Surroundings } from './define'
import { exampleConfig } from './example'
import { kindHeader } from './header'
import { validateConfig } from './validate'

const bpf = join(__dirname, '..')
const NAME_MAX = 15

const build = (...args: string[]) => execFileSync(process.execPath, [join(bpf, 'build.mjs'), ...args], { stdio: 'pipe' })

function filesBelow(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap(entry => {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) return ['node_modules', 'build', 'dist'].includes(entry.name) ? [] : filesBelow(path)
    return [path]
  })
}

const isGenerated = (path: string) => /\.gen\.\w+$/.test(path)
const isC = (path: string) => /\.[ch]$/.test(path)

function textOf(paths: string[]): string {
  return paths.map(path => readFileSync(path, 'utf8')).join('\n')
}

const catalogue = Object.values(kinds)
/** What clang says of all kinds where every field has another name. */
let complaints: string

beforeAll(() => {
  build('compile')
  complaints = complaintsAboutRenamed()
}, 60_000)

test('generated files are as generated', () => {
  build('check')
})

/** The counters of `<PREFIX>_<NAME>` that no C counts. That a packet of a test moves each, testing/counted.ts sees. */
function idleCounters(prefix: string, names: string[], sources: string): string[] {
  const isCounted = (name: string) => new RegExp(`\\b${`${prefix}_${name}`.toUpperCase()}\\b`).test(sources)
  return names.filter(name => !isCounted(name))
}

describe('the road', () => {
  test('counts what it declares', () => {
    const code = filesBelow(bpf).filter(path => isC(path) && !isGenerated(path))
    expect(idleCounters('core', Object.keys(coreCounters), textOf(code))).toEqual([])
  })
})

describe.each(catalogue)('kind $kind', declared => {
  const { kind, counters } = declared
  const folder = join(bpf, 'functions', kind)
  const files = filesBelow(folder)
  const sources = files.filter(path => isC(path) && !isGenerated(path))
  const compiled = () => readObject(readFileSync(join(bpf, 'build', `${kind}.bpf.o`)))

  test('has its declaration, program, test and manual in its folder', () => {
    const names = files.map(path => basename(path))
    expect(names).toEqual(expect.arrayContaining([`${kind}.ts`, `${kind}.bpf.c`, `${kind}.test.ts`, 'README.md']))
  })

  test('counts what it declares', () => {
    expect(idleCounters(kind, Object.keys(counters), textOf(sources))).toEqual([])
  })

  test("has a program of the kind's name, and names that the kernel does not cut", () => {
    const object = compiled()
    expect(object.programs.get(kind)).toMatchObject({ section: 'tc' })
    const names = [...object.programs.keys(), ...object.maps.keys()]
    expect(names.filter(name => name.length > NAME_MAX)).toEqual([])
  })

  test('has an example that is valid, from which entries follow that its maps can hold', () => {
    const { config, problems } = validateConfig(declared, exampleConfig(declared))
    expect(problems).toEqual([])
    const { maps, commit } = imageOf(declared, config)
    const object = compiled()
    for (const [name, entries] of [...Object.entries(maps), ...(commit ? ([[commit.map, commit.entries]] as const) : [])]) {
      const map = object.maps.get(name)
      expect([name, map?.name]).toEqual([name, name])
      encodeEntries(map!, entries)
    }
    for (const name of Object.keys(declared.sizes?.(config as never) ?? {})) expect([...object.maps.keys()]).toContain(name)
  })

  test('owns valid addresses at ports that it has', () => {
    const { config } = validateConfig(declared, exampleConfig(declared))
    for (const [port, { mac, addresses }] of Object.entries(declared.presents?.(config as never, 'example') ?? {})) {
      expect(portNames(declared, config)).toContain(port)
      expect(parseMac(mac)[0]! & 1).toBe(0)
      addresses.forEach(parseIp)
    }
  })

  test('does not compile when a field is renamed, for its C reads every one', () => {
    const members = configMembers(declared).map(({ name }) => name)
    expect(members.filter(name => !complaints.includes(`error: no member named '${name}' in 'struct ${kind}_config'`))).toEqual([])
  })
})

/** In a copy of the catalogue. */
function complaintsAboutRenamed(): string {
  const copy = mkdtempSync(join(tmpdir(), 'inkev-catalogue-'))
  try {
    cpSync(bpf, join(copy, 'bpf'), { recursive: true, filter: path => !/\/(build|node_modules)$/.test(path) })
    for (const declared of catalogue)
      writeFileSync(join(copy, 'bpf/functions', declared.kind, `${declared.kind}.gen.h`), kindHeader(withFieldsRenamed(declared)))
    const names = catalogue.map(({ kind }) => kind)
    return spawnSync(process.execPath, [join(copy, 'bpf/build.mjs'), 'compile', ...names], { encoding: 'utf8', maxBuffer: 64 << 20 }).stderr
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

function withFieldsRenamed(declared: FunctionKind): FunctionKind {
  const members = configMembers(declared).map(({ name }) => name)
  const config = Object.entries(declared.config).map(([name, schema]) => [members.includes(name) ? `${name}_renamed` : name, schema])
  return { ...declared, config: Object.fromEntries(config) }
}

/** All that the agent would put into the maps, in a situation where each port is stitched to a network with one endpoint of each sort. */
function imageOf(declared: FunctionKind, config: Record<string, unknown>): Image {
  const entry = configEntry(declared, config)
  const image = declared.image?.(config as never, surroundingsOf(declared, config)) ?? { maps: {} }
  return { ...image, maps: { ...image.maps, ...(entry && { config: [entry] }) } }
}

function surroundingsOf(declared: FunctionKind, config: Record<string, unknown>): Surroundings {
  const presences = declared.presents?.(config as never, 'example') ?? {}
  const ports = portNames(declared, config).map((port, number) => {
    const cidrs = ['10.0.1.0/24', 'fd00:1::/64']
    const own = (presences[port]?.addresses ?? []).filter(address => cidrs.some(cidr => isHostAddress(cidr, address)))
    const endpoints = endpointsOf(own)
    return [port, { number, network: { name: 'web', vni: 100, mtu: 1450, cidrs, endpoints } }] as const
  })
  const bridge = { vni: 100, mtu: 1450, endpoints: endpointsOf([]), port_ids: [1], peers: [1], stitched: [1] }
  return { name: 'example', host: 'here', ports: Object.fromEntries(ports), generation: 1, ...(declared.internal && { bridge }) }
}

function endpointsOf(own: string[]): Endpoint[] {
  return [
    { mac: '02:00:00:00:00:01', addresses: ['10.0.1.11', 'fd00:1::11'], port_id: 1 },
    { mac: '02:00:00:00:00:02', addresses: ['10.0.1.12'], peer: 1 },
    { mac: '02:00:00:00:00:03', addresses: own, bridge_port: 1 }
  ]
}
