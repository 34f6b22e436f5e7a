// SPDX-License-Identifier: Apache-2.0
// Everything that inkev could leave behind in the kernel, as lines that can be compared and read.

import { readdirSync, readFileSync } from 'node:fs'
import type { Host } from './host'
import type { Lab } from './lab'
import { processesIn } from './namespaces'
import { run, sleep } from './process'

/** One line per thing, such as `edge-1: device uplink`. */
export type KernelState = ReadonlySet<string>

/**
 * All that keeps anything of a lab alive: what its processes hold open, pins, devices, queueing disciplines (to which filters are attached)
 * and namespaces. Nothing of the machine's other users is in it.
 */
export async function kernelState(lab: Lab): Promise<KernelState> {
  const [held, ...states] = await Promise.all([objectsHeld(lab), ...lab.hosts.map(hostState)])
  return new Set([...held, ...states.flat()])
}

/** What came and what went since `before`; waits up to `settle` milliseconds until that is nothing, for the kernel frees things late. */
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

/** The ids and names of all BPF objects of the machine, whosever they are, as `prog 12 router`. */
export async function bpfObjects(): Promise<string[]> {
  const list = async (kind: 'prog' | 'map' | 'link') => {
    const objects: Array<{ id: number; name?: string; type?: string }> = JSON.parse(await run(['bpftool', '-j', kind, 'show']))
    return objects.map(({ id, name, type }) => `${kind} ${id} ${name ?? type}`)
  }
  return (await Promise.all([list('prog'), list('map'), list('link')])).flat()
}

/** The BPF objects that processes of the lab hold open. */
async function objectsHeld(lab: Lab): Promise<string[]> {
  const pids = processesIn(await lab.namespaceIds())
  return pids.flatMap(pid =>
    descriptors(pid).flatMap(info =>
      [...info.matchAll(/^(prog|map|link)_id:\s*(\d+)$/gm)].map(([, kind, id]) => `${kind} ${id} held by process ${pid}`)
    )
  )
}

function descriptors(pid: number): string[] {
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
  const pins = (await host.run(['find', '/sys/fs/bpf', '-mindepth', '1'])).split('\n').filter(Boolean)
  const devices: Array<{ ifname: string }> = JSON.parse(await host.run(['ip', '-j', 'link', 'show']))
  const qdiscs: Array<{ kind: string; dev: string }> = JSON.parse(await host.run(['tc', '-j', 'qdisc', 'show']))
  return [
    ...pins.map(pin => `${host.name}: pin ${pin}`),
    ...devices.map(({ ifname }) => `${host.name}: device ${ifname}`),
    ...qdiscs.map(({ kind, dev }) => `${host.name}: qdisc ${kind} on ${dev}`),
    ...(await host.workloads()).map(name => `${host.name}: namespace ${name}`)
  ]
}
