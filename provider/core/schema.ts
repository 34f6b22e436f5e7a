// SPDX-License-Identifier: Apache-2.0
// Terraform schemas: what an attribute is, and how it follows from the TypeBox value that already describes it to the agent.

import { annotations, type Meaning } from '@inkev/bpf/catalogue/fields'
import type { TSchema } from '@sinclair/typebox'
import type { Value } from './value'

export type ScalarType = 'string' | 'number' | 'bool'

/**
 * One attribute. `list` and `set` hold scalars; a `map` holds scalars, or objects where it has `attributes`; an `object` always has `attributes`.
 * Presence: `required`, else optional unless it is `computed` alone. With a `default` Terraform knows the value at plan, else the agent answers it.
 */
export interface Attribute {
  shape: 'scalar' | 'list' | 'set' | 'map' | 'object'
  description: string
  /** Of the scalar, or of each element. */
  type?: ScalarType
  attributes?: Attributes
  required?: boolean
  optional?: boolean
  computed?: boolean
  sensitive?: boolean
  default?: Value
  /** A change cannot be made in place. */
  replace?: boolean
  /** A computed value is kept as long as none of these neighbours changes. */
  follows?: readonly string[]
  /** How texts of this attribute are read, and what they must obey. */
  rule?: Rule
}

export interface Rule {
  meaning?: Meaning
  pattern?: RegExp
  choices?: readonly string[]
  minimum?: number
  maximum?: number
  maxLength?: number
  /** Of a list or a map. */
  maxItems?: number
  /** Of the keys of a map. */
  keys?: RegExp
  example?: string
}

export type Attributes = Record<string, Attribute>

/** The attributes that a TypeBox object stands for. */
export function attributesOf(schema: TSchema): Attributes {
  const required = new Set<string>(schema.required ?? [])
  const entries = Object.entries(schema.properties as Record<string, TSchema>)
  return Object.fromEntries(entries.map(([name, property]) => [name, attributeOf(property, required.has(name))]))
}

/** One attribute, of a TypeBox value of any shape. */
export function attributeOf(schema: TSchema, required = false): Attribute {
  const { replace, computed, sensitive } = annotations(schema) ?? {}
  const hasDefault = schema.default !== undefined
  return {
    ...shapeOf(schema),
    description: schema.description ?? '',
    ...(required ? { required } : { optional: true }),
    ...((computed || hasDefault) && { computed: true }),
    ...(hasDefault && { default: schema.default as Value }),
    ...(replace && { replace }),
    ...(sensitive && { sensitive })
  }
}

function shapeOf(schema: TSchema): Pick<Attribute, 'shape' | 'type' | 'attributes' | 'rule'> {
  if (schema.type === 'array') {
    const element = shapeOf(schema.items)
    return { shape: schema.uniqueItems ? 'set' : 'list', type: element.type, rule: { ...element.rule, maxItems: schema.maxItems } }
  }
  if (schema.type !== 'object') return { shape: 'scalar', type: scalarType(schema.type), rule: ruleOf(schema) }
  if (!schema.patternProperties) return { shape: 'object', attributes: attributesOf(schema) }
  const [[keys, row]] = Object.entries(schema.patternProperties as Record<string, TSchema>) as [[string, TSchema]]
  const rule = { keys: new RegExp(keys), maxItems: schema.maxProperties }
  if (row.type !== 'object') return { shape: 'map', type: scalarType(row.type), rule: { ...ruleOf(row), ...rule } }
  return { shape: 'map', attributes: rowAttributes(row), rule }
}

/** In a row, a computed value rests on what the user said in that row. */
function rowAttributes(row: TSchema): Attributes {
  const attributes = attributesOf(row)
  const said = Object.keys(attributes).filter(name => !attributes[name]!.computed)
  return Object.fromEntries(
    Object.entries(attributes).map(([name, attribute]) => [name, isAnswered(attribute) ? { ...attribute, follows: said } : attribute])
  )
}

function scalarType(type: string): ScalarType {
  if (type === 'boolean') return 'bool'
  return type === 'string' ? 'string' : 'number'
}

function ruleOf(schema: TSchema): Rule {
  return {
    meaning: annotations(schema)?.meaning as Meaning | undefined,
    pattern: schema.pattern === undefined ? undefined : new RegExp(schema.pattern, 'u'),
    choices: schema.enum,
    minimum: schema.minimum,
    maximum: schema.maximum,
    maxLength: schema.maxLength,
    example: schema.examples?.[0] === undefined ? undefined : String(schema.examples[0])
  }
}

/** Whether the agent answers its value where the user gives none. */
export function isAnswered({ computed, default: fallback }: Attribute): boolean {
  return computed === true && fallback === undefined
}
