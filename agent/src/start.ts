// SPDX-License-Identifier: Apache-2.0
// Puts the parts together: from options to an agent that listens, and back.

import { kinds } from '@inkev/bpf/functions/index.gen'
import type { Native } from '@inkev/native'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { Network, NetworkFunction, Program, Stitch, WorkloadPort } from '../api/resources'
import { Agent } from './agent'
import { Captures } from './capture/captures'
import { restDirectory } from './directory/directory'
import { describeHost, hostFacts } from './host'
import { Introspection } from './introspection'
import { HOLD } from './kernel/handover'
import { Kernel } from './kernel/kernel'
import { Objects } from './kernel/objects'
import { probe } from './kernel/probe'
import { TRACE } from './kernel/shadow'
import { type Desired, noRows } from './model/desired'
import type { Graph } from './model/graph'
import type { Options } from './options'
import { ROAD } from './plan/wishes'
import { Prober } from './probing/prober'
import { Reconciler } from './reconcile'
import { buildApp } from './server/app'
import { authorizer } from './server/auth'
import { listenOn } from './server/listen'
import { Ids } from './store/ids'
import { Store } from './store/store'
import { Tracer } from './trace/tracer'

/** How often the agent looks whether others changed what is its own, in milliseconds. */
const CHECK_INTERVAL_MS = 2_000
/** Changes of devices come in bursts. */
const SETTLE_MS = 20

export interface Started {
  agent: Agent
  app: FastifyInstance
  /** Stops listening and lets go; what runs in the kernel runs on. */
  stop(): Promise<void>
}

const NAMESPACES = 'namespace'

/** Throws InkevError with a sentence for the one who started it. */
export async function start(options: Options, native: Native, log: FastifyBaseLogger): Promise<Started> {
  const features = probe(native, options.bpffs)
  const objects = new Objects(options.objects)
  objects.require([...Object.keys(ROAD), HOLD, TRACE, ...Object.keys(kinds)])
  const netlink = native.net.open()
  const store = await Store.open(options.state)
  const prober = new Prober(store, log)
  const facts = hostFacts(netlink, key => prober.troubles(key), options)
  const owned = {
    all: () => store.table<true>(NAMESPACES).keys(),
    has: (netns: string) => store.table<true>(NAMESPACES).has(netns),
    add: (netns: string) => store.note([{ table: NAMESPACES, key: netns, value: true }]),
    remove: (netns: string) => store.note([{ table: NAMESPACES, key: netns, value: undefined }])
  }
  const kernel = new Kernel(native, objects, netlink, owned, options.bpffs, (key, reason) => log.warn({ key }, reason))
  if (!(await kernel.adopt())) log.warn('what ran was laid out by another version, and was removed')
  const desired = options.teardown ? () => NOTHING : desiredOf(store)
  const ids = new Ids(store)
  const follow = (graph: Graph) => prober.follow(graph)
  const reconciler = new Reconciler({ store, ids, kernel, objects, desired, facts, follow, vxlanPort: options.vxlanPort, log })
  prober.on('change', () => reconciler.request())
  const agent = new Agent(store, ids, reconciler, desired, facts)
  const tracer = new Tracer(kernel, reconciler, ids)
  const captures = new Captures(agent, kernel, reconciler, ids)
  const authorize = authorizer(options)
  const trusted = new WeakSet<object>()
  let ready = false
  const app = await buildApp({
    agent,
    introspection: new Introspection(kernel, reconciler, prober),
    tracer,
    captures,
    host: () => describeHost(facts(), features),
    ready: () => ready,
    authorize: ({ raw }, role) => authorize(raw, role, trusted.has(raw)),
    log
  })
  await app.ready()
  const close = await listenOn(options.teardown ? { ...options, listen: [] } : options, (request, response, isTrusted) => {
    if (isTrusted) trusted.add(request)
    app.routing(request, response)
  })
  await reconciler.request()
  ready = true

  let settling: NodeJS.Timeout | undefined
  const watch = netlink.watch(({ type, ifindex }) => {
    if (type !== 'lost' && !(type === 'link_gone' && kernel.owns(ifindex))) return
    settling ??= setTimeout(() => {
      settling = undefined
      reconciler.check()
    }, SETTLE_MS)
  })
  const timer = setInterval(() => reconciler.check(), CHECK_INTERVAL_MS)
  return {
    agent,
    app,
    async stop() {
      clearInterval(timer)
      clearTimeout(settling)
      watch.close()
      prober.removeAllListeners('change')
      captures.close()
      await close()
      await app.close()
      await Promise.all([reconciler.idle(), tracer.idle()])
      prober.close()
      kernel.close()
      netlink.close()
      await store.close()
    }
  }
}

const NOTHING: Desired = noRows<never>()

function desiredOf(store: Store): () => Desired {
  const directory = restDirectory(store)
  return () => ({
    networks: store.table<Network>('networks'),
    peers: directory.peers(),
    endpoints: directory.endpoints(),
    ports: store.table<WorkloadPort>('ports'),
    programs: store.table<Program>('programs'),
    functions: store.table<NetworkFunction>('functions'),
    stitches: store.table<Stitch>('stitches')
  })
}
