// SPDX-License-Identifier: Apache-2.0
// Attachment, and what outlives a process: pins.

import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { type BpfObject, type Link, type Netlink, native } from '.'
import { compile, errorOf, frame, u32, u64, uniqueName, until, withDirectory } from './testing'

const { bpf, net } = native

const elf = compile(`
const volatile __u64 step;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} packets SEC(".maps");

SEC("tc") int count(struct __sk_buff *skb)
{
	__u32 key = 0;
	__u64 *sum = bpf_map_lookup_elem(&packets, &key);

	if (sum)
		__sync_fetch_and_add(sum, step);
	return 0;
}`)

let object: BpfObject
beforeEach(async () => {
  object = await bpf.load({ elf, rodata: { step: u64(1) } })
})
afterEach(() => object.close())

const program = () => object.programs.get('count')!
const counted = () => object.maps.get('packets')!.get(u32(0))!.readUInt32LE()

describe('a tcx link', () => {
  let netlink: Netlink
  let name: string
  let ifindex: number
  const links: Link[] = []

  beforeEach(() => {
    netlink = net.open()
    name = uniqueName()
    const peerName = `${name}p`
    ifindex = netlink.createVeth({ name, peerName })
    netlink.setLink(ifindex, { up: true })
    netlink.setLink(netlink.link(peerName)!.ifindex, { up: true })
  })
  afterEach(() => {
    for (const link of links.splice(0)) link.close()
    netlink.deleteLink(name)
    netlink.close()
  })

  const attach = (direction: 'ingress' | 'egress' = 'ingress'): Link => {
    const link = program().attachTcx(ifindex, direction)
    links.push(link)
    return link
  }
  /** Sends one frame out of the device, or into it out of its peer. */
  const send = (device: string) => {
    const script = `import socket; s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(("${device}", 0x88b5)); s.send(bytes(64))`
    execFileSync('python3', ['-c', script])
  }

  test('runs its program on packets of its direction until it is closed', () => {
    const link = attach()
    expect(link.info).toEqual({ id: link.info.id, programId: program().info.id, ifindex, direction: 'ingress' })
    expect(attach('egress').info.direction).toBe('egress')
    links.pop()!.close()

    const before = counted()
    send(`${name}p`)
    expect(counted()).toBeGreaterThan(before)
    link.close()
    const after = counted()
    send(`${name}p`)
    expect(counted()).toBe(after)
  })

  test('is listed on its device and among all links', async () => {
    const { id } = attach().info
    expect(bpf.queryTcx(ifindex, 'ingress')).toEqual([{ linkId: id, programId: program().info.id }])
    expect(bpf.queryTcx(ifindex, 'egress')).toEqual([])
    expect(bpf.linkIds()).toContain(id)
    expect(bpf.linkInfo(id)).toEqual(links[0]!.info)
  })

  test('lets one program follow another in order', async () => {
    const other = await bpf.load({ elf })
    const first = attach()
    const second = other.programs.get('count')!.attachTcx(ifindex, 'ingress')
    links.push(second)
    expect(bpf.queryTcx(ifindex, 'ingress').map(entry => entry.linkId)).toEqual([first.info.id, second.info.id])
    other.close()
  })

  test('changes its program in place', async () => {
    const link = attach()
    const { id } = link.info
    const next = await bpf.load({ elf, rodata: { step: u64(1000) }, reuse: { packets: object.maps.get('packets')! } })
    link.update(next.programs.get('count')!)
    send(`${name}p`)
    expect(counted()).toBeGreaterThanOrEqual(1000)
    expect(link.info).toMatchObject({ id, programId: next.programs.get('count')!.info.id })
    next.close()
    send(`${name}p`)
    expect(counted()).toBeGreaterThanOrEqual(2000)
  })

  test('is detached at once, also twice, and says so when it is updated then', () => {
    const link = attach()
    link.detach()
    link.detach()
    expect(bpf.queryTcx(ifindex, 'ingress')).toEqual([])
    expect(link.info.ifindex).toBe(0)
    expect(errorOf(() => link.update(program())).message).toContain('the link is detached (ENOLINK)')
  })

  test('survives the end of its device, and detaching after that is no error', () => {
    const link = attach()
    netlink.deleteLink(ifindex)
    expect(link.info).toMatchObject({ ifindex: 0, direction: 'ingress' })
    link.detach()
    link.close()
  })

  test('cannot have a program twice, nor a device that is not there', () => {
    attach()
    expect(errorOf(() => attach()).message).toBe(
      `cannot attach program "count" to ingress of interface ${ifindex}: the program is attached there already (EEXIST)`
    )
    expect(errorOf(() => program().attachTcx(0x7fffffff, 'ingress')).code).toBe('ENODEV')
    expect(errorOf(() => program().attachTcx(ifindex, 'sideways' as never)).code).toBe('EINVAL')
  })
})

describe('clsact', () => {
  let netlink: Netlink
  let place: { ifindex: number; direction: 'ingress' | 'egress'; priority: number }
  beforeEach(() => {
    netlink = net.open()
    const name = uniqueName()
    place = { ifindex: netlink.createVeth({ name, peerName: `${name}p` }), direction: 'egress', priority: 7 }
  })
  afterEach(() => {
    netlink.deleteLink(place.ifindex)
    netlink.close()
  })

  test('holds a program at a place, replaces it, and is gone without a trace', async () => {
    const next = await bpf.load({ elf })
    expect(bpf.queryClsact(place)).toBeUndefined()
    expect(bpf.attachClsact(program(), place)).toBe(true)
    expect(bpf.queryClsact(place)).toBe(program().info.id)
    expect(bpf.attachClsact(next.programs.get('count')!, place)).toBe(false)
    expect(bpf.queryClsact(place)).toBe(next.programs.get('count')!.info.id)
    expect(bpf.queryClsact({ ...place, direction: 'ingress' })).toBeUndefined()
    expect(bpf.queryClsact({ ...place, priority: 8 })).toBeUndefined()
    expect(bpf.detachClsact(place)).toBe(true)
    expect(bpf.detachClsact(place)).toBe(false)
    expect(bpf.deleteClsact(place.ifindex)).toBe(true)
    expect(bpf.deleteClsact(place.ifindex)).toBe(false)
    next.close()
  })

  test('of a device that is gone is absent, and cannot be attached to', () => {
    netlink.deleteLink(place.ifindex)
    expect(bpf.queryClsact(place)).toBeUndefined()
    expect(bpf.detachClsact(place)).toBe(false)
    expect(bpf.deleteClsact(place.ifindex)).toBe(false)
    expect(errorOf(() => bpf.attachClsact(program(), place)).code).toBe('ENODEV')
  })
})

describe('a pin', () => {
  const withBpffs = (use: (directory: string) => unknown) =>
    withDirectory(async directory => {
      native.mountBpffs(directory)
      try {
        await use(directory)
      } finally {
        native.umount(directory)
      }
    })

  test('lies on a bpffs, which can be told from another file system', async () => {
    await withBpffs(directory => {
      expect(native.isBpffs(directory)).toBe(true)
      expect(native.isBpffs('/')).toBe(false)
      expect(errorOf(() => native.isBpffs(join(directory, 'none'))).code).toBe('ENOENT')
      expect(errorOf(() => object.maps.get('packets')!.pin('/proc/nothing')).message).toContain(
        'cannot pin map "packets" at /proc/nothing: '
      )
    })
    expect(errorOf(() => native.umount('/proc/nothing')).code).toBe('ENOENT')
    expect(errorOf(() => native.mountBpffs('/proc/nothing')).code).toBe('ENOENT')
  })

  test('keeps a map, a program and a link, which are adopted from it', async () => {
    await withBpffs(async directory => {
      const path = (name: string) => join(directory, name)
      const netlink = net.open()
      const name = uniqueName()
      const ifindex = netlink.createVeth({ name, peerName: `${name}p` })
      try {
        const link = program().attachTcx(ifindex, 'ingress')
        const ids = [object.maps.get('packets')!.info.id, program().info.id, link.info.id]
        object.maps.get('packets')!.put(u32(0), u64(41))
        object.maps.get('packets')!.pin(path('map'))
        program().pin(path('program'))
        link.pin(path('link'))
        object.close()
        link.close()

        const map = bpf.openMap(path('map'))
        const adopted = bpf.openProgram(path('program'))
        const attached = bpf.openLink(path('link'))
        expect([map.info.id, adopted.info.id, attached.info.id]).toEqual(ids)
        expect(attached.info.ifindex).toBe(ifindex)
        adopted.testRun({ data: frame() })
        expect(map.get(u32(0))).toEqual(u64(42))

        for (const handle of [map, adopted, attached]) handle.close()
        expect(bpf.queryTcx(ifindex, 'ingress').map(entry => entry.linkId)).toEqual([ids[2]])
        rmSync(path('link'))
        await until(() => bpf.queryTcx(ifindex, 'ingress').length === 0)
      } finally {
        netlink.deleteLink(ifindex)
        netlink.close()
      }
    })
  })

  test('replaces nothing, and needs its directory', async () => {
    await withBpffs(directory => {
      const map = object.maps.get('packets')!
      const taken = join(directory, 'taken')
      map.pin(taken)
      expect(errorOf(() => program().pin(taken)).message).toBe(`cannot pin program "count" at ${taken}: the path is taken (EEXIST)`)
      const missing = join(directory, 'missing/map')
      expect(errorOf(() => map.pin(missing)).message).toBe(`cannot pin map "packets" at ${missing}: no such directory (ENOENT)`)
      mkdirSync(join(directory, 'missing'))
      map.pin(missing)
      expect(existsSync(missing)).toBe(true)
    })
  })

  test('of another kind of object is not opened', async () => {
    await withBpffs(directory => {
      const path = join(directory, 'pin')
      program().pin(path)
      expect(errorOf(() => bpf.openMap(path)).message).toBe(
        `cannot open pinned map ${path}: another kind of object is pinned there (EINVAL)`
      )
      expect(errorOf(() => bpf.openLink(path)).code).toBe('EINVAL')
      expect(errorOf(() => bpf.openProgram(join(directory, 'none'))).code).toBe('ENOENT')
    })
  })
})
