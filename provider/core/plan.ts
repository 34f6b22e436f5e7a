// SPDX-License-Identifier: Apache-2.0
// Planning, as pure functions: from configuration, prior state and Terraform's proposal to the planned state, and from that to a request and a new state.

import { isSame } from './same'
import { type Attributes, isAnswered } from './schema'
import { isEqual, type Members, UNKNOWN, type Value } from './value'
import { type Path, rebuild } from './walk'

export interface PlanInput {
  config: Members
  prior: Members | null
  proposed: Members
}

export interface Planned {
  state: Members
  /** Attributes whose change means a new object. */
  replace: Path[]
}

/** The same input always gives the same plan: Terraform asks twice, once for the plan and once before it is applied. */
export function plan(attributes: Attributes, { config, prior, proposed }: PlanInput): Planned {
  const wanted = withDefaults(attributes, { config, proposed })
  if (prior && isEqual(wanted, prior)) return { state: prior, replace: [] }
  const state = withUnknowns(attributes, { config, prior, wanted })
  return { state, replace: prior ? changesOfIdentity(attributes, state, prior) : [] }
}

/** The configuration with all defaults that are known without asking anyone. */
export function withDefaults(attributes: Attributes, { config, proposed }: Omit<PlanInput, 'prior'>): Members {
  return rebuild(attributes, [proposed, config], (name, attribute, [, said]) =>
    said && (said[name] ?? null) === null ? attribute.default : undefined
  )
}

/** Whatever the agent will answer is unknown, or what it was where nothing it rests on changes. */
function withUnknowns(
  attributes: Attributes,
  { config, prior, wanted }: { config: Members; prior: Members | null; wanted: Members }
): Members {
  return rebuild(attributes, [wanted, config, prior], (name, attribute, [planned, said, before]) => {
    if (!isAnswered(attribute) || (said?.[name] ?? null) !== null) return undefined
    const isKept = before && (attribute.follows ?? []).every(other => isEqual(planned[other]!, before[other]!))
    return isKept ? before[name]! : UNKNOWN
  })
}

function changesOfIdentity(attributes: Attributes, state: Members, prior: Members): Path[] {
  const paths: Path[] = []
  rebuild(attributes, [state, prior], (name, attribute, [planned, before], path) => {
    if (attribute.replace && before && !isSame(attribute, planned[name]!, before[name]!)) paths.push(path)
    return undefined
  })
  return paths
}

/** The planned state with the agent's answer in the place of all that was unknown. */
export function filledIn(attributes: Attributes, planned: Members, answer: Members): Members {
  return rebuild(attributes, [planned, answer], (name, _attribute, [wanted, answered]) =>
    wanted[name] === UNKNOWN ? (answered?.[name] ?? null) : undefined
  )
}

/** What to ask of the agent: what the user said and the defaults, without what the agent is to decide. */
export function requestBody(fields: Attributes, planned: Members, config: Members): Members {
  const asked = rebuild(fields, [planned, config], (name, attribute, [, said]) =>
    isAnswered(attribute) && (said?.[name] ?? null) === null ? null : undefined
  )
  return withoutNull(asked) as Members
}

/** The agent's object as Terraform state: the text of the prior state wherever that means the same, so that only drift shows. */
export function stateOf(fields: Attributes, remote: Members, prior: Members): Members {
  const filled = rebuild(fields, [remote], (name, attribute, [object]) => ((object[name] ?? null) === null ? attribute.default : undefined))
  return rebuild(fields, [filled, prior], (name, attribute, [found, before]) => {
    const known = before?.[name] ?? null
    const isUnsaid = known === null && attribute.default !== undefined
    return before && !isUnsaid && isSame(attribute, found[name]!, known) ? known : undefined
  })
}

export function withoutNull(value: Value): Value {
  if (Array.isArray(value)) return value.map(withoutNull)
  if (value === null || typeof value !== 'object') return value
  const kept = Object.entries(value).filter(([, member]) => member !== null)
  return Object.fromEntries(kept.map(([name, member]) => [name, withoutNull(member)]))
}
