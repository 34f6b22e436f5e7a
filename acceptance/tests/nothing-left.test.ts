// SPDX-License-Identifier: Apache-2.0
// The whole kernel before and after: programs, maps, links, pins, devices, qdiscs, namespaces and processes.

import { existsSync } from 'node:fs'
import { afterAll, expect, test } from '@jest/globals'
import type { Host } from '../lab/host'
import { bpfObjects, kernelState, whatIsLeft } from '../lab/kernel'
import { Lab } from '../lab/lab'
import { processesIn } from '../lab/namespaces'
import { run, until } from '../lab/process'
import { Terraform } from '../lab/terraform'

let lab: Lab | undefined

afterAll(() => lab?.down())

const nameOf = (object: string) => object.split(' ').slice(2).join(' ')
const keyOf = (object: string) => object.split(' ').slice(0, 2).join(' ')

/** Programs that are pinned on a host, and their maps: others on the machine may run inkev as well. */
async function keysOn(host: Host): Promise<string[]> {
  const programs: Array<{ id: number; pinned?: string[]; map_ids?: number[] }> = JSON.parse(
    await host.run(['bpftool', '-j', '-f', 'prog', 'show'])
  )
  const own = programs.filter(({ pinned }) => pinned && pinned.length > 0)
  return own.flatMap(({ id, map_ids = [] }) => [`prog ${id}`, ...map_ids.map(map => `map ${map}`)])
}

test('what apply brings into the kernel is gone after destroy, and the rest of a lab with the lab', async () => {
  lab = await Lab.up({ hosts: 2 })
  const namespaces = await lab.namespaceIds()
  const before = await kernelState(lab)
  const terraform = Terraform.ofExample('two-hosts', lab)
  await terraform.init()
  await terraform.apply()
  const keys = new Set((await Promise.all(lab.hosts.map(keysOn))).flat())
  const brought = (await bpfObjects()).filter(object => keys.has(keyOf(object)))
  const names = new Set(brought.map(nameOf))
  expect([...names]).toEqual(expect.arrayContaining(['router', 'bridge', 'firewall', 'uplink', 'panel']))

  await terraform.destroy()
  expect(await whatIsLeft(lab, before)).toEqual([])
  const remaining = async () => (await bpfObjects()).filter(object => brought.includes(object))
  await until(
    async () => (await remaining()).length === 0,
    10_000,
    async () => `BPF objects are left: ${await remaining()}`
  )

  await lab.down()
  expect(processesIn(namespaces)).toEqual([])
  expect(await run(['ip', 'netns', 'list'])).not.toContain(`${lab.name}-`)
  expect(await run(['cat', '/proc/self/mountinfo'])).not.toContain(lab.folder)
  expect(existsSync(lab.folder)).toBe(false)
})
