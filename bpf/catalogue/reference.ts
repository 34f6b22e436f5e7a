// SPDX-License-Identifier: Apache-2.0
// From a kind's declaration to its page of reference `<kind>.gen.md`: an example, ports, configuration and counters.

import { OptionalKind, type TProperties, type TSchema } from '@sinclair/typebox'
import { coreCounters } from '../core/core'
import { type FunctionKind, isChainable } from './define'
import { exampleConfig, hcl } from './example'
import { annotations, rowFields } from './fields'

/** The text of `bpf/functions/<kind>/<kind>.gen.md`. */
export function kindReference(declared: FunctionKind): string {
  const { kind, doc, config, counters, internal } = declared
  return [
    `<!-- Generated from ${kind}.ts. -->`,
    `# ${kind}`,
    doc,
    ...(internal ? [] : [['```hcl', resource(declared), '```'].join('\n')]),
    '## Ports',
    ports(declared),
    '## Configuration',
    fieldTable(config),
    ...Object.entries(config).flatMap(([name, schema]) =>
      schema.patternProperties ? [`### Rows of \`${name}\``, fieldTable(rowFields(schema))] : []
    ),
    '## Counters',
    `As metrics \`inkev_${kind}_<counter>_total\`.`,
    table(
      ['counter', 'counts'],
      Object.entries({ ...coreCounters, ...counters }).map(([name, counts]) => [code(name), counts])
    )
  ]
    .join('\n\n')
    .concat('\n')
}

function resource(declared: FunctionKind): string {
  return `resource "inkev_function" "example" {\n  name = "example"\n  ${declared.kind} = ${hcl(exampleConfig(declared), '  ')}\n}`
}

function ports(declared: FunctionKind): string {
  if (!Array.isArray(declared.ports)) return `One for each key of \`${(declared.ports as { table: string }).table}\`.`
  const chain = isChainable(declared) ? ' A workload port can name the function in its `chain`.' : ''
  return `${declared.ports.map(code).join(', ')}.${chain}`
}

function fieldTable(fields: TProperties): string {
  const rows = Object.entries(fields).map(([name, schema]) => [code(name), typeOf(schema), fallbackOf(schema), schema.description ?? ''])
  return table(['field', 'type', 'default', 'meaning'], rows)
}

function typeOf(schema: TSchema): string {
  if (schema.enum) return schema.enum.map(code).join(', ')
  const { meaning } = annotations(schema)!
  if (meaning === 'table') return `map of at most ${schema.maxProperties} rows`
  if (meaning === 'list') return `list of ${typeOf(schema.items)}`
  return schema.type === 'integer' ? `${meaning}, ${schema.minimum} to ${schema.maximum}` : meaning.replaceAll('_', ' ')
}

function fallbackOf(schema: TSchema): string {
  if (schema.default !== undefined) return code(JSON.stringify(schema.default))
  return schema[OptionalKind] === 'Optional' ? 'optional' : 'required'
}

function table(heads: string[], rows: string[][]): string {
  const line = (cells: string[]) => `| ${cells.map(cell => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(heads), line(heads.map(() => '---')), ...rows.map(line)].join('\n')
}

function code(text: string): string {
  return `\`${text}\``
}
