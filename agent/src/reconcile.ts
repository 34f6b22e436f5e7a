// SPDX-License-Identifier: Apache-2.0
// The one writer: brings the kernel to the desired state, pass by pass, and says of each resource how it fares.

import { EventEmitter } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import type { FunctionKind, Image } from '@inkev/bpf/catalogue/define'
import type { NativeError } from '@inkev/native'
import { InkevError } from '../api/errors'
import type { Status } from '../api/resources'
import type { Kernel } from './kernel/kernel'
import type { Objects } from './kernel/objects'
import type { Desired, HostFacts } from './model/desired'
import { buildGraph, type Graph } from './model/graph'
import type { Numbers } from './model/surroundings'
import { numbersOf, numbersWanted } from './numbers'
import { Encoder } from './plan/encoder'
import { type Generation, Images } from './plan/images'
import { planFilling, planMaking, planRemoval, planTakeover, planWiring, type Step } from './plan/plan'
import type { ImageWish } from './plan/state'
import { wiringOf } from './plan/wiring'
import { wishesOf } from './plan/wishes'
import type { Ids, Wanted } from './store/ids'
import type { Store } from './store/store'

const GENERATIONS = 'generation'
/** The key of failures that are no one resource's. */
export const WHOLE = 'core'
/** How long a pass may keep others waiting, in milliseconds. */
const BREATH_MS = 20
/** Steps on what belongs to all. */
const SHARED_STEPS: Step['do'][] = ['put', 'delete', 'clear']
/** Objects that are loaded at the same time. */
const PARALLEL_LOADS = 2

export interface Log {
  debug(details: object, message: string): void
  info(details: object, message: string): void
  warn(details: object, message: string): void
  error(details: object, message: string): void
}

export interface ReconcilerOptions {
  store: Store
  ids: Ids
  kernel: Kernel
  objects: Objects
  desired(): Desired
  facts(): HostFacts
  /** Told after each pass what now runs. */
  follow(graph: Graph): void
  vxlanPort: number
  log: Log
}

/** Emits `status` with a resource key and its status whenever that changes. */
export class Reconciler extends EventEmitter<{ status: [key: string, status: Status | undefined] }> {
  graph: Graph
  statuses = new Map<string, Status>()
  /** What went wrong in the last pass, by the key of the resource. */
  failures = new Map<string, InkevError>()
  /** Why resources are left out of the wiring, by their keys. */
  private blocked = new Map<string, string>()
  /** The uplink as the last pass saw it. */
  private uplink: string | undefined
  private lastFailures = new Map<string, InkevError>()
  private readonly encoder = new Encoder()
  private readonly images: Images
  /** What the verifier refused is refused again, as long as it is wanted: it is not loaded twice. By key, with the digest of the object. */
  private readonly refused = new Map<string, { digest: string; error: InkevError }>()
  private breathed = 0
  private running: Promise<void> | undefined
  private next: Promise<void> | undefined

  constructor(private readonly options: ReconcilerOptions) {
    super()
    this.images = new Images(options.objects, this.encoder)
    this.graph = buildGraph(options.desired(), options.facts())
  }

  /** Resolves after a pass that began after the call; calls that come while a pass runs share the next one. Never rejects. */
  request(): Promise<void> {
    if (!this.running) return this.start()
    this.next ??= this.running.then(() => {
      this.next = undefined
      return this.start()
    })
    return this.next
  }

  /** Resolves when no pass runs. */
  async idle(): Promise<void> {
    while (this.running) await this.running
  }

  private start(): Promise<void> {
    this.running = this.pass()
      .catch(error => this.fail(WHOLE, error as Error))
      .finally(() => {
        this.running = undefined
      })
    return this.running
  }

  labels(key: string): Image['labels'] {
    return this.images.labels(key)
  }

  /** SHA-256 of the code that runs for a function or a network; undefined while none does. */
  code(key: string): string | undefined {
    return this.options.kernel.code(key)
  }

  /** Throws InkevError where the kernel's verifier refuses a kind's code. */
  async prove(kind: FunctionKind): Promise<void> {
    try {
      await this.options.kernel.prove(kind)
    } catch (error) {
      const { code, message } = asInkevError(error as Error)
      throw new InkevError(code, message, 'elf', 'Correct the program there, and upload it again.', error)
    }
  }

  /** Looks whether others changed what is ours, or whether what failed may succeed now. */
  check(): void {
    if (this.running) return
    const changed = this.options.kernel.observe() || this.uplink !== JSON.stringify(this.options.facts().uplink)
    if (changed || this.failures.size > 0 || this.blocked.size > 0) this.request()
  }

  private async pass(): Promise<void> {
    const { ids, kernel, objects, vxlanPort } = this.options
    const [desired, facts] = [this.options.desired(), this.options.facts()]
    const graph = buildGraph(desired, facts)
    const wanted = numbersWanted(graph, desired)
    this.graph = graph
    this.uplink = JSON.stringify(facts.uplink)
    this.lastFailures = this.failures
    this.failures = new Map()
    await ids.claim(wanted)
    const numbers = numbersOf(graph, ids)
    const images = await this.makeImages(graph, numbers)
    const wishes = wishesOf(graph, facts, numbers, objects, images, vxlanPort)
    for (const [key, { digest }] of this.refused) if (wishes.objects.get(key)?.digest !== digest) this.refused.delete(key)

    await this.perform(planMaking(wishes, kernel.actual))
    kernel.readImages([...images].map(([key, { maps, commit }]) => [key, [...maps.keys(), ...commit.keys()]]))
    const broken = await this.perform(planFilling(wishes, kernel.actual))
    await this.perform(planTakeover(kernel.actual, broken))
    const { wiring, blocked } = wiringOf({
      graph,
      facts,
      numbers,
      actual: kernel.actual,
      specs: kernel.sharedSpecs,
      broken,
      vxlanPort,
      encoder: this.encoder
    })
    await this.perform(planWiring(wishes, wiring, kernel.actual))
    await this.perform(planRemoval(wishes, kernel.actual))
    if (this.failures.size === 0) await this.release(graph, wanted)
    this.blocked = blocked
    this.options.follow(graph)
    this.tell()
  }

  private async makeImages(graph: Graph, numbers: Numbers): Promise<Map<string, ImageWish>> {
    const { store } = this.options
    const { images, generations, failures } = this.images.make(graph, numbers, store.table<Generation>(GENERATIONS))
    for (const [key, error] of failures) this.fail(key, error)
    if (generations.size > 0) await store.note([...generations].map(([key, value]) => ({ table: GENERATIONS, key, value })))
    return images
  }

  /** Performs all steps that can be performed; returns the keys of those that failed. */
  private async perform(steps: Step[]): Promise<Set<string>> {
    const failed = new Set<string>()
    const attempt = async (step: Step) => {
      try {
        await this.performOne(step)
      } catch (error) {
        failed.add(step.key)
        this.fail(SHARED_STEPS.includes(step.do) ? WHOLE : step.key, error as Error)
      }
    }
    for (let position = 0; position < steps.length; ) {
      const batch = nextBatch(steps, position)
      await Promise.all(batch.map(attempt))
      position += batch.length
      await this.breathe()
    }
    return failed
  }

  /** Steps are short, but many: clients are heard in between. */
  private async breathe(): Promise<void> {
    if (performance.now() - this.breathed < BREATH_MS) return
    await setImmediate()
    this.breathed = performance.now()
  }

  private async performOne(step: Step): Promise<void> {
    const { log, kernel } = this.options
    log.debug({ step }, 'step')
    if (step.do === 'take over') return this.takeOver(step)
    if (step.do !== 'load') return kernel.perform(step)
    const { key, digest } = step.wish
    const refused = this.refused.get(key)
    if (refused?.digest === digest) throw refused.error
    try {
      await kernel.perform(step)
    } catch (error) {
      const known = asInkevError(error as Error)
      if (known.code === 'INKEV_ERR_VERIFIER') this.refused.set(key, { digest, error: known })
      throw known
    }
  }

  /** Memory that could not be moved is not moved once more: what ran before goes on. */
  private async takeOver(step: Extract<Step, { do: 'take over' }>): Promise<void> {
    const { kernel } = this.options
    const { digest } = kernel.actual.objects.get(step.key)!
    try {
      await kernel.perform(step)
    } catch (error) {
      const refused = new InkevError(
        'INKEV_ERR_LAYOUT',
        `the memory of what runs could not be taken over: ${(error as Error).message}`,
        undefined,
        'Give the map room for all that it holds; or another name, so that it starts empty.',
        error
      )
      this.refused.set(step.key, { digest, error: refused })
      throw refused
    }
  }

  private fail(key: string, error: Error): void {
    const known = asInkevError(error)
    const owner = this.graph.workloads.get(key)?.owner ?? key
    if (this.lastFailures.get(owner)?.message !== known.message) this.options.log.error({ err: known.cause ?? known, key }, known.message)
    if (!this.failures.has(owner)) this.failures.set(owner, known)
  }

  /** Numbers and generations of what is gone from the kernel may be used again. */
  private async release({ instances }: Graph, wanted: Wanted[]): Promise<void> {
    const { store, ids } = this.options
    const gone = [...store.table(GENERATIONS).keys()].filter(key => !instances.has(key))
    if (gone.length > 0) await store.note(gone.map(key => ({ table: GENERATIONS, key, value: undefined })))
    await ids.release(wanted)
  }

  private tell(): void {
    const road = [...this.failures].find(([key]) => key === WHOLE || key.startsWith(`${WHOLE}/`))?.[1]
    const statuses = new Map([...this.graph.statuses].map(([key, status]) => [key, this.statusOf(key, status, road)]))
    const keys = new Set([...statuses.keys(), ...this.statuses.keys()])
    const changed = [...keys].filter(key => !equalStatus(statuses.get(key), this.statuses.get(key)))
    this.statuses = statuses
    for (const key of changed) this.emit('status', key, statuses.get(key))
  }

  private statusOf(key: string, status: Status, road: InkevError | undefined): Status {
    const reason = this.failures.get(key)?.message ?? this.blocked.get(key) ?? (status.state === 'active' ? road?.message : undefined)
    return reason === undefined ? status : { state: 'degraded', reason }
  }
}

/** Objects are loaded side by side, save the road's own, the first of which brings the shared maps. */
function nextBatch(steps: Step[], position: number): Step[] {
  const isLoad = (step: Step | undefined) => step?.do === 'load' && !step.key.startsWith('core/')
  const batch = steps.slice(position, position + PARALLEL_LOADS)
  return batch.every(isLoad) ? batch : batch.slice(0, 1)
}

function equalStatus(a: Status | undefined, b: Status | undefined): boolean {
  return a === b || (a?.state === b?.state && a?.reason === b?.reason)
}

function asInkevError(error: Error): InkevError {
  if (error instanceof InkevError) return error
  const { log } = error as NativeError
  if (log) return new InkevError('INKEV_ERR_VERIFIER', `${error.message}: ${lastLines(log)}`, undefined, undefined, error)
  return new InkevError('INKEV_ERR_KERNEL', error.message, undefined, undefined, error)
}

/** What the verifier said last, without what libbpf and its own statistics add; and the line of the source where it was then, as far as it is known. */
function lastLines(log: string): string {
  const lines = log.split('\n').filter(line => line.trim() && !/^(libbpf:|processed |-- )/.test(line))
  const [, source, place] = /^; (.*?)(?: @ (\S+))?$/.exec(lines.findLast(line => line.startsWith('; ')) ?? '') ?? []
  const said = lines
    .filter(line => !line.startsWith('; '))
    .slice(-3)
    .join(' / ')
  return source === undefined ? said : `${said}, at ${place ? `${place}: ` : ''}${source}`
}
