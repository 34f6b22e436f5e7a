// SPDX-License-Identifier: Apache-2.0
// The life of every resource: validate, plan, apply, read, import. Written once; what differs is in the resource files.

import { nanoseconds } from '@inkev/bpf/catalogue/fields'
import type { Stored } from './agent'
import { schemaProblems } from './check'
import { type Diagnostic, errorDiagnostics, problemDiagnostic, Refusal } from './diagnostics'
import { isAsPlanned, type Placed, type Private, readState, remove, write } from './placement'
import { type Planned, plan as planState, requestBody, withDefaults } from './plan'
import { hostsOf, type Operation, type Resource, TIMEOUTS } from './resource'
import type { Attributes } from './schema'
import { settled } from './settled'
import { isEqual, isMembers, isWhollyKnown, type Members, UNKNOWN, type Value, withoutUnknown } from './value'
import { complete, type Path } from './walk'
import { judgeAlone, type Session, type World } from './world'

/** What an operation leaves behind. */
export interface Outcome extends Placed {
  identity: Members | null
  diagnostics: Diagnostic[]
}

export interface PlanOutcome extends Outcome {
  replace: Path[]
}

/** How long what is under way may go on after it was cancelled. */
const CANCEL_MS = 3_000
/** How long the look at what a failed operation has left may take. */
const AFTERMATH_MS = 5_000

/** Pure: judges a configuration by itself, and what is unknown not at all. */
export function validate(resource: Resource, config: Members): Diagnostic[] {
  const problems = schemaProblems(resource.attributes, config)
  if (problems.length > 0) return problems.map(problemDiagnostic)
  if (resource.content) return []
  const known = withDefaults(resource.fields, { config, proposed: complete(resource.fields, config) })
  if (!isWhollyKnown(known)) return []
  const name = typeof config.name === 'string' ? config.name : 'this'
  try {
    judgeAlone(resource.rest, name, requestBody(resource.fields, known, config))
    return []
  } catch (error) {
    return errorDiagnostics(error, resource.attributes)
  }
}

export interface PlanRequest {
  config: Members | null
  prior: Members | null
  proposed: Members | null
  identity: Members | null
  private: Private
}

export async function plan(resource: Resource, request: PlanRequest, world: World, signal: AbortSignal): Promise<PlanOutcome> {
  const { config, prior, proposed, identity, private: kept } = request
  if (!proposed || !config) {
    if (prior) world.forget(resource.rest, String(prior.name))
    return { state: null, replace: [], identity, private: kept, diagnostics: [] }
  }
  const planned = planState(withHosts(resource.attributes, world), { config, prior, proposed })
  try {
    planned.state = { ...planned.state, ...resource.compute?.(planned.state) }
  } catch (error) {
    return { ...planned, identity, private: kept, diagnostics: errorDiagnostics(error, resource.attributes) }
  }
  if (prior) planned.replace.push(...(resource.replaces?.(planned.state, prior) ?? []))
  if (prior) world.forget(resource.rest, String(prior.name))
  const diagnostics = await planDiagnostics(resource, planned, { config, prior }, world, signal)
  return { ...planned, replace: inOrder(planned.replace), identity: identityOf(resource, planned.state), private: kept, diagnostics }
}

/** Where the user names no hosts, all hosts of the provider are meant. */
function withHosts({ hosts, ...attributes }: Attributes, world: World): Attributes {
  return hosts?.computed ? { ...attributes, hosts: { ...hosts, default: world.hosts ?? UNKNOWN } } : attributes
}

function inOrder(paths: Path[]): Path[] {
  const byText = new Map(paths.map(path => [JSON.stringify(path), path]))
  return [...byText].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, path]) => path)
}

/** Everything that can be known to be wrong before anything is changed. */
async function planDiagnostics(
  resource: Resource,
  { state }: Planned,
  { config, prior }: { config: Members; prior: Members | null },
  world: World,
  signal: AbortSignal
): Promise<Diagnostic[]> {
  try {
    if (!world.agents) return []
    const hosts = resource.hosts(state)
    const session = world.session(signal)
    const met = await settled(hosts, async host => session.agent(host).host()).catch(error => {
      throw onHostAttribute(resource, error)
    })
    const problems = resource.problems?.(state, world) ?? []
    const body = { ...requestBody(resource.fields, state, config), ...resource.content?.(state) }
    const name = typeof state.name === 'string' ? state.name : firstOf(resource.names?.(state))
    if (name === undefined || !isWhollyKnown(body)) return problems.map(problemDiagnostic)
    // What was uploaded once stays, even where the host would take it no more.
    if (resource.content && isEqual(state, prior)) world.note(resource.rest, { name, hosts, body })
    else world.intend(resource.rest, { name, hosts, body }, met)
    return problems.map(problemDiagnostic)
  } catch (error) {
    return errorDiagnostics(error, resource.attributes)
  }
}

/** Points failures of whole hosts at the attribute that names the hosts. */
function onHostAttribute({ attributes }: Resource, error: unknown): Refusal {
  const path = [{ attribute: 'host' in attributes ? 'host' : 'hosts' }]
  return new Refusal(errorDiagnostics(error).map(diagnostic => ({ ...diagnostic, path })))
}

function firstOf<T>(candidates: Iterable<T> = []): T | undefined {
  for (const candidate of candidates) return candidate
  return undefined
}

export interface ApplyRequest {
  config: Members | null
  prior: Members | null
  planned: Members | null
  identity: Members | null
  private: Private
}

/** Makes the planned state real. On failure the outcome holds what is there really, as far as that can be found out, beside the error. */
export async function apply(resource: Resource, request: ApplyRequest, world: World, signal: AbortSignal): Promise<Outcome> {
  const { config, prior, planned, identity, private: kept } = request
  const operation: Operation = !planned ? 'delete' : prior ? 'update' : 'create'
  const limit = timeLimit(planned ?? prior!, operation)
  const session = world.session(AbortSignal.any([AbortSignal.timeout(limit), delayed(signal, CANCEL_MS)]), signal)
  try {
    if (!planned) {
      await remove(resource, session, prior!)
      return { state: null, private: {}, identity, diagnostics: session.warnings }
    }
    const made = await write(resource, session, { planned, prior, config: config!, etags: kept.etags ?? {} })
    return { ...made, identity: identityOf(resource, made.state), diagnostics: session.warnings }
  } catch (error) {
    const diagnostics = [...session.warnings, ...failureDiagnostics(resource, error, { operation, signal, session, limit })]
    if (!planned) return { state: prior, private: kept, identity, diagnostics }
    const left = await aftermath(resource, world, { planned, prior, private: kept })
    return { ...left, identity: left.state && identityOf(resource, left.state), diagnostics }
  }
}

function failureDiagnostics(
  { attributes, type }: Resource,
  error: unknown,
  { operation, signal, session, limit }: { operation: Operation; signal: AbortSignal; session: Session; limit: number }
): Diagnostic[] {
  if (signal.aborted)
    return [{ severity: 'error', summary: `The ${operation} was cancelled`, detail: `${type}: what was done until then is in the state.` }]
  if (!session.signal.aborted) return errorDiagnostics(error, attributes)
  const detail = `${type}: not done after ${limit / 1000} s. Raise timeouts.${operation}, or see what keeps the agent busy.`
  return [{ severity: 'error', summary: `The ${operation} took too long`, detail, path: [{ attribute: 'timeouts' }] }]
}

/** What a failed write has left: the objects that are there, or, where nobody answers, what was there before or may be there now. */
async function aftermath(
  resource: Resource,
  world: World,
  { planned, prior, private: kept }: Pick<ApplyRequest, 'prior' | 'private'> & { planned: Members }
): Promise<Placed> {
  const presumed = withoutUnknown(planned) as Members
  const isOurs = (stored: Stored) => prior !== null || isAsPlanned(resource, planned, stored)
  const session = world.session(AbortSignal.timeout(AFTERMATH_MS))
  try {
    return await readState(resource, session, { ...presumed, ...(prior && everywhere(presumed, prior)) }, isOurs)
  } catch {
    return { state: prior ?? presumed, private: kept }
  }
}

/** While an update is half done, the object may lie on the hosts of before and of after. */
function everywhere(presumed: Members, prior: Members): Members {
  return 'hosts' in prior ? { hosts: [...new Set([...hostsOf(presumed), ...hostsOf(prior)])].toSorted() } : {}
}

export interface ReadRequest {
  prior: Members
  identity: Members | null
  private: Private
}

/** The state as the agents hold it; as it was, while the provider block is not wholly known. A host that does not answer is an error; the object counts as gone only when its hosts say so. */
export async function read(
  resource: Resource,
  { prior, identity, private: kept }: ReadRequest,
  world: World,
  signal: AbortSignal
): Promise<Outcome> {
  if (!world.agents) return { state: prior, private: kept, identity, diagnostics: [] }
  const limit = timeLimit(prior, 'read')
  const session = world.session(AbortSignal.any([signal, AbortSignal.timeout(limit)]))
  try {
    const found = await readState(resource, session, prior)
    return { ...found, identity: identityOf(resource, found.state ?? prior), diagnostics: session.warnings }
  } catch (error) {
    const diagnostics =
      session.signal.aborted && !signal.aborted
        ? failureDiagnostics(resource, error, { operation: 'read', signal, session, limit })
        : errorDiagnostics(error, resource.attributes)
    return { state: prior, private: kept, identity, diagnostics }
  }
}

/** Finds an object by what identifies it. That it is missing is an error: there is nothing to take over. */
export async function importState(
  resource: Resource,
  id: string,
  given: Members | null,
  world: World,
  signal: AbortSignal
): Promise<Outcome> {
  const identity = given ?? identityFrom(resource, id)
  if (!world.hosts)
    throw new Refusal([
      { severity: 'error', summary: 'The hosts are not known yet', detail: 'Import needs a provider block whose values are all known.' }
    ])
  const empty = complete(resource.attributes, { hosts: world.hosts, ...identity })
  const session = world.session(signal)
  for (const host of resource.hosts(empty)) session.agent(host)
  const { state, private: kept } = await readState(resource, session, empty)
  if (state) return { state, private: kept, identity: identityOf(resource, state), diagnostics: session.warnings }
  const detail = `There is no ${resource.type} ${id || Object.values(identity).join('/')} on ${resource.hosts(empty).join(', ')}.`
  throw new Refusal([{ severity: 'error', summary: 'Nothing to import', detail }])
}

function identityFrom({ identity, type }: Resource, id: string): Members {
  const parts = id.split('/')
  if (parts.length === identity.length && parts.every(part => part !== ''))
    return Object.fromEntries(identity.map((name, index) => [name, parts[index]!]))
  throw new Refusal([
    {
      severity: 'error',
      summary: 'Not an import ID',
      detail: `${JSON.stringify(id)} does not name an ${type}: write ${identity.join('/')}.`
    }
  ])
}

/** Null while a part of it is not known: OpenTofu refuses an identity that is half known. */
export function identityOf({ identity }: Resource, state: Members): Members | null {
  const values: Members = Object.fromEntries(identity.map((name): [string, Value] => [name, state[name] ?? null]))
  return Object.values(values).every(value => typeof value === 'string') ? values : null
}

function timeLimit({ timeouts }: Members, operation: Operation): number {
  const given = isMembers(timeouts) ? timeouts[operation] : null
  return Number(nanoseconds(typeof given === 'string' ? given : TIMEOUTS[operation]) / 1_000_000n)
}

/** A signal that is raised so much later. */
function delayed(signal: AbortSignal, ms: number): AbortSignal {
  const later = new AbortController()
  const raise = () => setTimeout(() => later.abort(signal.reason), ms).unref()
  if (signal.aborted) raise()
  else signal.addEventListener('abort', raise, { once: true })
  return later.signal
}
