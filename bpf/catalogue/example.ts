// SPDX-License-Identifier: Apache-2.0
// A configuration to start from, for each kind: valid, and short enough to be read.

import { OptionalKind, type TProperties, type TSchema } from '@sinclair/typebox'
import type { FunctionKind } from './define'
import { annotations, type Meaning, rowFields } from './fields'

/** The kind's own example, or one of the fields' examples: what is required, what has an example, and one row of each table. */
export function exampleConfig({ example, config }: Pick<FunctionKind, 'example' | 'config'>): Record<string, unknown> {
  return example ?? exampleFields(config)
}

/** The example as the value of a Terraform attribute, as `terraform fmt` has it: scalars first, aligned. */
export function hcl(config: Record<string, unknown>, indent = ''): string {
  const scalars = Object.entries(config).filter(([, value]) => !isRecord(value))
  const records = Object.entries(config).filter(([, value]) => isRecord(value)) as [string, Record<string, unknown>][]
  const width = Math.max(...scalars.map(([name]) => name.length))
  const lines = [
    ...scalars.map(([name, value]) => `${name.padEnd(width)} = ${JSON.stringify(value)}`),
    ...records.map(([name, value]) => `${name} = ${hcl(value, `${indent}  `)}`)
  ]
  return ['{', ...lines.map(line => `${indent}  ${line}`), `${indent}}`].join('\n')
}

function exampleFields(fields: TProperties): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).flatMap(([name, schema]) => exampleField(name, schema).map(value => [name, value])))
}

/** The example of one field, or nothing where it is best left out. */
function exampleField(name: string, schema: TSchema): unknown[] {
  if (schema.patternProperties) return [{ [`${name.replace(/s$/, '')}-1`]: exampleFields(rowFields(schema)) }]
  if (schema.examples?.length > 0) return [schema.examples[0]]
  const optional = schema[OptionalKind] === 'Optional' || schema.default !== undefined || annotations(schema)?.computed
  return optional ? [] : [schema.enum?.[0] ?? SAMPLES[annotations(schema)?.meaning as Meaning] ?? schema.minimum ?? 'example']
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

const SAMPLES: { [M in Meaning]?: unknown } = {
  bool: true,
  ipv4: '10.0.1.11',
  ipv6: 'fd00:1::11',
  ip: '10.0.1.11',
  cidr: '10.0.1.0/24',
  interface_address: '10.0.1.1/24',
  mac: '02:00:00:00:00:01',
  port_range: '443',
  protocol: 'tcp',
  duration: '30s',
  rate: '100mbit',
  interface: 'eth1'
}
