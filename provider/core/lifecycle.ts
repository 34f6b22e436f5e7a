// SPDX-License-Identifier: Apache-2.0
// The life of every resource: validate, plan, apply, read, import, upgrade. Written once; what differs is in the resource files.

import { nanoseconds } from '@inkev/bpf/catalogue/fields'
import { AgentError, type Guard, type Stored } from './agent'
import { schemaProblems } from './check'
import { type Diagnostic, errorDiagnostics, problemDiagnostic, Refusal } from './diagnostics'
import { filledIn, type Planned, plan as planState, requestBody, stateOf, withDefaults } from './plan'
import { type Found, hostsOf, type Operation, type Resource, TIMEOUTS } from './resource'
import type { Attributes } from './schema'
import { isEqual, isMembers, isWhollyKnown, type Members, UNKNOWN, type Value, withoutUnknown } from './value'
import { complete, type Path } from './walk'
import { judgeAlone, type Session, type World } from './world'

/** What the provider remembers beside the state: the tag of each host's object as it was last seen. */
export interface Private {
  etags?: Record<string, string>
}

/** What an operation leaves behind. A null state means that the object does not exist. */
export interface Outcome {
  state: Members | null
  private: Private
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
  if (prior) planned.replace.push(...(resource.replaces?.(planned.state, prior) ?? []))
  if (prior) world.forget(resource.rest, String(prior.name))
  const diagnostics = await planDiagnostics(resource, planned, config, world, signal)
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
  config: Members,
  world: World,
  signal: AbortSignal
): Promise<Diagnostic[]> {
  try {
    if (!world.agents) return []
    const hosts = resource.hosts(state)
    const session = world.session(signal)
    await settled(hosts, async host => session.agent(host).host()).catch(error => {
      throw onHostAttribute(resource, error)
    })
    const problems = resource.problems?.(state, world) ?? []
    const body = requestBody(resource.fields, state, config)
    const name = typeof state.name === 'string' ? state.name : firstOf(resource.names?.(state))
    if (name !== undefined && isWhollyKnown(body)) world.intend(resource.rest, { name, hosts, body })
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
      await destroy(resource, session, prior!)
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
): Promise<Pick<Outcome, 'state' | 'private'>> {
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

interface Write {
  planned: Members
  prior: Members | null
  config: Members
  etags: Record<string, string>
}

async function write(
  resource: Resource,
  session: Session,
  { planned, prior, config, etags }: Write
): Promise<{ state: Members; private: Private }> {
  const hosts = resource.hosts(planned)
  const body = requestBody(resource.fields, planned, config)
  const before = prior ? resource.hosts(prior) : []
  const guard = (host: string): Guard => (etags[host] ? { tag: etags[host] } : before.includes(host) ? undefined : 'absent')
  const put = (name: string) => (host: string) => putOne(resource, session, host, { name, body, guard: guard(host), planned })
  const name = typeof planned.name === 'string' ? planned.name : await nameObject(resource, planned, put, hosts[0]!)
  let stored = await settled(hosts, put(name))
  stored = await agreed(resource, session, { name, body, hosts, stored })

  const named = { ...planned, name }
  const leaving = before.filter(host => !hosts.includes(host))
  if (prior && leaving.length > 0) await leave(resource, session, prior, leaving)
  await resource.announce?.(session, named, prior, new Map(hosts.map((host, index) => [host, stored[index]!])))
  for (const [index, host] of hosts.entries()) warnIfDegraded(session, host, stored[index]!)
  const state = filledIn(resource.attributes, named, complete(resource.attributes, stored[0]!.item))
  return { state, private: { etags: tagsOf(hosts, stored) } }
}

/** Writes the object on one host: over the one that was last seen there, else as a new one, or finding that it is there already just as wanted. */
async function putOne(
  resource: Resource,
  session: Session,
  host: string,
  { name, body, guard, planned }: { name: string; body: Members; guard: Guard; planned: Members }
): Promise<Stored> {
  const agent = session.agent(host)
  const { rest, type } = resource
  const written = await agent.put(rest, name, body, guard)
  if (written) return written
  const there = await agent.get(rest, name)
  if (there && isAsPlanned(resource, planned, there)) return there
  if (guard !== 'absent')
    throw new AgentError(host, `${type} ${name} is no longer what it was when this plan was made`, {
      summary: `${type} ${name} changed on ${host}`,
      hint: 'Plan again, to see what changed.'
    })
  throw new NameTaken(host, `${host} has ${type} ${name} already, with another configuration`, {
    summary: `${type} ${name} exists already`,
    path: 'name',
    hint: `Choose another name, delete it, or take it over: terraform import ${type}.NAME ${resource.identity.map(part => (part === 'name' ? name : String(planned[part]))).join('/')}`
  })
}

/** The name is held by an object that is not ours. */
class NameTaken extends AgentError {}

function isAsPlanned({ fields }: Resource, planned: Members, { item }: Stored): boolean {
  const wanted = complete(fields, planned)
  const found = stateOf(fields, item, wanted)
  return isEqual(filledIn(fields, wanted, found), found)
}

/** Creates the object on the first host under the first name that is free. */
async function nameObject(
  { names }: Resource,
  planned: Members,
  put: (name: string) => (host: string) => Promise<Stored>,
  host: string
): Promise<string> {
  for (const name of names!(planned)) {
    try {
      await put(name)(host)
      return name
    } catch (error) {
      if (!(error instanceof NameTaken)) throw error
    }
  }
  throw new Error(`no name is free on ${host}`)
}

/** Writes the object once more where the hosts computed different values for what must be the same on all. */
async function agreed(
  { agree, rest }: Resource,
  session: Session,
  { name, body, hosts, stored }: { name: string; body: Members; hosts: string[]; stored: Stored[] }
): Promise<Stored[]> {
  const common = agree?.(stored.map(({ item }) => item))
  if (!common) return stored
  return settled(hosts, async host => {
    const own = stored[hosts.indexOf(host)]!
    if (Object.entries(common).every(([field, value]) => own.item[field] === value)) return own
    return (await session.agent(host).put(rest, name, { ...body, ...common }))!
  })
}

function warnIfDegraded({ warnings }: Session, host: string, { item: { name, status } }: Stored): void {
  if (status?.state !== 'degraded') return
  warnings.push({ severity: 'warning', summary: `${name} is degraded on ${host}`, detail: status.reason ?? 'The agent gives no reason.' })
}

async function destroy(resource: Resource, session: Session, prior: Members): Promise<void> {
  await leave(resource, session, prior, resource.hosts(prior))
}

/** Takes the objects off some hosts. */
async function leave(resource: Resource, session: Session, prior: Members, hosts: string[]): Promise<void> {
  const reachable = namedHosts(session, resource, prior, hosts)
  await settled(reachable, host => session.agent(host).delete(resource.rest, String(prior.name)))
  await resource.withdraw?.(session, prior, reachable)
}

/** Those hosts that the provider block names. Any other is left alone, with a warning: it may be gone for good. */
function namedHosts({ warnings, world }: Session, { type }: Resource, { name }: Members, hosts: string[]): string[] {
  for (const host of hosts.filter(host => !world.agents?.has(host)))
    warnings.push({
      severity: 'warning',
      summary: `Host ${host} is not in the provider block`,
      detail: `${type} ${String(name)} is left on ${host} as it is. Add the host to the provider block again to have it read or removed.`
    })
  return hosts.filter(host => world.agents?.has(host))
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

async function readState(
  resource: Resource,
  session: Session,
  prior: Members,
  isOurs: (stored: Stored) => boolean = () => true
): Promise<{ state: Members | null; private: Private }> {
  const { fields, reflect, rest } = resource
  const known = namedHosts(session, resource, prior, resource.hosts(prior))
  if (known.length === 0) return { state: prior, private: {} }

  const lists = await settled(known, async host => {
    await session.agent(host).host()
    return session.agent(host).list(rest)
  })
  const found: Found = new Map(
    known.flatMap((host, index) => {
      const stored = lists[index]!.get(String(prior.name))
      return stored && isOurs(stored) ? [[host, stored]] : []
    })
  )
  if (found.size === 0) return { state: null, private: {} }
  const states = [...found.values()].map(({ item }) => stateOf(fields, item, prior))
  const drifted = states.find(state => !isEqual(state, complete(fields, prior)))
  const state = { ...prior, ...(drifted ?? states[0]) }
  return {
    state: reflect ? await reflect(session, state, found) : state,
    private: { etags: tagsOf([...found.keys()], [...found.values()]) }
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

/** The stored state in the shape of today’s schema: attributes that are gone are dropped, new ones are null until the next refresh. */
export function upgrade({ attributes }: Resource, raw: Members): Members {
  return complete(attributes, raw)
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

function tagsOf(hosts: string[], stored: Stored[]): Record<string, string> {
  return Object.fromEntries(hosts.flatMap((host, index) => (stored[index]!.etag === undefined ? [] : [[host, stored[index]!.etag]])))
}

/** Does the same on several hosts at once, and waits for all, so that after a failure nothing is still under way. Throws AggregateError. */
async function settled<T>(hosts: string[], work: (host: string) => Promise<T>): Promise<T[]> {
  const results = await Promise.allSettled(hosts.map(work))
  const failures = results.filter(result => result.status === 'rejected')
  if (failures.length > 0) throw new AggregateError(failures.map(({ reason }) => reason))
  return results.map(result => (result as PromiseFulfilledResult<T>).value)
}

/** A signal that is raised so much later. */
function delayed(signal: AbortSignal, ms: number): AbortSignal {
  const later = new AbortController()
  const raise = () => setTimeout(() => later.abort(signal.reason), ms).unref()
  signal.addEventListener('abort', raise, { once: true })
  return later.signal
}
