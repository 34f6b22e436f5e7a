// SPDX-License-Identifier: Apache-2.0
// Where objects lie: one resource written to, read from and taken off several hosts.

import { AgentError, type Guard, type Stored } from './agent'
import { filledIn, requestBody, stateOf } from './plan'
import type { Found, Resource } from './resource'
import { settled } from './settled'
import { isEqual, type Members } from './value'
import { complete } from './walk'
import type { Session } from './world'

/** What the provider remembers beside the state: the tag of each host's object as it was last seen. */
export interface Private {
  etags?: Record<string, string>
}

/** A resource as it is found on its hosts. A null state means that there is none. */
export interface Placed {
  state: Members | null
  private: Private
}

export interface Write {
  planned: Members
  prior: Members | null
  config: Members
  etags: Record<string, string>
}

/** Makes the object what is planned, on every host that is planned, and takes it off those that no longer are. */
export async function write(
  resource: Resource,
  session: Session,
  { planned, prior, config, etags }: Write
): Promise<Placed & { state: Members }> {
  const hosts = resource.hosts(planned)
  const body = { ...requestBody(resource.fields, planned, config), ...resource.content?.(planned) }
  const before = prior ? resource.hosts(prior) : []
  const guard = (host: string): Guard => (etags[host] ? { tag: etags[host] } : before.includes(host) ? undefined : 'absent')
  const put = (name: string) => (host: string) => putOne(resource, session, host, { name, body, guard: guard(host), planned })
  const name = typeof planned.name === 'string' ? planned.name : await nameObject(resource, planned, put, hosts[0]!)
  let stored = await settled(hosts, put(name))
  stored = await agreed(resource, session, { name, body, hosts, stored })

  const named = { ...planned, name }
  const leaving = before.filter(host => !hosts.includes(host))
  if (prior && leaving.length > 0) await remove(resource, session, prior, leaving)
  const found: Found = new Map(hosts.map((host, index) => [host, stored[index]!]))
  await resource.announce?.(session, named, prior, found)
  for (const [index, host] of hosts.entries()) warnIfDegraded(session, host, stored[index]!)
  const state = filledIn(resource.attributes, named, complete(resource.attributes, { ...stored[0]!.item, ...resource.gather?.(found) }))
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

/** Whether an object is all that is planned, as far as that is known. */
export function isAsPlanned({ fields }: Resource, planned: Members, { item }: Stored): boolean {
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

/** Takes the object off some hosts, or off all that have it. */
export async function remove(resource: Resource, session: Session, prior: Members, hosts = resource.hosts(prior)): Promise<void> {
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

/** What the hosts of the prior state hold; with `isOurs`, of that only what belongs to the resource. */
export async function readState(
  resource: Resource,
  session: Session,
  prior: Members,
  isOurs: (stored: Stored) => boolean = () => true
): Promise<Placed> {
  const { fields, rest } = resource
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
  const state = { ...prior, ...(drifted ?? states[0]), ...resource.gather?.(found) }
  return { state: await resource.reflect(session, state, found), private: { etags: tagsOf([...found.keys()], [...found.values()]) } }
}

function tagsOf(hosts: string[], stored: Stored[]): Record<string, string> {
  return Object.fromEntries(hosts.flatMap((host, index) => (stored[index]!.etag === undefined ? [] : [[host, stored[index]!.etag]])))
}
