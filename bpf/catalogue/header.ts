// SPDX-License-Identifier: Apache-2.0
// From a kind's declaration to its C header `<kind>.gen.h`: names and types only, the layout is clang's.

import type { TProperties, TSchema } from '@sinclair/typebox'
import { configMembers } from './config'
import type { FunctionKind } from './define'
import { annotations, rowFields } from './fields'

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
