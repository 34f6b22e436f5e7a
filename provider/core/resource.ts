// SPDX-License-Identifier: Apache-2.0
// What a resource file says: its schema, on which hosts its objects lie, and what beside those objects it takes care of. The lifecycle does the rest.

import { type ResourceType, resources } from '@inkev/agent/api/resources'
import { duration, group, name, optional } from '@inkev/bpf/catalogue/fields'
import { type TProperties, type TSchema, Type } from '@sinclair/typebox'
import type { Stored } from './agent'
import type { Problem } from './check'
import { type Attribute, type Attributes, attributesOf } from './schema'
import type { Members } from './value'
import type { Path } from './walk'
import type { Session, World } from './world'

/** A resource: one object of the same name and content on each of its hosts. */
export interface Resource extends Hooks {
  /** As Terraform names it, `inkev_network`. */
  type: string
  /** As the agents name its objects. */
  rest: ResourceType
  description: string
  attributes: Attributes
  /** Those of the attributes that are fields of the agents' object. */
  fields: Attributes
  /** The attributes that tell one object from all others. An import ID is their values with slashes between. */
  identity: readonly string[]
  /** Of the schema. */
  version: number
}

/** Objects by host. */
export type Found = ReadonlyMap<string, Stored>

export interface Hooks {
  /** The hosts on which the objects of this state lie. */
  hosts(state: Members): string[]
  /** Changes beyond single attributes that only a new object can follow. */
  replaces?(planned: Members, prior: Members): Path[]
  /** Values of computed attributes that the plan finds out by itself. Throws Refusal. */
  compute?(planned: Members): Members
  /** What is sent to the agents beside what the state says. Throws Refusal. */
  content?(planned: Members): Members
  /** Faults that only other resources of the same configuration show. */
  problems?(planned: Members, world: World): Problem[]
  /** Names to try, in this order, for an object that the user has not named. */
  names?(planned: Members): Iterable<string>
  /** Values on which the hosts must agree, from what each of them answered. */
  agree?(answers: Members[]): Members
  /** Values of computed attributes that follow from the answers of all hosts. */
  gather?(found: Found): Members
  /** Tells other hosts about the objects; run after each write, and whatever it leaves undone the next refresh notices. */
  announce?(session: Session, planned: Members, prior: Members | null, found: Found): Promise<void>
  /** Takes back what was announced, once the objects on the hosts named are deleted. */
  withdraw?(session: Session, prior: Members, leaving: string[]): Promise<void>
  /** What is found on the hosts, as state. What is missing of it, or of what was announced, shows as drift. */
  reflect(session: Session, state: Members, found: Found): Promise<Members>
}

/** How long each operation may take, unless the user says otherwise. */
export const TIMEOUTS = { create: '2m', read: '1m', update: '2m', delete: '2m' }
export type Operation = keyof typeof TIMEOUTS

const timeouts = group(
  Object.fromEntries(
    Object.entries(TIMEOUTS).map(([operation, limit]) => [
      operation,
      optional(duration({ doc: `Longest time to ${operation}; ${limit} if left out.` }))
    ])
  ),
  { doc: 'How long each operation may take.' }
)

interface Declared extends Hooks, Pick<Resource, 'type' | 'rest' | 'description' | 'identity'> {
  /** What the resource has beside the agents' fields. */
  own: TProperties
  /** Attributes in which Terraform's view differs from the schema's. */
  adjust?: Record<string, Partial<Attribute>>
}

/** Makes a resource of the agents' schema and what Terraform adds to it. */
export function defineResource({ own, adjust = {}, ...declared }: Declared): Resource {
  const schema: TSchema = resources[declared.rest]
  const fields = adjusted(attributesOf(readable(schema)), adjust)
  const added = adjusted(attributesOf(group({ ...own, timeouts: optional(timeouts) })), adjust)
  const { timeouts: last, ...first } = added
  return { ...declared, fields, attributes: { ...first, ...fields, timeouts: last! }, version: 0 }
}

/** Without what is only ever sent: no state holds it. */
function readable(schema: TSchema): TSchema {
  const properties = Object.entries(schema.properties as Record<string, TSchema>).filter(([, { writeOnly }]) => !writeOnly)
  return { ...schema, properties: Object.fromEntries(properties) }
}

function adjusted(attributes: Attributes, changes: Record<string, Partial<Attribute>>): Attributes {
  return Object.fromEntries(Object.entries(attributes).map(([key, attribute]) => [key, { ...attribute, ...changes[key] }]))
}

/** A set of hosts; all of the provider's where the user gives none. */
export function hostSet(doc: string): TSchema {
  const description = `${doc} All hosts of the provider if left out.`
  return Type.Array(name({ doc }), { description, uniqueItems: true, minItems: 1, inkev: { meaning: 'list', computed: true } })
}

/** The `hosts` of a state. */
export function hostsOf({ hosts }: Members): string[] {
  return Array.isArray(hosts) ? hosts.filter(host => typeof host === 'string') : []
}

/** The hosts on which the object was found, as the state's. */
export async function reflectHosts(_session: Session, state: Members, found: Found): Promise<Members> {
  return { ...state, hosts: [...found.keys()].toSorted() }
}
