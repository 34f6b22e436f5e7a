// SPDX-License-Identifier: Apache-2.0
// The lab without agents: hosts reach each other, are apart from the machine, and leave nothing.

import { existsSync } from 'node:fs'
import { afterEach, describe, expect, test } from '@jest/globals'
import { Lab } from './lab'
import { run } from './process'

const labs: Lab[] = []

async function lab(hosts: number): Promise<Lab> {
  const created = await Lab.up({ hosts, agents: false, name: `t${process.pid}-${labs.length}` })
  labs.push(created)
  return created
}

afterEach(async () => {
  for (const created of labs) await created.down()
})

describe('a lab', () => {
  test.each([2, 3])('of %i hosts joins every pair, IPv4 and IPv6', async hosts => {
    const { hosts: all } = await lab(hosts)
    for (const from of all) {
      for (const to of all) {
        await from.run(['ping', '-c1', '-W2', to.vtep])
        await from.run(['ping', '-c1', '-W2', to.vtep6])
      }
    }
  })

  test('gives each host its own bpffs and its own names of namespaces', async () => {
    const { hosts } = await lab(2)
    const [first, second] = hosts
    await first!.addWorkload('web')
    await first!.run(['mkdir', '/sys/fs/bpf/mine'])
    expect(await first!.workloads()).toEqual(['web'])
    expect(await second!.workloads()).toEqual([])
    await expect(second!.run(['ls', '/sys/fs/bpf/mine'])).rejects.toThrow('No such file')
    expect(await run(['ip', 'netns', 'list'])).not.toMatch(/^web$/m)
  })

  test('that goes down ends every process in it, and leaves no namespace, mount or folder', async () => {
    const { hosts, name, folder } = await lab(1)
    const workload = await hosts[0]!.addWorkload('web')
    const server = workload.start(['sleep', '1000'])
    const local = hosts[0]!.start(['sleep', '1000'])
    await Lab.find(name)!.down()
    expect((await server.done).code).toBe(-1)
    expect((await local.done).code).toBe(-1)
    expect(await run(['ip', 'netns', 'list'])).not.toContain(name)
    expect(await run(['cat', '/proc/self/mountinfo'])).not.toContain(folder)
    expect(existsSync(folder)).toBe(false)
  })

  test('whose owner has died is swept away, and one that is kept is not', async () => {
    const [first, second] = [await lab(1), await lab(1)]
    first.keep()
    await run(['sh', '-c', `echo '{"pid": 999999999, "started": "1"}' > ${second.folder}/owner`])
    expect(await Lab.sweep()).toContain(second.name)
    expect(existsSync(second.folder)).toBe(false)
    expect(existsSync(first.folder)).toBe(true)
  })
})
