// SPDX-License-Identifier: Apache-2.0
// From a kind's declaration to its C header `<kind>.gen.h`: names and types only, the layout is clang's.

import { OptionalKind, type TProperties, type TSchema } from '@sinclair/typebox'
import type { FunctionKind } from './define'
import { annotations, type Meaning } from './fields'

/** The C type of each meaning that has one. A scalar of any other meaning is no member of the struct: `image` says what becomes of it. */
const C_TYPES: Partial<Record<Meaning, string>> = {
  bool: 'bool_t',
  u32: '__u32',
  u64: '__u64',
  percent: '__u8',
  ipv4: 'ipv4_t',
  ipv6: 'ipv6_t',
  ip: 'ip_t',
  cidr: 'prefix_t',
  interface_address: 'prefix_t',
  mac: 'mac_t',
  port: 'port_t',
  protocol: 'protocol_t',
  vni: 'vni_t',
  duration: 'duration_t',
  rate: 'bitrate_t'
}

/** One member of `struct <kind>_config`. */
export interface ConfigMember {
  name: string
  type: string
  doc: string
  /** It may be left out and has no default: a member `bool_t has_<name>` says whether it is set. */
  optional: boolean
}

/** The members of `struct <kind>_config`, in the order of their declaration; none for a kind without such scalars, which then has no `config` map. */
export function configMembers({ kind, config }: Pick<FunctionKind, 'kind' | 'config'>): ConfigMember[] {
  return Object.entries(config).flatMap(([name, schema]) => {
    const type = annotations(schema)?.agentOnly ? undefined : cType(`${kind}_${name}`, schema)
    const optional = schema[OptionalKind] === 'Optional' && schema.default === undefined
    return type ? [{ name, type, doc: docOf(schema), optional }] : []
  })
}

/** The text of `bpf/functions/<kind>/<kind>.gen.h`. It is included before `graph.h`, which sizes the counters by COUNTERS_MAX. */
export function kindHeader(declared: FunctionKind): string {
  const { kind } = declared
  return lines(
    '/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */',
    `/* Generated from ${kind}.ts: its counters, ports and configuration. */`,
    '#pragma once',
    '',
    '#include <linux/bpf.h>',
    '#include <bpf/bpf_helpers.h>',
    '#include "types.h"',
    '#include "core.gen.h"',
    '',
    ...counters(declared),
    ...ports(declared),
    ...tables(declared),
    ...choices(kind, declared.config),
    ...configStruct(declared)
  )
}

/** The text of `bpf/core/core.gen.h`: the road's own reasons. */
export function coreHeader(reasons: Record<string, string>): string {
  return lines(
    '/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */',
    '/* Generated from core.ts: the reasons for which the road itself drops a packet. */',
    '#pragma once',
    '',
    'enum core_counter {',
    ...Object.entries(reasons).flatMap(([name, doc]) => [...comment(doc, '\t'), `\tCORE_${upper(name)},`]),
    '\tCORE_COUNTERS,',
    '};'
  )
}

function counters({ kind, counters: declared }: FunctionKind): string[] {
  const names = Object.keys(declared)
  const members = names.flatMap((name, n) => [
    ...comment(declared[name]!, '\t'),
    `\t${upper(kind)}_${upper(name)}${n === 0 ? ' = CORE_COUNTERS' : ''},`
  ])
  return [
    ...(names.length === 0
      ? []
      : ["/* Drop reasons and events; the road's own come before them. */", `enum ${kind}_counter {`, ...members, '};']),
    `#define COUNTERS_MAX (CORE_COUNTERS + ${names.length})`,
    ''
  ]
}

function ports({ kind, ports: declared }: FunctionKind): string[] {
  if (!Array.isArray(declared)) return []
  return defines(declared.map((name, number) => [`${upper(kind)}_PORT_${upper(name)}`, number]))
}

function tables({ kind, config }: FunctionKind): string[] {
  const sized = Object.entries(config).filter(([, schema]) => annotations(schema)?.meaning === 'table')
  return defines(sized.map(([name, schema]) => [`${upper(kind)}_${upper(name)}_MAX`, schema.maxProperties]))
}

/** An enum for every choice, those in the rows of tables included: `enum <kind>_<field>`, `enum <kind>_<table>_<field>`. One byte each. */
function choices(prefix: string, fields: TProperties): string[] {
  return Object.entries(fields).flatMap(([name, schema]) => {
    const tag = `${prefix}_${name}`
    const meaning = annotations(schema)?.meaning
    if (meaning === 'table') return choices(tag, rowFields(schema))
    if (meaning !== 'choice' || annotations(schema)?.agentOnly) return []
    const values = (schema.enum as string[]).map(value => `\t${upper(tag)}_${upper(value)},`)
    return [...comment(docOf(schema)), `enum ${tag} {`, ...values, '} __attribute__((packed));', '']
  })
}

function configStruct(declared: FunctionKind): string[] {
  const { kind } = declared
  const members = configMembers(declared)
  if (members.length === 0) return []
  const declarations = members.flatMap(({ name, type, doc, optional }) => [
    ...comment(doc, '\t'),
    `\t${type} ${name};`,
    ...(optional ? [`\tbool_t has_${name};`] : [])
  ])
  return [
    `struct ${kind}_config {`,
    ...declarations,
    '};',
    '',
    'struct {',
    '\t__uint(type, BPF_MAP_TYPE_ARRAY);',
    '\t__uint(max_entries, 1);',
    '\t__type(key, __u32);',
    `\t__type(value, struct ${kind}_config);`,
    '} config SEC(".maps");',
    '',
    "/* This instance's configuration; never NULL, though the verifier wants to see it checked. */",
    `static __always_inline const struct ${kind}_config *lookup_config(void)`,
    '{',
    '\t__u32 zero = 0;',
    '',
    '\treturn bpf_map_lookup_elem(&config, &zero);',
    '}',
    ''
  ]
}

function cType(tag: string, schema: TSchema): string | undefined {
  const declared = annotations(schema)
  if (!declared) throw new TypeError(`${tag} is not declared by a word of fields.ts`)
  if (declared.meaning === 'choice') return `enum ${tag}`
  return C_TYPES[declared.meaning as Meaning]
}

function rowFields(table: TSchema): TProperties {
  return (Object.values(table.patternProperties)[0] as { properties: TProperties }).properties
}

function docOf(schema: TSchema): string {
  return schema.description ?? ''
}

/** Aligned as the formatter aligns them. */
function defines(values: [name: string, value: number][]): string[] {
  if (values.length === 0) return []
  const width = Math.max(...values.map(([name]) => name.length))
  return [...values.map(([name, value]) => `#define ${name.padEnd(width)} ${value}`), '']
}

function upper(name: string): string {
  return name.toUpperCase().replaceAll('-', '_')
}

const WIDTH = 100
const TAB = 8

/** A C comment, broken where the formatter would break it. */
function comment(doc: string, indent = ''): string[] {
  const width = WIDTH - TAB * indent.length
  if (`/* ${doc} */`.length <= width) return [`${indent}/* ${doc} */`]
  const broken = doc.replaceAll(new RegExp(`(.{1,${width - 3}})( |$)`, 'g'), '$1\n').trimEnd()
  return [`${indent}/*`, ...broken.split('\n').map(line => `${indent} * ${line}`), `${indent} */`]
}

function lines(...all: string[]): string {
  return `${all.join('\n').trimEnd()}\n`
}
