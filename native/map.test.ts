// SPDX-License-Identifier: Apache-2.0
// Entries of every type of map in use.

import { Worker } from 'node:worker_threads'
import { afterEach, describe, expect, test } from '@jest/globals'
import { type BpfMap, type Handle, type MapType, native } from '.'
import { compile, errorOf, frame, u32, u64, until } from './testing'

const { bpf } = native
const BPF_F_NO_PREALLOC = 1

const handles: Handle[] = []
afterEach(() => {
  for (const handle of handles.splice(0)) handle.close()
})
function opened<T extends Handle>(handle: T): T {
  handles.push(handle)
  return handle
}

const create = (type: MapType, more: Partial<Parameters<typeof bpf.createMap>[0]> = {}): BpfMap =>
  opened(bpf.createMap({ name: 'sample', type, keySize: 4, valueSize: 8, maxEntries: 100, ...more }))

const sorted = (entries: Array<[Buffer, Buffer]>) => entries.sort((a, b) => Buffer.compare(a[0], b[0]))

describe.each<[MapType, number]>([
  ['hash', 0],
  ['hash', BPF_F_NO_PREALLOC],
  ['lru_hash', 0]
])('%s with flags %d', (type, flags) => {
  test('keeps what was put and forgets what was deleted', () => {
    const map = create(type, { flags })
    expect(map.get(u32(1))).toBeUndefined()
    map.put(u32(1), u64(10))
    map.put(u32(2), u64(20))
    map.put(u32(1), u64(11))
    expect(map.get(u32(1))).toEqual(u64(11))
    expect(sorted(map.entries())).toEqual([
      [u32(1), u64(11)],
      [u32(2), u64(20)]
    ])
    expect(map.delete(u32(1))).toBe(true)
    expect(map.delete(u32(1))).toBe(false)
    expect(map.keys()).toEqual([u32(2)])
  })

  test('puts only what is absent, or only what is present, where asked', () => {
    const map = create(type, { flags })
    expect(errorOf(() => map.put(u32(1), u64(1), 'ifPresent')).code).toBe('ENOENT')
    map.put(u32(1), u64(1), 'ifAbsent')
    expect(errorOf(() => map.put(u32(1), u64(2), 'ifAbsent')).message).toBe(
      'cannot write an entry of map "sample": the key is taken (EEXIST)'
    )
    map.put(u32(1), u64(3), 'ifPresent')
    expect(map.get(u32(1))).toEqual(u64(3))
  })

  test('reads and writes 10,000 entries in batches', () => {
    const map = create(type, { flags, maxEntries: 20000 })
    const entries = Array.from({ length: 10000 }, (_, i): [Buffer, Buffer] => [u32(i), u64(i * 2)])
    map.putAll(entries)
    expect(map.keys().length).toBe(10000)
    expect(new Map(map.entries().map(([key, value]) => [key.readUInt32LE(), value.readUInt32LE()])).get(1234)).toBe(2468)
  })
})

test('a full hash says so', () => {
  const map = create('hash', { maxEntries: 1 })
  map.put(u32(1), u64(1))
  expect(errorOf(() => map.put(u32(2), u64(1))).message).toContain('the map is full, or has no such index (E2BIG)')
  expect(errorOf(() => map.putAll([[u32(2), u64(1)]])).message).toContain('cannot write 1 entries of map "sample": the map is full')
})

test('an array has all its entries from the start, and deletes none', () => {
  const map = create('array', { maxEntries: 3 })
  map.put(u32(1), u64(5))
  map.putAll([[u32(2), u64(6)]])
  expect(map.entries()).toEqual([
    [u32(0), u64(0)],
    [u32(1), u64(5)],
    [u32(2), u64(6)]
  ])
  expect(errorOf(() => map.delete(u32(1))).code).toBe('EINVAL')
  expect(errorOf(() => map.put(u32(3), u64(5))).code).toBe('E2BIG')
})

describe.each<MapType>(['percpu_hash', 'percpu_array'])('%s', type => {
  test('has a value for each CPU, padded to 8 bytes', () => {
    const map = create(type, { valueSize: 4, maxEntries: 4 })
    const { cpus, valueSize } = map.info
    expect(valueSize).toBe(4)
    const value = Buffer.concat(Array.from({ length: cpus }, (_, cpu) => u64(cpu + 1)))
    map.put(u32(1), value)
    expect(map.get(u32(1))).toEqual(value)
    expect(map.entries()).toContainEqual([u32(1), value])
    map.putAll([[u32(2), value]])
    expect(map.get(u32(2))).toEqual(value)
    expect(errorOf(() => map.put(u32(1), u32(1))).message).toContain(`its value has ${8 * cpus} bytes, not 4`)
  })
})

test('an LPM trie finds the longest prefix', () => {
  const map = create('lpm_trie', { keySize: 8, flags: BPF_F_NO_PREALLOC })
  const prefix = (length: number, ...address: number[]) => Buffer.concat([u32(length), Buffer.from(address)])
  map.putAll([
    [prefix(8, 10, 0, 0, 0), u64(1)],
    [prefix(24, 10, 1, 2, 0), u64(2)],
    [prefix(0, 0, 0, 0, 0), u64(3)]
  ])
  expect(map.get(prefix(32, 10, 1, 2, 3))).toEqual(u64(2))
  expect(map.get(prefix(32, 10, 9, 9, 9))).toEqual(u64(1))
  expect(map.get(prefix(32, 192, 0, 2, 1))).toEqual(u64(3))
  expect(map.entries().length).toBe(3)
  expect(map.delete(prefix(8, 10, 0, 0, 0))).toBe(true)
  expect(map.delete(prefix(8, 10, 0, 0, 0))).toBe(false)
})

test.each<MapType>(['hash_of_maps', 'array_of_maps'])('%s holds maps of the pattern', type => {
  const inner = create('hash')
  const outer = create(type, { valueSize: 4, inner })
  outer.putMap(u32(1), inner)
  expect(outer.get(u32(1))).toEqual(u32(inner.info.id))
  const unlike = create('hash', { valueSize: 16 })
  expect(errorOf(() => outer.putMap(u32(2), unlike)).code).toBe('EINVAL')
})

test('a prog array leads from a constant slot to the program put there, and past it when the slot is empty', async () => {
  const source = `
	struct {
		__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
		__uint(max_entries, 1 << 20);
		__type(key, __u32);
		__type(value, __u32);
	} panel SEC(".maps");
	const volatile __u32 slot;
	SEC("tc") int enter(struct __sk_buff *skb) { bpf_tail_call_static(skb, &panel, 70000); return 1; }
	SEC("tc") int enter_by_rodata(struct __sk_buff *skb) { bpf_tail_call(skb, &panel, slot); return 1; }
	SEC("tc") int reached(struct __sk_buff *skb) { return 2; }`
  const object = opened(await bpf.load({ elf: compile(source), rodata: { slot: u32(70000) } }))
  const panel = object.maps.get('panel')!
  const reached = object.programs.get('reached')!
  const verdicts = () => ['enter', 'enter_by_rodata'].map(name => object.programs.get(name)!.testRun({ data: frame() }).verdict)

  expect(verdicts()).toEqual([1, 1])
  panel.putProgram(70000, reached)
  expect(verdicts()).toEqual([2, 2])
  expect(panel.get(u32(70000))).toEqual(u32(reached.info.id))
  expect(panel.entries()).toEqual([[u32(70000), u32(reached.info.id)]])
  expect(panel.deleteProgram(70000)).toBe(true)
  expect(panel.deleteProgram(70000)).toBe(false)
  expect(verdicts()).toEqual([1, 1])
  expect(errorOf(() => panel.putProgram(1 << 20, reached)).code).toBe('E2BIG')
})

test('a prog array that the object itself fills is filled at loading', async () => {
  const source = `
	int reached(struct __sk_buff *skb);
	struct {
		__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
		__uint(max_entries, 4);
		__type(key, __u32);
		__array(values, int(void *));
	} panel SEC(".maps") = { .values = { [2] = (void *)&reached } };
	SEC("tc") int enter(struct __sk_buff *skb) { bpf_tail_call_static(skb, &panel, 2); return 1; }
	SEC("tc") int reached(struct __sk_buff *skb) { return 2; }`
  const object = opened(await bpf.load({ elf: compile(source) }))
  expect(object.programs.get('enter')!.testRun({ data: frame() }).verdict).toBe(2)
})

describe('a ring buffer', () => {
  const SOURCE = `
	struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 1 << 16); } events SEC(".maps");
	SEC("tc") int tell(struct __sk_buff *skb)
	{
		__u32 length = skb->len;
		return bpf_ringbuf_output(&events, &length, sizeof(length), 0);
	}`

  test('calls back with each record, in order, until it is closed', async () => {
    const object = opened(await bpf.load({ elf: compile(SOURCE) }))
    const tell = (length: number) => object.programs.get('tell')!.testRun({ data: frame(length) })
    const records: number[] = []
    const watch = opened(bpf.ringBuffer(object.maps.get('events')!, record => records.push(record.readUInt32LE())))

    tell(100)
    await until(() => records.length === 1)
    tell(101)
    tell(102)
    await until(() => records.length === 3)
    expect(records).toEqual([100, 101, 102])
    watch.close()
    tell(103)
    await new Promise(resolve => setTimeout(resolve, 50))
    expect(records.length).toBe(3)
  })

  test('that is full leaves the event loop its turns while it is read', async () => {
    const LARGE = `
      struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 1 << 22); } events SEC(".maps");
      SEC("tc") int tell(struct __sk_buff *skb)
      {
        void *record = bpf_ringbuf_reserve(&events, 1024, 0);
        if (record)
          bpf_ringbuf_submit(record, 0);
        return record != 0;
      }`
    const object = opened(await bpf.load({ elf: compile(LARGE) }))
    const tell = () => object.programs.get('tell')!.testRun({ data: frame() }).verdict
    let told = 0
    while (tell()) told++
    let read = 0
    let turns = 0
    const turn = (): void => {
      turns++
      if (read < told) setImmediate(turn)
    }
    opened(bpf.ringBuffer(object.maps.get('events')!, () => read++))
    turn()
    await until(() => read === told)
    expect(told).toBeGreaterThan(4000)
    expect(turns).toBeGreaterThan(5)
  })

  test('may be closed by its own callback, and outlives the handle of its map', async () => {
    const object = opened(await bpf.load({ elf: compile(SOURCE) }))
    const records: number[] = []
    const watch = opened(
      bpf.ringBuffer(object.maps.get('events')!, record => {
        records.push(record.readUInt32LE())
        watch.close()
      })
    )
    object.maps.get('events')!.close()
    for (const length of [100, 101, 102]) object.programs.get('tell')!.testRun({ data: frame(length) })
    await until(() => watch.closed)
    expect(records).toEqual([100])
  })

  test('is refused for another type of map', () => {
    expect(errorOf(() => bpf.ringBuffer(create('hash'), () => {}))).toMatchObject({
      code: 'EINVAL',
      operation: 'read ring buffer map "sample"'
    })
  })
})

test.each<MapType>(['hash', 'lpm_trie'])('entries of a %s that stay are read once each while another thread writes', async type => {
  const keySize = type === 'lpm_trie' ? 8 : 4
  const map = create(type, { keySize, maxEntries: 20000, flags: BPF_F_NO_PREALLOC })
  const key = (i: number) => (type === 'lpm_trie' ? Buffer.concat([u32(32), u32(i)]) : u32(i))
  const staying = Array.from({ length: 5000 }, (_, i): [Buffer, Buffer] => [key(i), u64(i)])
  map.putAll(staying)

  const writer = new Worker(
    `const { workerData, parentPort } = require('node:worker_threads')
     const { native, id, type } = workerData
     const map = require(native).bpf.openMapById(id)
     const key = i => Buffer.concat([...(type === 'lpm_trie' ? [Buffer.from([32, 0, 0, 0])] : []), Buffer.from(Uint32Array.of(i).buffer)])
     parentPort.postMessage('writing')
     const end = Date.now() + 400
     for (let i = 0; Date.now() < end; i = (i + 1) % 4000) {
       map.put(key(10000 + i), Buffer.alloc(8))
       map.delete(key(10000 + ((i + 2000) % 4000)))
     }`,
    { eval: true, workerData: { native: require.resolve('./build/inkev.node'), id: map.info.id, type } }
  )
  const finished = new Promise(resolve => writer.once('exit', resolve))
  await new Promise(resolve => writer.once('message', resolve))

  let running = true
  void finished.then(() => {
    running = false
  })
  let rounds = 0
  for (; running; rounds++) {
    const keys = map.keys().map(bytes => bytes.readUInt32LE(keySize - 4))
    expect(new Set(keys).size).toBe(keys.length)
    expect(keys.filter(number => number < 5000).length).toBe(5000)
    await new Promise(resolve => setImmediate(resolve))
  }
  expect(rounds).toBeGreaterThan(0)
})

describe('wrong arguments', () => {
  test.each<[string, (map: BpfMap) => unknown, string]>([
    ['a short key', map => map.get(Buffer.alloc(3)), 'cannot use map "sample": its key has 4 bytes, not 3 (EINVAL)'],
    ['a long value', map => map.put(u32(1), Buffer.alloc(9)), 'cannot use map "sample": its value has 8 bytes, not 9 (EINVAL)'],
    ['no bytes', map => map.get('1234' as never), 'cannot read argument "key": it is not a Uint8Array (EINVAL)'],
    [
      'an unknown mode',
      map => map.put(u32(1), u64(1), 'maybe' as never),
      'cannot read argument "mode": it is not any, ifAbsent or ifPresent (EINVAL)'
    ],
    ['a map for a program', map => map.putProgram(1, map as never), 'cannot read argument "program": it is not a Program (EINVAL)'],
    ['a fraction for a slot', map => map.deleteProgram(1.5), 'cannot read argument "slot": it is not an unsigned 32-bit integer (EINVAL)'],
    ['an unknown type', () => create('tree' as never), 'cannot create a map of type "tree": no such type (EINVAL)']
  ])('%s is refused', (_, call, message) => {
    const map = create('hash')
    expect(errorOf(() => call(map)).message).toBe(message)
  })
})

describe('entries copied to another map', () => {
  const COPIED: MapType[] = ['hash', 'lru_hash', 'array', 'percpu_hash', 'percpu_array', 'lru_percpu_hash']

  test.each(COPIED)('of type %s keep the bytes that both have, with zeros behind them', type => {
    const [from, to] = [create(type, { valueSize: 8 }), create(type, { valueSize: 24, maxEntries: 200 })]
    const forEachCpu = (value: Buffer) => Buffer.concat(Array<Buffer>(type.includes('percpu') ? from.info.cpus : 1).fill(value))
    from.put(u32(1), forEachCpu(u64(7)))
    from.copyTo(to, 4)
    expect(to.get(u32(1))).toEqual(forEachCpu(Buffer.concat([u32(7), Buffer.alloc(20)])))
  })

  test('of an array that has more elements are left out', () => {
    const [from, to] = [create('array'), create('array', { maxEntries: 2 })]
    from.put(u32(1), u64(5))
    from.copyTo(to, 8)
    expect(to.get(u32(1))).toEqual(u64(5))
  })

  test('that another hash has no room for are an error, as is one of another key', () => {
    const [from, small] = [create('hash'), create('hash', { maxEntries: 1 })]
    from.put(u32(1), u64(1))
    from.put(u32(2), u64(2))
    expect(errorOf(() => from.copyTo(small, 8)).code).toBe('E2BIG')
    expect(errorOf(() => from.copyTo(create('hash', { keySize: 8 }), 8)).code).toBe('EINVAL')
  })

  test('may be copied when all programs have come to their end', () => {
    expect(bpf.settle()).toBeUndefined()
  })
})
