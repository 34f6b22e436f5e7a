// SPDX-License-Identifier: Apache-2.0
// The REST interface: routes that follow from the resources, each a line or two, and errors in one form.

import swagger from '@fastify/swagger'
import { group, optional, u32 } from '@inkev/bpf/catalogue/fields'
import { validate } from '@inkev/bpf/catalogue/validate'
import { type TObject, type TSchema, Type } from '@sinclair/typebox'
import fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest, LogController } from 'fastify'
import { InkevError } from '../../api/errors'
import { errorBody, type Host, host as hostSchema, type ResourceType, resources, status } from '../../api/resources'
import { traceAnswer, traceRequest } from '../../api/trace'
import type { Agent, Change, Outcome } from '../agent'
import type { Captures, Limits } from '../capture/captures'
import type { Introspection } from '../introspection'
import { metricsOf } from '../metrics'
import { resourceKey } from '../model/desired'
import type { Role } from '../options'
import { asDot, asMermaid, topologyOf } from '../topology'
import type { Tracer } from '../trace/tracer'

/** Ten thousand rules are about two megabytes. */
const BODY_LIMIT = 32 * 1024 * 1024

export interface AppOptions {
  agent: Agent
  introspection: Introspection
  tracer: Pick<Tracer, 'trace'>
  captures: Pick<Captures, 'listen'>
  host(): Host
  ready(): boolean
  /** Throws INKEV_ERR_UNAUTHENTICATED, INKEV_ERR_FORBIDDEN. */
  authorize(request: FastifyRequest, role: Role): void
  log?: FastifyInstance['log']
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What the caller must be allowed; undefined: nothing. */
    role?: Role
  }
}

const TYPES = Object.keys(resources) as ResourceType[]
/** Programs need a role of their own, and come one by one. */
const BULK_TYPES: ResourceType[] = TYPES.filter(type => type !== 'programs')
const nameParameter = Type.Object({ name: Type.String({ description: 'Name of the object, chosen by the client.' }) })
const preconditions = Type.Object({
  'if-match': Type.Optional(Type.String({ description: 'The change is made only if this is the object’s ETag.' })),
  'if-none-match': Type.Optional(Type.Literal('*', { description: 'The change is made only if there is no such object.' }))
})

export async function buildApp({
  agent,
  introspection,
  tracer,
  captures,
  host,
  ready,
  authorize,
  log
}: AppOptions): Promise<FastifyInstance> {
  const app = fastify({
    bodyLimit: BODY_LIMIT,
    forceCloseConnections: true,
    exposeHeadRoutes: false,
    ...(log && { loggerInstance: log, logController: new LogController({ disableRequestLogging: true }) })
  })
  /* A deletion has no body, whatever its content type says. */
  const parseJson = app.getDefaultJsonParser('error', 'ignore')
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) =>
    body === '' ? done(null) : parseJson(request, body as string, done)
  )
  /* Resources are checked by the agent, by the same schemas, with a sentence and a path for each fault. */
  app.setValidatorCompiler(() => value => ({ value }))
  app.setReplySerializer(value => JSON.stringify(value, writeBigint))
  app.setErrorHandler(answerError)
  app.setNotFoundHandler((request, reply) =>
    reply.code(404).send(new InkevError('INKEV_ERR_NO_ROUTE', `${request.method} ${request.url} is nothing this agent knows`).body)
  )
  app.addHook('onRequest', async request => {
    const { role } = request.routeOptions.config
    if (role) authorize(request, role)
  })
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'inkev agent', description: 'Virtual networks of eBPF functions on one host.', version: '1' }
    }
  })
  for (const type of TYPES) resourceRoutes(app, agent, type)
  bulkRoute(app, agent)
  introspectionRoutes(app, introspection)
  healthRoute(app, introspection)
  topologyRoute(app, agent, introspection)
  eventsRoute(app, agent)
  traceRoute(app, tracer)
  captureRoute(app, captures)

  const read = { config: { role: 'read' as const } }
  app.get('/v1/host', { ...read, schema: { summary: 'The host', tags: ['host'], response: { 200: hostSchema } } }, host)
  app.get('/metrics', { ...read, schema: { summary: 'Metrics in the Prometheus format', tags: ['host'] } }, async (_, reply) =>
    reply.type('text/plain; version=0.0.4').send(await metricsOf(introspection))
  )
  app.get('/healthz', { schema: { summary: 'Whether the agent lives', tags: ['host'] } }, () => ({ status: 'ok' }))
  app.get('/readyz', { schema: { summary: 'Whether the kernel was brought to the desired state once', tags: ['host'] } }, (_, reply) =>
    reply.code(ready() ? 200 : 503).send({ status: ready() ? 'ready' : 'starting' })
  )
  app.get('/openapi.json', { schema: { hide: true } }, () => app.swagger())
  return app
}

const declares = Type.Record(Type.String(), Type.Unknown(), {
  description: 'Ports, counters, configuration and tables, as the program declares them.'
})

/** What a client wrote, and what the agent adds. */
function answerOf(type: ResourceType): TSchema {
  const { properties, required = [], ...schema } = resources[type] as TObject
  const ports = Type.Record(Type.String(), Type.Integer(), { description: 'The numbers of its ports by their names.' })
  const added = { name: Type.String(), ...(type === 'functions' && { ports }), ...(type === 'programs' && { declares }), status }
  const readable = Object.fromEntries(Object.entries(properties).filter(([, { writeOnly }]) => !writeOnly))
  return Type.Unsafe({
    ...schema,
    properties: { ...readable, ...added },
    required: [...required.filter(name => name in readable), ...Object.keys(added)]
  })
}

type Named = { Params: { name: string } }

function resourceRoutes(app: FastifyInstance, agent: Agent, type: ResourceType): void {
  const answer = answerOf(type)
  const listed = Type.Intersect([
    answer,
    Type.Object({ etag: Type.String({ description: 'As the ETag header of the object by itself.' }) })
  ])
  const failures = { '4xx': errorBody, '5xx': errorBody }
  const common = { tags: [type], params: nameParameter }
  const operate = { config: { role: type === 'programs' ? ('program' as const) : ('operate' as const) } }
  const read = { config: { role: 'read' as const } }
  const change = (request: FastifyRequest<Named>, method: Change['method']): Change => ({
    method,
    type,
    name: request.params.name,
    body: request.body,
    ifMatch: request.headers['if-match'],
    ifNoneMatch: request.headers['if-none-match']
  })

  app.get<{ Querystring: Record<string, string> }>(
    `/v1/${type}`,
    {
      ...read,
      schema: {
        summary: `All ${type}; a query field=value filters`,
        tags: [type],
        response: { 200: Type.Object({ items: Type.Array(listed) }), ...failures }
      }
    },
    ({ query }) => ({ items: agent.list(type, query) })
  )
  app.get<Named>(
    `/v1/${type}/:name`,
    { ...read, schema: { ...common, summary: 'One object', response: { 200: answer, ...failures } } },
    ({ params }, reply) => {
      const { body, etag } = agent.read(type, params.name)
      return reply.header('etag', etag).send(body)
    }
  )
  app.put<Named>(
    `/v1/${type}/:name`,
    {
      ...operate,
      schema: {
        ...common,
        summary: 'Create or replace',
        headers: preconditions,
        body: resources[type],
        response: { 200: answer, 201: answer, ...failures }
      }
    },
    async (request, reply) => answerOutcome(reply, (await agent.change([change(request, 'PUT')]))[0]!)
  )
  app.delete<Named>(
    `/v1/${type}/:name`,
    { ...operate, schema: { ...common, summary: 'Delete', headers: preconditions, response: { 204: Type.Null(), ...failures } } },
    async (request, reply) => answerOutcome(reply, (await agent.change([change(request, 'DELETE')]))[0]!)
  )
}

function answerOutcome(reply: FastifyReply, outcome: Outcome): FastifyReply {
  if ('error' in outcome) throw outcome.error
  if ('etag' in outcome) reply.header('etag', outcome.etag)
  return reply.code(outcome.status).send('body' in outcome ? outcome.body : undefined)
}

const bulkItem = Type.Object({
  method: Type.Union([Type.Literal('PUT'), Type.Literal('DELETE')]),
  resource: Type.Union(BULK_TYPES.map(type => Type.Literal(type))),
  name: Type.String(),
  body: Type.Optional(Type.Unknown()),
  if_match: Type.Optional(Type.String())
})

interface BulkItem {
  method: Change['method']
  resource: ResourceType
  name: string
  body?: unknown
  if_match?: string
}

function bulkRoute(app: FastifyInstance, agent: Agent): void {
  const schema = {
    summary:
      'Several changes at once, judged by the state that all of them lead to: those that are refused change nothing, the others are made in one step',
    tags: ['bulk'],
    body: Type.Array(bulkItem),
    response: {
      200: Type.Array(Type.Object({ status: Type.Integer(), body: Type.Optional(Type.Unknown()), etag: Type.Optional(Type.String()) })),
      '4xx': errorBody
    }
  }
  app.post<{ Body: BulkItem[] }>('/v1/bulk', { config: { role: 'operate' }, schema }, async ({ body }) => {
    if (!Array.isArray(body)) throw new InkevError('INKEV_ERR_SCHEMA', 'the body is not a list of changes')
    body.forEach(requireBulkItem)
    const outcomes = await agent.change(
      body.map(({ method, resource, name, body, if_match }) => ({ method, type: resource, name, body, ifMatch: if_match }))
    )
    return outcomes.map(outcome => ({
      status: outcome.status,
      ...('body' in outcome && { body: outcome.body }),
      ...('etag' in outcome && { etag: outcome.etag })
    }))
  })
}

function requireBulkItem(item: BulkItem, position: number): void {
  if (!['PUT', 'DELETE'].includes(item?.method))
    throw new InkevError('INKEV_ERR_SCHEMA', `${position}.method is neither PUT nor DELETE`, `${position}.method`)
  if (!BULK_TYPES.includes(item.resource))
    throw new InkevError('INKEV_ERR_SCHEMA', `${position}.resource is none of ${BULK_TYPES.join(', ')}`, `${position}.resource`)
  if (typeof item.name !== 'string') throw new InkevError('INKEV_ERR_SCHEMA', `${position}.name is missing`, `${position}.name`)
}

/** Networks are bridges, and so have counters and tables as functions do. */
function introspectionRoutes(app: FastifyInstance, introspection: Introspection): void {
  const config = { role: 'read' as const }
  for (const type of ['functions', 'networks'] as const) {
    app.get<Named>(
      `/v1/${type}/:name/counters`,
      { config, schema: { summary: 'Its counters, from the kernel', tags: [type], params: nameParameter } },
      ({ params }) =>
        Object.fromEntries(Object.entries(introspection.counters(resourceKey(type, params.name))).map(([name, { value }]) => [name, value]))
    )
    app.get<{ Params: { name: string; table: string } }>(
      `/v1/${type}/:name/tables/:table`,
      { config, schema: { summary: 'The records of one of its tables, from the kernel', tags: [type] } },
      ({ params }) => ({
        items: introspection.table(resourceKey(type, params.name), params.table)
      })
    )
  }
}

function healthRoute(app: FastifyInstance, introspection: Introspection): void {
  const summary = 'What it wants watched, and how that fares as this host sees it'
  app.get<Named>(
    '/v1/functions/:name/health',
    { config: { role: 'read' }, schema: { summary, tags: ['functions'], params: nameParameter } },
    ({ params }) => ({ items: introspection.health(resourceKey('functions', params.name)) })
  )
}

function topologyRoute(app: FastifyInstance, agent: Agent, introspection: Introspection): void {
  const schema = {
    summary: 'The graph of this host',
    tags: ['host'],
    querystring: Type.Object({ format: Type.Optional(Type.Union([Type.Literal('json'), Type.Literal('dot'), Type.Literal('mermaid')])) })
  }
  app.get<{ Querystring: { format?: string } }>(
    '/v1/topology',
    { config: { role: 'read' }, schema },
    ({ query: { format = 'json' } }, reply) => {
      const topology = topologyOf(agent.desired(), introspection.statuses())
      if (format === 'json') return reply.send(topology)
      if (format === 'dot') return reply.type('text/vnd.graphviz').send(asDot(topology))
      if (format === 'mermaid') return reply.type('text/vnd.mermaid').send(asMermaid(topology))
      throw new InkevError('INKEV_ERR_SCHEMA', `${format} is none of json, dot, mermaid`, 'format')
    }
  )
}

function traceRoute(app: FastifyInstance, tracer: AppOptions['tracer']): void {
  const schema = {
    summary: 'Sends a described packet through a copy of the graph as it stands, and tells every step; nothing that runs notices it',
    tags: ['host'],
    body: traceRequest,
    response: { 200: traceAnswer, '4xx': errorBody, '5xx': errorBody }
  }
  app.post('/v1/trace', { config: { role: 'read' }, schema }, ({ body }) => tracer.trace(body))
}

const captureLimits = group({
  packets: optional(u32({ doc: 'The capture ends after so many packets.', min: 1 })),
  seconds: optional(u32({ doc: 'The capture ends after so many seconds.', min: 1, max: 1_000_000 }))
})

/** What packets hold is more than a reader of the configuration may see: hence a role of its own. */
function captureRoute(app: FastifyInstance, captures: AppOptions['captures']): void {
  const pcapng = { description: 'pcapng', content: { 'application/x-pcapng': { schema: Type.String({ format: 'binary' }) } } }
  const schema = {
    summary:
      'The packets that a function captures, as they come, in the pcapng format: a stream until the client leaves; needs the role capture',
    tags: ['functions'],
    params: nameParameter,
    querystring: captureLimits,
    response: { 200: pcapng, '4xx': errorBody, '5xx': errorBody }
  }
  app.get<Named & { Querystring: Record<keyof Limits, string> }>(
    '/v1/captures/:name',
    { config: { role: 'capture' }, schema },
    ({ params, query }, reply) => {
      const leave = captures.listen(params.name, limitsOf(query), () => {
        reply.hijack()
        reply.raw.writeHead(200, { 'content-type': 'application/x-pcapng', 'cache-control': 'no-store' })
        return reply.raw
      })
      reply.raw.on('close', leave)
    }
  )
}

/** Throws INKEV_ERR_SCHEMA. */
function limitsOf(query: Record<string, string>): Limits {
  const numbers = Object.entries(query).map(([name, text]) => [name, /^[0-9]+$/.test(text) ? Number(text) : text])
  const { value, problems } = validate(captureLimits, Object.fromEntries(numbers))
  const [first] = problems
  if (first) throw new InkevError('INKEV_ERR_SCHEMA', `${first.path}: ${first.message}`, first.path, first.hint)
  return value as Limits
}

/** Server-sent events: every change and every new status, until the client leaves. */
function eventsRoute(app: FastifyInstance, agent: Agent): void {
  app.get(
    '/v1/events',
    { config: { role: 'read' }, schema: { summary: 'Changes as they happen (server-sent events)', tags: ['host'] } },
    (request, reply) => {
      reply.hijack()
      reply.raw.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
      reply.raw.write(': changes of resources and of their status\n\n')
      const send = ({ event, ...data }: { event: string }) => reply.raw.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
      agent.on('event', send)
      request.raw.on('close', () => agent.off('event', send))
    }
  )
}

function answerError(error: FastifyError | InkevError, request: FastifyRequest, reply: FastifyReply): void {
  const known = asInkevError(error)
  if (known.status >= 500) request.log.error({ err: error }, known.message)
  reply.code(known.status).send(known.body)
}

function asInkevError(error: FastifyError | InkevError): InkevError {
  if (error instanceof InkevError) return error
  if (error.statusCode !== undefined && error.statusCode < 500)
    return new InkevError('INKEV_ERR_MALFORMED', error.message, undefined, undefined, error)
  return new InkevError('INKEV_ERR_INTERNAL', error.message, undefined, undefined, error)
}

function writeBigint(_: string, value: unknown): unknown {
  if (typeof value !== 'bigint') return value
  return value <= Number.MAX_SAFE_INTEGER ? Number(value) : value.toString()
}
