// SPDX-License-Identifier: Apache-2.0
// A host of the lab: a network and a mount namespace with a bpffs of its own, and an agent process in them.

import { spawn } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { Namespace } from './namespace'
import { attempt, run, until } from './process'

export const UPLINK = 'uplink'
const READY_LIMIT_MS = 20_000

/**
 * Run in a fresh copy of the mount namespace: gives the host its own /sys, bpffs and `ip netns` names, and lets go of what it would
 * otherwise keep alive of others (their namespaces, their labs).
 */
const FURNISH = `
  umount -a -t nsfs
  for other in /run/inkev/*; do [ "$other" = "$1" ] || umount -l "$other" 2>/dev/null; done
  set -e
  mkdir -p /run/netns
  mount -t tmpfs -o mode=0755 inkev-netns /run/netns
  mount -t sysfs sysfs /sys
  mount -t bpf bpf /sys/fs/bpf`

export interface Answer {
  status: number
  headers: NodeJS.Dict<string | string[]>
  // biome-ignore lint/suspicious/noExplicitAny: tests read what they expect, whatever the resource
  body: any
}

export class Host extends Namespace {
  /** Where the agent keeps its socket, state and log. */
  readonly folder: string

  constructor(
    readonly lab: { name: string; folder: string; project: string },
    readonly name: string,
    /** Underlay addresses. */
    readonly vtep: string,
    readonly vtep6: string
  ) {
    const netns = `${lab.name}-${name}`
    const folder = join(lab.folder, name)
    super(['nsenter', `--net=/run/netns/${netns}`, `--mount=${folder}/mnt`, '--'])
    this.netns = netns
    this.folder = folder
  }

  /** The name of its network namespace, as `ip netns` of the machine lists it. */
  readonly netns: string

  /** Where its agent answers, as the provider takes it. */
  get endpoint(): string {
    return `unix://${this.socket}`
  }

  get socket(): string {
    return join(this.folder, 'agent.sock')
  }

  /** The namespace of a workload: one that an agent created, or that `addWorkload` did. */
  workload(netns: string): Namespace {
    return this.within('nsenter', `--net=/run/netns/${netns}`, '--')
  }

  /** Creates the namespace of a workload, as a user who manages his own would. */
  async addWorkload(netns: string): Promise<Namespace> {
    await this.run(['ip', 'netns', 'add', netns])
    const workload = this.workload(netns)
    await workload.run(['ip', 'link', 'set', 'lo', 'up'])
    return workload
  }

  /** Makes the namespaces; the lab then brings the uplink. */
  async create(): Promise<void> {
    mkdirSync(this.folder, { recursive: true })
    await run(['ip', 'netns', 'add', this.netns])
    await run(['ip', '-n', this.netns, 'link', 'set', 'lo', 'up'])
    const mounts = join(this.folder, 'mnt')
    writeFileSync(mounts, '')
    const entrance = ['nsenter', `--net=/run/netns/${this.netns}`, '--', 'unshare', `--mount=${mounts}`, '--propagation', 'slave']
    await run([...entrance, 'sh', '-c', FURNISH, 'sh', this.lab.folder])
  }

  /** Starts the agent, with further arguments, and waits until it is ready. */
  async startAgent(args: string[] = []): Promise<void> {
    const log = openSync(this.#logFile, 'a')
    const agent = ['node', join(this.lab.project, 'agent/dist/inkev-agent.js'), '--name', this.name, '--listen', `unix:${this.socket}`]
    const command = [...this.entrance, ...agent, '--uplink', UPLINK, '--state', join(this.folder, 'state'), ...args]
    const child = spawn(command[0]!, command.slice(1), { cwd: '/', detached: true, stdio: ['ignore', log, log] })
    closeSync(log)
    child.unref()
    const ended = new Promise<number>(resolve => child.on('close', code => resolve(code ?? -1)))
    writeFileSync(this.#pidFile, String(child.pid))
    let exit: number | undefined
    ended.then(code => {
      exit = code
    })
    const ready = async () => exit !== undefined || (await this.#isReady())
    await until(ready, READY_LIMIT_MS, () => `The agent of ${this.name} is not ready after ${READY_LIMIT_MS / 1000} s:\n${this.logTail()}`)
    if (exit !== undefined) throw new Error(`The agent of ${this.name} ended with ${exit}:\n${this.logTail()}`)
  }

  /** The agent's process id, or undefined while none runs. */
  get agentPid(): number | undefined {
    if (!existsSync(this.#pidFile)) return undefined
    const pid = Number(readFileSync(this.#pidFile, 'utf8'))
    return existsSync(`/proc/${pid}/exe`) ? pid : undefined
  }

  /** Ends the agent; what it has put into the kernel stays there. */
  async stopAgent(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const pid = this.agentPid
    if (pid !== undefined) {
      process.kill(pid, signal)
      await until(
        () => this.agentPid === undefined,
        10_000,
        () => `The agent of ${this.name} does not end on ${signal}:\n${this.logTail()}`
      )
    }
    rmSync(this.#pidFile, { force: true })
  }

  /** A request to the agent's REST interface. */
  async request(method: string, path: string, body?: unknown): Promise<Answer> {
    const text = body === undefined ? undefined : JSON.stringify(body)
    const headers = text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }
    return new Promise((resolve, reject) => {
      const sent = request({ socketPath: this.socket, agent: false, method, path, headers, timeout: READY_LIMIT_MS }, response => {
        let received = ''
        response.on('data', chunk => {
          received += chunk
        })
        response.on('error', reject)
        response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: parsed(received) }))
      })
      sent.on('timeout', () => sent.destroy(new Error(`${method} ${path}: no answer from the agent of ${this.name}`)))
      sent.on('error', reject)
      sent.end(text)
    })
  }

  /** The last lines of what the agent has logged. */
  logTail(lines = 30): string {
    const text = existsSync(this.#logFile) ? readFileSync(this.#logFile, 'utf8') : ''
    return text.trimEnd().split('\n').slice(-lines).join('\n')
  }

  /** The names of the workload namespaces on this host. */
  async workloads(): Promise<string[]> {
    const { code, stdout } = await attempt([...this.entrance, 'ls', '/run/netns'])
    return code === 0 ? stdout.split('\n').filter(Boolean) : []
  }

  async #isReady(): Promise<boolean> {
    try {
      return (await this.request('GET', '/readyz')).status === 200
    } catch {
      return false
    }
  }

  get #logFile(): string {
    return join(this.folder, 'agent.log')
  }

  get #pidFile(): string {
    return join(this.folder, 'agent.pid')
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
