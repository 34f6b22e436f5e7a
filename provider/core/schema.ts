// SPDX-License-Identifier: Apache-2.0
// Terraform schemas: what an attribute is, and how it follows from the TypeBox value that already describes it to the agent.

import { annotations } from '@inkev/bpf/catalogue/fields'
import type { TSchema } from '@sinclair/typebox'
import type { Value } from './value'

/**
 * One attribute. A `list` or a `set` holds scalars; a `map` holds scalars, or objects where it has `attributes`; an `object` always has them.
 * It is `required`, or `optional`, or answered by the agent alone. What is `computed` and has a `default` is known at plan; without one the agent
 * answers it where the user is silent.
 */
export interface Attribute {
  shape: 'scalar' | 'list' | 'set' | 'map' | 'object'
  /** What it follows from: the owner of its description, its rules and the meaning of its text. */
  source: TSchema
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
  /** The agents' field that it stands for, where that is another: what agents say of the field is told here. */
  sentAs?: string
}

export type Attributes = Readonly<Record<string, Attribute>>

/** The attributes that a TypeBox object stands for. */
export function attributesOf(schema: TSchema): Attributes {
  const required = new Set<string>(schema.required ?? [])
  const entries = Object.entries(schema.properties as Record<string, TSchema>)
  return Object.fromEntries(entries.map(([name, property]) => [name, attributeOf(property, required.has(name))]))
}

function attributeOf(schema: TSchema, required: boolean): Attribute {
  const { replace, computed, sensitive } = annotations(schema) ?? {}
  const hasDefault = schema.default !== undefined
  return {
    ...shapeOf(schema),
    source: schema,
    ...(required ? { required } : { optional: true }),
    ...((computed || hasDefault) && { computed: true }),
    ...(hasDefault && { default: schema.default as Value }),
    ...(replace && { replace }),
    ...(sensitive && { sensitive })
  }
}

function shapeOf(schema: TSchema): Pick<Attribute, 'shape' | 'attributes'> {
  if (schema.type === 'array') return { shape: schema.uniqueItems ? 'set' : 'list' }
  if (schema.type !== 'object') return { shape: 'scalar' }
  if (!schema.patternProperties) return { shape: 'object', attributes: attributesOf(schema) }
  const row = rowOf(schema)
  return { shape: 'map', ...(row.type === 'object' && { attributes: rowAttributes(row) }) }
}

/** In a row, a value that the agent answers rests on what the user said in that row. */
function rowAttributes(row: TSchema): Attributes {
  const attributes = attributesOf(row)
  const said = Object.keys(attributes).filter(name => !attributes[name]!.computed)
  return Object.fromEntries(
    Object.entries(attributes).map(([name, attribute]) => [name, isAnswered(attribute) ? { ...attribute, follows: said } : attribute])
  )
}

function rowOf(table: TSchema): TSchema {
  return Object.values(table.patternProperties as Record<string, TSchema>)[0]!
}

/** The schema of a scalar, or of each element of a collection. */
export function scalarOf({ shape, source }: Pick<Attribute, 'shape' | 'source'>): TSchema {
  if (shape === 'list' || shape === 'set') return source.items
  return shape === 'map' ? rowOf(source) : source
}

/** Whether the agent answers its value where the user gives none. */
export function isAnswered({ computed, default: fallback }: Attribute): boolean {
  return computed === true && fallback === undefined
}
