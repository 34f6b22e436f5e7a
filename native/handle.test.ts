// SPDX-License-Identifier: Apache-2.0
// One owner for each descriptor: closed twice, used after close, collected, or left to the end of the process.

import { execFileSync } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type BpfObject, type Handle, type Link, type Netlink, type Netns, native } from '.'
import { compile, errorOf, frame, u32, uniqueName } from './testing'

const { bpf, net } = native
const addon = require.resolve('./build/inkev.node')

const elf = compile(`
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } events SEC(".maps");
SEC("tc") int tell(struct __sk_buff *skb) { return bpf_ringbuf_output(&events, &skb, 4, 0); }`)

const name = uniqueName()
let object: BpfObject
let link: Link
let netns: Netns
let netlink: Netlink

beforeAll(async () => {
  object = await bpf.load({ elf })
  netns = net.createNetns(name)
  netlink = net.open(netns)
  const outside = net.open()
  const ifindex = outside.createVeth({ name, peerName: 'eth0', peerNetns: netns })
  link = object.programs.get('tell')!.attachTcx(ifindex, 'ingress')
  outside.deleteLink(ifindex)
  outside.close()
})
afterAll(() => {
  net.deleteNetns(name)
})

const map = (): ReturnType<typeof bpf.createMap> => bpf.createMap({ name: 'sample', type: 'hash', keySize: 4, valueSize: 4, maxEntries: 1 })

describe('a closed handle', () => {
  const program = () => object.programs.get('tell')!
  test.each<[string, () => Handle, Array<(handle: never) => unknown>]>([
    ['ring buffer watch', () => bpf.ringBuffer(object.maps.get('events')!, () => {}), []],
    ['link watch', () => netlink.watch(() => {}), []],
    [
      'map',
      map,
      [
        (m: ReturnType<typeof map>) => m.info,
        (m: ReturnType<typeof map>) => m.get(u32(1)),
        (m: ReturnType<typeof map>) => m.put(u32(1), u32(1)),
        (m: ReturnType<typeof map>) => m.delete(u32(1)),
        (m: ReturnType<typeof map>) => m.entries(),
        (m: ReturnType<typeof map>) => m.keys(),
        (m: ReturnType<typeof map>) => m.putAll([]),
        (m: ReturnType<typeof map>) => m.pin('/nowhere'),
        (m: ReturnType<typeof map>) => bpf.ringBuffer(m, () => {})
      ]
    ],
    [
      'program',
      () => bpf.openProgramById(program().info.id),
      [
        (p: ReturnType<typeof program>) => p.info,
        (p: ReturnType<typeof program>) => p.testRun({ data: frame() }),
        (p: ReturnType<typeof program>) => p.attachTcx(1, 'ingress'),
        (p: ReturnType<typeof program>) => link.update(p),
        (p: ReturnType<typeof program>) => object.maps.get('events')!.putProgram(0, p)
      ]
    ],
    ['link', () => link, [(l: Link) => l.info, (l: Link) => l.update(program()), (l: Link) => l.detach(), (l: Link) => l.pin('/nowhere')]],
    [
      'netlink socket',
      () => net.open(),
      [(n: Netlink) => n.links(), (n: Netlink) => n.sysctl('ipv4/ip_forward'), (n: Netlink) => n.watch(() => {})]
    ],
    ['network namespace', () => net.openNetns('/proc/self/ns/net'), [(n: Netns) => n.inode, (n: Netns) => net.open(n)]],
    ['object', () => object, [(o: BpfObject) => o.maps, (o: BpfObject) => o.programs]]
  ])('(%s) is closed again without harm, and refuses any other use', (_, open, uses) => {
    const handle = open()
    expect(handle.closed).toBe(false)
    handle.close()
    handle.close()
    expect(handle.closed).toBe(true)
    for (const use of uses) {
      const error = errorOf(() => use(handle as never))
      expect(error).toMatchObject({ name: 'NativeError', code: 'CLOSED' })
      expect(error.message).toMatch(/^cannot use .*: it was closed \(CLOSED\)$/)
    }
  })
})

test('closing an object closes its programs and maps, however they are held', async () => {
  const loaded = await bpf.load({ elf })
  const handles = [...loaded.programs.values(), ...loaded.maps.values()]
  loaded.close()
  expect(handles.map(handle => handle.closed)).toEqual(handles.map(() => true))
})

test('a handle is made by calls only', () => {
  const Class = (bpf.createMap({ name: 'sample', type: 'hash', keySize: 4, valueSize: 4, maxEntries: 1 }) as object)
    .constructor as new () => unknown
  expect(errorOf(() => new Class()).message).toContain('handles come from calls')
  const borrowed = map()
  expect(() => borrowed.get.call({} as never, u32(1))).toThrow()
  borrowed.close()
})

/** What a Node process of its own says that runs `script` with the addon as `native`, 10 s at most. */
const runNode = (script: string, input: string | Buffer = ''): string =>
  execFileSync(process.execPath, ['--expose-gc', '-e', `const native = require(${JSON.stringify(addon)}); ${script}`], {
    encoding: 'utf8',
    timeout: 10000,
    input
  }).trim()

const COUNTING = `
  const { readdirSync, readFileSync } = require('node:fs')
  const descriptors = () => readdirSync('/proc/self/fd').length
  const collect = async () => { for (let i = 0; i < 10; i++) { gc(); await new Promise(resolve => setTimeout(resolve, 10)) } }`

test('handles that are collected are closed', () => {
  const result = runNode(
    `${COUNTING}
    const elf = readFileSync(0)
    const use = async () => {
      for (let i = 0; i < 20; i++) {
        const object = await native.bpf.load({ elf })
        native.bpf.createMap({ name: 'sample', type: 'hash', keySize: 4, valueSize: 4, maxEntries: 1 })
        native.net.openNetns('/proc/self/ns/net')
        native.net.open().links()
        native.net.open().watch(() => {})
        native.bpf.ringBuffer(object.maps.get('events'), () => {})
      }
    }
    const main = async () => {
      const before = descriptors()
      await use()
      const during = descriptors()
      await collect()
      const after = descriptors()
      console.log(during - before > 100, after - before < 20)
    }
    main()`,
    elf
  )
  expect(result).toBe('true true')
})

test('what is still in use is not collected with the object it came with', () => {
  const result = runNode(
    `${COUNTING}
    const main = async () => {
      const map = (await native.bpf.load({ elf: readFileSync(0) })).maps.get('events')
      await collect()
      console.log(map.closed, map.info.name)
    }
    main()`,
    elf
  )
  expect(result).toBe('false events')
})

describe('a process', () => {
  test('ends by itself when its watches are closed', () => {
    expect(runNode(`const watch = native.net.open().watch(() => {}); setTimeout(() => { watch.close(); console.log('closed') }, 20)`)).toBe(
      'closed'
    )
  })

  test('that exits with open handles ends at once and in good order', () => {
    expect(
      runNode(`native.net.open().watch(() => {}); native.net.open(); setTimeout(() => { console.log('exits'); process.exit(0) }, 20)`)
    ).toBe('exits')
  })

  test('may load the addon in many threads, which end with open handles and while they load', () => {
    const thread = `const native = require(${JSON.stringify(addon)})
      const { workerData } = require('node:worker_threads')
      native.net.open().watch(() => {})
      setTimeout(() => { for (let i = 0; i < 10; i++) native.bpf.load({ elf: workerData }) }, 10)
      setTimeout(() => process.exit(), 15)`
    const script = `const { Worker } = require('node:worker_threads')
      const workerData = require('node:fs').readFileSync(0)
      for (let i = 0; i < 8; i++) new Worker(${JSON.stringify(thread)}, { eval: true, workerData })
      process.on('exit', () => console.log('ends'))`
    expect(runNode(script, elf)).toBe('ends')
  })

  test('that throws in a callback dies of the exception, not of a crash', () => {
    const script = `process.on('uncaughtException', error => { console.log(error.message); process.exit(0) })
      const name = ${JSON.stringify(uniqueName())}
      const netns = native.net.createNetns(name)
      native.net.deleteNetns(name)
      const netlink = native.net.open(netns)
      netlink.watch(event => { throw new Error('thrown for ' + event.name) })
      netlink.createBridge({ name: 'br0' })`
    expect(runNode(script)).toBe('thrown for br0')
  })
})
