// SPDX-License-Identifier: Apache-2.0
// The lab: hosts as namespaces of this machine, joined by an underlay. It finds and removes its own leftovers, and touches nothing else.

import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Host, UPLINK } from './host'
import { processesIn } from './namespaces'
import { attempt, run, sleep } from './process'
import { PROJECT } from './project'

const LABS = '/run/inkev'
const HOSTS_MAX = 250
/** How long a lab may be without an owner before it counts as abandoned. */
const BEING_MADE_MS = 60_000

export interface LabOptions {
  /** Names the namespaces and the folder below /run/inkev. Default: one that no other process uses. */
  name?: string
  /** How many hosts: edge-1, edge-2, … */
  hosts: number
  /** MTU of the underlay. Default 1500. */
  mtu?: number
  /** Whether agents are started. Default true. */
  agents?: boolean
  /** Further arguments of the agents. */
  agentArgs?: string[]
  /** The project whose agent and provider are used. Default: this one. */
  project?: string
}

/** Who holds a lab: the process that made it, or nobody once it is kept for a user. */
interface Owner {
  pid?: number
  started?: string
}

export class Lab {
  readonly folder: string
  readonly hosts: readonly Host[]

  private constructor(
    readonly name: string,
    count: number,
    readonly project = PROJECT
  ) {
    this.folder = join(LABS, name)
    this.hosts = Array.from(
      { length: count },
      (_, n) => new Host(this, `edge-${n + 1}`, `192.0.2.${n + 1}`, `2001:db8::${(n + 1).toString(16)}`)
    )
  }

  /** Builds a lab; when that fails, nothing is left of it. */
  static async up({ name = uniqueName(), hosts, mtu = 1500, agents = true, agentArgs = [], project }: LabOptions): Promise<Lab> {
    if (!Number.isInteger(hosts) || hosts < 1 || hosts > HOSTS_MAX) throw new Error(`A lab has 1 to ${HOSTS_MAX} hosts.`)
    const lab = new Lab(name, hosts, project)
    if (existsSync(lab.folder)) throw new Error(`A lab named ${name} is up already.`)
    try {
      await lab.#claim()
      await Promise.all(lab.hosts.map(host => host.create()))
      await lab.#layUnderlay(mtu)
      if (agents) await Promise.all(lab.hosts.map(host => host.startAgent(agentArgs)))
      return lab
    } catch (error) {
      await lab.down()
      throw error
    }
  }

  /** The lab of that name, or undefined when there is none. */
  static find(name: string): Lab | undefined {
    const folder = join(LABS, name)
    if (!existsSync(folder)) return undefined
    const hosts = readdirSync(folder, { withFileTypes: true }).filter(entry => entry.isDirectory() && entry.name.startsWith('edge-'))
    return new Lab(name, hosts.length)
  }

  /** Removes every lab whose process died without doing so. */
  static async sweep(): Promise<string[]> {
    const names = existsSync(LABS) ? readdirSync(LABS) : []
    const abandoned = names.map(name => Lab.find(name)).filter(lab => lab?.isAbandoned)
    for (const lab of abandoned) await lab?.down()
    return abandoned.map(lab => lab?.name ?? '')
  }

  /** Whether the process that made it is gone, and nobody asked to keep it. */
  get isAbandoned(): boolean {
    const owner = this.#owner
    if (owner === undefined) return Date.now() - statSync(this.folder).mtimeMs > BEING_MADE_MS
    return owner.pid !== undefined && startTime(owner.pid) !== owner.started
  }

  /** Whether it stays until somebody takes it down. */
  get isKept(): boolean {
    return this.#owner?.pid === undefined && this.#owner !== undefined
  }

  /** From now on the lab outlives this process. */
  keep(): void {
    writeFileSync(this.#ownerFile, '{}')
  }

  host(name: string): Host {
    const host = this.hosts.find(host => host.name === name)
    if (!host) throw new Error(`The lab has no host ${name}: it has ${this.hosts.map(host => host.name).join(', ')}.`)
    return host
  }

  /** Value of the examples' variable `hosts`. */
  get terraformHosts(): Record<string, { endpoint: string }> {
    return Object.fromEntries(this.hosts.map(host => [host.name, { endpoint: host.endpoint }]))
  }

  /** Ends every process in the lab's namespaces, and removes the namespaces and all they hold. Can be repeated, and mends a half-made lab. */
  async down(): Promise<void> {
    await this.#endProcesses()
    for (const host of this.hosts) await attempt(['umount', join(host.folder, 'mnt')])
    for (const netns of [...this.hosts.map(host => host.netns), this.#underlay]) {
      if (existsSync(`/run/netns/${netns}`)) await run(['ip', 'netns', 'del', netns])
    }
    await attempt(['umount', '-l', this.folder])
    rmSync(this.folder, { recursive: true, force: true })
  }

  /** A tmpfs that does not propagate: the mount namespaces of the hosts are kept in it. */
  async #claim(): Promise<void> {
    mkdirSync(this.folder, { recursive: true })
    await run(['mount', '-t', 'tmpfs', '-o', 'mode=0755', 'inkev-lab', this.folder])
    await run(['mount', '--make-private', this.folder])
    writeFileSync(this.#ownerFile, JSON.stringify({ pid: process.pid, started: startTime(process.pid) } satisfies Owner))
  }

  /** Two hosts get one veth pair between them; any other number a bridge. */
  async #layUnderlay(mtu: number): Promise<void> {
    const [first, second, ...others] = this.hosts
    if (first && second && others.length === 0) await veth(first.netns, UPLINK, second.netns, UPLINK, mtu)
    else await this.#layBridge(mtu)
    for (const host of this.hosts) {
      const commands = [`link set ${UPLINK} up`, `addr add ${host.vtep}/24 dev ${UPLINK}`, `addr add ${host.vtep6}/64 dev ${UPLINK} nodad`]
      await run(['ip', '-n', host.netns, '-batch', '-'], { input: commands.join('\n') })
    }
  }

  async #layBridge(mtu: number): Promise<void> {
    await run(['ip', 'netns', 'add', this.#underlay])
    await run(['ip', '-n', this.#underlay, 'link', 'add', 'underlay', 'mtu', String(mtu), 'up', 'type', 'bridge'])
    for (const host of this.hosts) {
      await veth(this.#underlay, host.name, host.netns, UPLINK, mtu)
      await run(['ip', '-n', this.#underlay, 'link', 'set', host.name, 'up', 'master', 'underlay'])
    }
  }

  async #endProcesses(): Promise<void> {
    const inside = await this.namespaceIds()
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      for (const pid of processesIn(inside)) signalIfAlive(pid, signal)
      const end = performance.now() + 3000
      while (processesIn(inside).length > 0 && performance.now() < end) await sleep(20)
    }
    if (processesIn(inside).length > 0) throw new Error(`Processes of the lab ${this.name} do not end, not even by SIGKILL.`)
  }

  /** Inode numbers of the lab's network and mount namespaces. */
  async namespaceIds(): Promise<Set<number>> {
    const paths = [...this.hosts.map(host => host.netns), this.#underlay].map(netns => `/run/netns/${netns}`)
    const mounts = this.hosts.map(host => join(host.folder, 'mnt'))
    const ids = new Set([...paths, ...mounts].filter(existsSync).map(path => statSync(path).ino))
    for (const host of this.hosts) {
      const { stdout } = await host.attempt(['sh', '-c', 'stat -c %i /run/netns/*'])
      for (const line of stdout.split('\n').filter(Boolean)) ids.add(Number(line))
    }
    return ids
  }

  get #underlay(): string {
    return `${this.name}-underlay`
  }

  get #ownerFile(): string {
    return join(this.folder, 'owner')
  }

  get #owner(): Owner | undefined {
    return existsSync(this.#ownerFile) ? JSON.parse(readFileSync(this.#ownerFile, 'utf8')) : undefined
  }
}

let labs = 0
function uniqueName(): string {
  return `lab${process.pid}${labs++ > 0 ? `-${labs}` : ''}`
}

function veth(netnsA: string, nameA: string, netnsB: string, nameB: string, mtu: number): Promise<string> {
  const a = ['ip', 'link', 'add', nameA, 'netns', netnsA, 'mtu', String(mtu), 'type', 'veth']
  return run([...a, 'peer', 'name', nameB, 'netns', netnsB, 'mtu', String(mtu)])
}

/** Tells a process from a later one with the same id. */
function startTime(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[19]
  } catch {
    return undefined
  }
}

function signalIfAlive(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
