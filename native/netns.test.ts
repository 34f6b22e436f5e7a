// SPDX-License-Identifier: Apache-2.0
// Network namespaces.

import { execFileSync } from 'node:child_process'
import { existsSync, readlinkSync, statSync } from 'node:fs'
import { afterEach, describe, expect, test } from '@jest/globals'
import { type Handle, type Netns, native } from '.'
import { errorOf, uniqueName } from './testing'

const { net } = native

const names: string[] = []
const handles: Handle[] = []
afterEach(() => {
  for (const handle of handles.splice(0)) handle.close()
  for (const name of names.splice(0)) net.deleteNetns(name)
})

function create(): { name: string; netns: Netns } {
  const name = uniqueName()
  const netns = net.createNetns(name)
  names.push(name)
  handles.push(netns)
  return { name, netns }
}

test('a namespace is created where ip looks for it, and is the one of no process', () => {
  const own = readlinkSync('/proc/self/ns/net')
  const { name, netns } = create()
  expect(netns.inode).toBe(BigInt(statSync(`/run/netns/${name}`).ino))
  expect(execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' })).toContain(name)
  expect(execFileSync('ip', ['-n', name, '-o', 'link'], { encoding: 'utf8' })).toMatch(/^1: lo: /)
  expect(readlinkSync('/proc/self/ns/net')).toBe(own)
})

test('a namespace that ip made is opened, by name or by process', () => {
  const name = uniqueName()
  names.push(name)
  execFileSync('ip', ['netns', 'add', name])
  const netns = net.openNetns(`/var/run/netns/${name}`)
  handles.push(netns)
  expect(netns.inode).toBe(BigInt(statSync(`/run/netns/${name}`).ino))
  const own = net.openNetns(`/proc/${process.pid}/ns/net`)
  handles.push(own)
  expect(own.inode).toBe(BigInt(statSync('/proc/self/ns/net').ino))
})

test('a namespace is deleted once, ends its devices, and leaves no file', () => {
  const { name, netns } = create()
  const outside = net.open()
  handles.push(outside)
  outside.createVeth({ name, peerName: 'eth0', peerNetns: netns })
  netns.close()
  expect(net.deleteNetns(name)).toBe(true)
  expect(net.deleteNetns(name)).toBe(false)
  expect(existsSync(`/run/netns/${name}`)).toBe(false)
  for (let i = 0; i < 200 && outside.link(name); i++) execFileSync('sleep', ['0.01']) // the kernel does it in its own time
  expect(outside.link(name)).toBeUndefined()
})

describe('refused is', () => {
  test('a name that is taken', () => {
    const { name } = create()
    expect(errorOf(() => net.createNetns(name)).message).toBe(`cannot create network namespace "${name}": name is taken (EEXIST)`)
  })

  test.each(['', '.', '..', 'a/b', 'x'.repeat(300)])('the name "%s"', name => {
    expect(errorOf(() => net.createNetns(name)).code).toBe('EINVAL')
    expect(errorOf(() => net.deleteNetns(name)).code).toBe('EINVAL')
  })

  test.each([
    ['/proc/self/ns/mnt', 'EINVAL', 'it is not a network namespace'],
    ['/etc/passwd', 'EINVAL', 'it is not a network namespace'],
    ['/run/netns/there-is-none', 'ENOENT', 'no such file or directory']
  ])('to open %s', (path, code, reason) => {
    expect(errorOf(() => net.openNetns(path))).toMatchObject({
      code,
      message: `cannot open network namespace ${path}: ${reason} (${code})`
    })
  })
})
