// SPDX-License-Identifier: Apache-2.0
// Everything that inkev could leave behind in the kernel, as lines that can be compared and read.

import { readdirSync, readFileSync } from 'node:fs'
import type { Host } from './host'
import type { Lab } from './lab'
import { processesIn } from './namespaces'
import { run, sleep } from './process'

/** One line per thing, such as `program 12 router` or `edge-1: device uplink`. */
export type KernelState = ReadonlySet<string>

/** All BPF objects of the machine, save those that a process outside the lab holds open, and all else on the hosts of a lab. */
export async function kernelState(lab: Lab): Promise<KernelState> {
  const [objects, ...states] = await Promise.all([bpfObjects(await lab.namespaceIds()), ...lab.hosts.map(hostState)])
  return new Set([...objects, ...states.flat()])
}

/** What came and what went between two states; waits up to `settle` milliseconds until that is nothing, for the kernel frees things late. */
export async function whatIsLeft(lab: Lab, before: KernelState, settle = 10_000): Promise<string[]> {
  const end = performance.now() + settle
  for (;;) {
    const left = difference(before, await kernelState(lab))
    if (left.length === 0 || performance.now() > end) return left
    await sleep(200)
  }
}

function difference(before: KernelState, after: KernelState): string[] {
  const came = [...after].filter(thing => !before.has(thing))
  const went = [...before].filter(thing => !after.has(thing))
  return [...came, ...went.map(thing => `${thing} (gone)`)]
}

interface BpfObject {
  id: number
  name?: string
  type?: string
}

async function bpfObjects(inside: ReadonlySet<number>): Promise<string[]> {
  const foreign = heldOutside(inside)
  const list = async (kind: 'prog' | 'map' | 'link') => {
    const objects: BpfObject[] = JSON.parse(await run(['bpftool', '-j', kind, 'show']))
    return objects.map(({ id, name, type }) => ({ key: `${kind} ${id}`, line: `${kind} ${id} ${name ?? type}` }))
  }
  const all = await Promise.all([list('prog'), list('map'), list('link')])
  return all
    .flat()
    .filter(({ key }) => !foreign.has(key))
    .map(({ line }) => line)
}

/** BPF objects that processes outside these namespaces hold open, as `prog 12`. */
function heldOutside(inside: ReadonlySet<number>): Set<string> {
  const ours = new Set(processesIn(inside))
  const foreign = new Set<string>()
  for (const pid of readdirSync('/proc').filter(name => /^\d+$/.test(name) && !ours.has(Number(name)))) {
    for (const info of descriptors(pid))
      for (const [, kind, id] of info.matchAll(/^(prog|map|link)_id:\s*(\d+)$/gm)) foreign.add(`${kind} ${id}`)
  }
  return foreign
}

function descriptors(pid: string): string[] {
  try {
    const folder = `/proc/${pid}/fdinfo`
    return readdirSync(folder).map(fd => readIfThere(`${folder}/${fd}`))
  } catch {
    return []
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

async function hostState(host: Host): Promise<string[]> {
  const pins = lines(await host.run(['find', '/sys/fs/bpf', '-mindepth', '1']))
  const devices: Array<{ ifname: string }> = JSON.parse(await host.run(['ip', '-j', 'link', 'show']))
  const qdiscs: Array<{ kind: string; dev: string }> = JSON.parse(await host.run(['tc', '-j', 'qdisc', 'show']))
  return [
    ...pins.map(pin => `${host.name}: pin ${pin}`),
    ...devices.map(({ ifname }) => `${host.name}: device ${ifname}`),
    ...qdiscs.map(({ kind, dev }) => `${host.name}: qdisc ${kind} on ${dev}`),
    ...(await host.workloads()).map(name => `${host.name}: namespace ${name}`)
  ]
}

function lines(text: string): string[] {
  return text.split('\n').filter(Boolean)
}
