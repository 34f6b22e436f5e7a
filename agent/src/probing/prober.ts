// SPDX-License-Identifier: Apache-2.0
// Watches what functions want watched: a child process in each namespace that is asked from, and what follows from the answers.

import { type ChildProcess, spawn } from 'node:child_process'
import { EventEmitter } from 'node:events'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { netnsPath } from '../kernel/devices'
import type { Graph } from '../model/graph'
import type { PlacedProbe, Troubles } from '../model/probing'
import type { Log } from '../reconcile'
import type { Store } from '../store/store'
import type { Heard, Questions } from './child'

/** Beside the agent's own bundle. */
const CHILD = join(__dirname, 'inkev-probe.js')
/** A child that ends by itself is started again after so many milliseconds. */
const RESTART_MS = 1_000
const FAILING = 'failing'

/** Outlives the agent: what failed is not taken for healthy by a new one. */
interface Failure {
  /** The probe that failed; of another one nothing is known. */
  probe: string
  reason: string
  since: string
}

/** How one probe fares, as clients see it. */
export interface Health {
  name: string
  address: string
  port: number
  /** `unknown`: it cannot be asked from this host, and is taken for what it was. */
  state: 'healthy' | 'failing' | 'unknown'
  reason?: string
  /** Of a failure. */
  since?: string
}

interface Watched extends PlacedProbe {
  text: string
  /** Answers in a row that speak against what is taken for true. */
  against: number
  /** Attempts in a row that did not come so far as to ask. */
  hindered: number
  /** Why nothing can be asked, once that is certain. */
  hindrance?: string
}

/** Emits `change` when something begins to fail or is well again, cannot be asked or can be again. */
export class Prober extends EventEmitter<{ change: [] }> {
  /** By function and key: `functions/front web1`. */
  private watched = new Map<string, Watched>()
  /** By namespace. */
  private readonly children = new Map<string, Child>()

  constructor(
    private readonly store: Store,
    private readonly log: Log
  ) {
    super()
  }

  troubles(instance: string): Troubles {
    const prefix = `${instance} `
    const own = <T>(of: Iterable<[string, T]>) =>
      [...of].flatMap(([id, each]): [string, T][] => (id.startsWith(prefix) ? [[id.slice(prefix.length), each]] : []))
    return {
      failing: new Map(own(this.failures()).map(([key, { reason }]) => [key, reason])),
      hindered: new Map(own(this.watched).flatMap(([key, { hindrance }]) => (hindrance === undefined ? [] : [[key, hindrance]])))
    }
  }

  health(instance: string): Health[] {
    const prefix = `${instance} `
    return [...this.watched]
      .filter(([id]) => id.startsWith(prefix))
      .map(([id, watched]) => {
        const { address, port } = watched.probe
        return { name: id.slice(prefix.length), address, port, ...this.stateOf(id, watched) }
      })
  }

  private stateOf(id: string, { from, hindrance }: Watched): Pick<Health, 'state' | 'reason' | 'since'> {
    if (!from) return { state: 'unknown', reason: 'no port of this host can ask it' }
    if (hindrance !== undefined) return { state: 'unknown', reason: `cannot probe from port ${from.port}: ${hindrance}` }
    const failure = this.failures().get(id)
    return failure ? { state: 'failing', reason: failure.reason, since: failure.since } : { state: 'healthy' }
  }

  /** Asks from now on what the functions of this graph want asked, and nothing else. */
  follow({ instances }: Graph): void {
    const wanted = [...instances].flatMap(([instance, { probes }]) =>
      [...probes].map(([key, placed]): [string, Watched] => {
        const id = `${instance} ${key}`
        const text = JSON.stringify(placed)
        const before = this.watched.get(id)
        return [id, before?.text === text ? before : { ...placed, text, against: 0, hindered: 0 }]
      })
    )
    this.watched = new Map(wanted)
    const stale = [...this.failures()].filter(([id, { probe }]) => this.watched.get(id)?.text !== probe)
    if (stale.length > 0) this.note(stale.map(([id]) => [id, undefined]))
    this.lead()
  }

  close(): void {
    for (const child of this.children.values()) child.close()
    this.children.clear()
    this.watched.clear()
  }

  /** One child in each namespace that is asked from; a namespace may have been made anew under its name. */
  private lead(): void {
    const places = new Map<string, Questions>()
    for (const [id, { probe, from }] of this.watched) {
      if (!from) continue
      const { netns } = from
      const { protocol, address, port, path, interval, timeout } = probe
      const questions = places.get(netns) ?? {}
      questions[id] = { protocol, address, port, path, interval, timeout }
      places.set(netns, questions)
    }
    for (const [netns, child] of this.children) {
      if (places.has(netns) && child.isInPlace()) continue
      child.close()
      this.children.delete(netns)
    }
    for (const [netns, questions] of places) {
      const child = this.children.get(netns) ?? new Child(netns, this.log, heard => this.hear(heard))
      this.children.set(netns, child)
      child.tell(questions)
    }
  }

  private hear({ id, fault, hindrance }: Heard): void {
    const watched = this.watched.get(id)
    if (!watched) return
    this.heed(id, watched, hindrance)
    if (hindrance !== undefined) return
    const { healthyThreshold, unhealthyThreshold } = watched.probe
    const failure = this.failures().get(id)
    const agrees = (fault === undefined) === (failure === undefined)
    watched.against = agrees ? 0 : watched.against + 1
    const turns = watched.against >= (failure ? healthyThreshold : unhealthyThreshold)
    if (!turns && (!failure || fault === undefined || fault === failure.reason)) return
    watched.against = 0
    const since = failure?.since ?? new Date().toISOString()
    this.note([[id, fault === undefined ? undefined : { probe: watched.text, reason: fault, since }]])
    this.log.info({ probe: id, fault }, fault === undefined ? 'is well again' : 'fails')
  }

  /** What nobody could be asked says nothing about who would have been: it is taken for what it was. */
  private heed(id: string, watched: Watched, hindrance: string | undefined): void {
    watched.hindered = hindrance === undefined ? 0 : watched.hindered + 1
    const isCertain = hindrance === undefined || watched.hindered >= watched.probe.unhealthyThreshold
    if (!isCertain || watched.hindrance === hindrance) return
    watched.hindrance = hindrance
    this.log.info({ probe: id, hindrance }, hindrance === undefined ? 'can be asked again' : 'cannot be asked')
    this.emit('change')
  }

  private failures(): ReadonlyMap<string, Failure> {
    return this.store.table<Failure>(FAILING)
  }

  private note(changes: [id: string, failure: Failure | undefined][]): void {
    this.store
      .note(changes.map(([key, value]) => ({ table: FAILING, key, value })))
      .catch(error => this.log.error({ err: error }, 'cannot write down what fails'))
    this.emit('change')
  }
}

/** The process that asks from one namespace. */
class Child {
  private readonly inode: bigint | undefined
  private process: ChildProcess | undefined
  private restart: NodeJS.Timeout | undefined
  private questions: Questions = {}
  private told = ''

  constructor(
    private readonly netns: string,
    private readonly log: Log,
    private readonly hear: (heard: Heard) => void
  ) {
    this.inode = inodeOf(netns)
  }

  isInPlace(): boolean {
    return this.inode === inodeOf(this.netns)
  }

  tell(questions: Questions): void {
    const text = `${JSON.stringify(questions)}\n`
    if (text === this.told) return
    this.told = text
    this.questions = questions
    if (this.process) this.process.stdin!.write(text)
    else if (!this.restart) this.start()
  }

  close(): void {
    clearTimeout(this.restart)
    this.process?.removeAllListeners('exit').kill('SIGKILL')
    this.process = undefined
  }

  private start(): void {
    const arguments_ = [`--net=${netnsPath(this.netns)}`, process.execPath, CHILD]
    const child = spawn('nsenter', arguments_, { stdio: ['pipe', 'pipe', 'ignore'] })
    this.process = child
    child.once('error', error => this.ended(error.message))
    child.once('exit', (code, signal) => this.ended(`it ended with ${code ?? signal}`))
    child.stdin.on('error', () => undefined).write(this.told)
    createInterface({ input: child.stdout }).on('line', line => this.hear(JSON.parse(line)))
  }

  private ended(reason: string): void {
    if (!this.process) return
    this.process = undefined
    this.log.warn({ netns: this.netns, reason }, 'the process that asks from a namespace is started again')
    this.restart = setTimeout(() => {
      this.restart = undefined
      this.start()
    }, RESTART_MS)
    for (const id of Object.keys(this.questions)) this.hear({ id, hindrance: `no process stays in its namespace: ${reason}` })
  }
}

function inodeOf(netns: string): bigint | undefined {
  return statSync(netnsPath(netns), { bigint: true, throwIfNoEntry: false })?.ino
}
