// SPDX-License-Identifier: Apache-2.0
// Loading objects and running their programs.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from '@jest/globals'
import { type BpfObject, type BpfTemplate, type ElfOptions, type InstanceOptions, type LoadOptions, native } from '.'
import { compile, errorOf, frame, rejectionOf, u32, u64, withDirectory } from './testing'

const { bpf } = native

const SOURCE = `
const volatile __u32 instance = 7;
const volatile struct { __u16 low, high; } range = { 1, 2 };
__u64 runs;
static volatile __u32 offset = 100;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} lengths_by_instance SEC(".maps");

SEC("tc") int remember_the_length(struct __sk_buff *skb)
{
	__u32 key = instance;
	__u64 length = skb->len;

	runs++;
	skb->mark = instance;
	bpf_map_update_elem(&lengths_by_instance, &key, &length, BPF_ANY);
	return instance + offset + range.high;
}

SEC("tc") int grow(struct __sk_buff *skb)
{
	return bpf_skb_change_tail(skb, skb->len + 10, 0);
}
`

const elf = compile(SOURCE)
const open: BpfObject[] = []
afterEach(() => {
  for (const object of open.splice(0)) object.close()
})

async function load(options: Partial<LoadOptions> = {}): Promise<BpfObject> {
  const object = await bpf.load({ elf, name: 'sample', ...options })
  open.push(object)
  return object
}

const run = (object: BpfObject) => object.programs.get('remember_the_length')!.testRun({ data: frame() })

describe('loading', () => {
  test('programs and maps are known by their full names, data sections by the name of the section', async () => {
    const object = await load()
    expect([...object.programs.keys()]).toEqual(['remember_the_length', 'grow'])
    expect([...object.maps.keys()].sort()).toEqual(['.bss', '.data', '.rodata', 'lengths_by_instance'])
    expect(object.maps.get('lengths_by_instance')!.info).toMatchObject({
      type: 'hash',
      name: 'lengths_by_inst',
      keySize: 4,
      valueSize: 8,
      maxEntries: 16
    })
  })

  test('an object loads from its bytes, under the name given', async () => {
    const object = await load({ name: 'router' })
    expect(object.maps.get('.rodata')!.info.name).toBe('router.rodata')
    expect(run(object).verdict).toBe(109)
  })

  test('an object loads from a file, under the name of the file', async () => {
    await withDirectory(async directory => {
      const path = join(directory, 'policer.bpf.o')
      writeFileSync(path, elf)
      const object = await load({ elf: path, name: undefined })
      expect(object.maps.get('.rodata')!.info.name).toBe('policer.rodata')
    })
  })

  test('constants are set before loading, in any section', async () => {
    const object = await load({ rodata: { instance: u32(20), range: Buffer.from([0, 0, 5, 0]), offset: u32(1000), runs: u64(41) } })
    expect(run(object).verdict).toBe(1025)
    expect(object.maps.get('.bss')!.get(u32(0))).toEqual(u64(42))
  })

  test('a constant that is not in the object, or has another size, is refused by name', async () => {
    const missing = await rejectionOf(load({ rodata: { instanz: u32(1) } }))
    expect(missing.message).toBe('cannot load object "sample": the object has no variable "instanz" (EINVAL)')
    const short = await rejectionOf(load({ rodata: { instance: Buffer.alloc(2) } }))
    expect(short.message).toBe('cannot load object "sample": variable "instance" has 4 bytes, not 2 (EINVAL)')
  })

  test('the number of entries can be set before creation', async () => {
    const object = await load({ maxEntries: { lengths_by_instance: 1 } })
    expect(object.maps.get('lengths_by_instance')!.info.maxEntries).toBe(1)
    expect((await rejectionOf(load({ maxEntries: { nothing: 1 } }))).message).toContain('no map "nothing"')
  })

  test('two objects share a map that one of them brought', async () => {
    const first = await load({ rodata: { instance: u32(1) } })
    const shared = first.maps.get('lengths_by_instance')!
    const second = await load({ rodata: { instance: u32(2) }, reuse: { lengths_by_instance: shared } })
    run(first)
    run(second)
    expect(second.maps.get('lengths_by_instance')!.info.id).toBe(shared.info.id)
    expect(shared.keys().sort(Buffer.compare)).toEqual([u32(1), u32(2)])
  })

  test('reuse of a map of another layout is refused, and both layouts are told', async () => {
    const other = bpf.createMap({ name: 'other', type: 'array', keySize: 4, valueSize: 4, maxEntries: 1 })
    const error = await rejectionOf(load({ reuse: { lengths_by_instance: other } }))
    other.close()
    expect(error.code).toBe('EINVAL')
    expect(error.message).toContain(
      'map "lengths_by_instance" is hash with keys of 4 and values of 8 bytes, the given one is array with keys of 4 and values of 4 bytes'
    )
  })

  test("a program that the verifier refuses brings the verifier's log", async () => {
    const bad = compile('SEC("tc") int reads_beyond(struct __sk_buff *skb) { return *(int *)(long)skb->data; }')
    const error = await rejectionOf(load({ elf: bad, name: 'bad' }))
    expect(error).toMatchObject({ name: 'NativeError', code: 'EACCES', errno: 13, operation: 'load object "bad"' })
    expect(error.message).toBe('cannot load object "bad": permission denied (EACCES)')
    expect(error.log).toContain('invalid access to packet')
  })

  test('a long log of the verifier is whole', async () => {
    const talkative = compile(`
	SEC("tc") int talks(struct __sk_buff *skb)
	{
		__u32 sum = 0;
		_Pragma("clang loop unroll(disable)")
		for (int i = 0; i < 20000; i++)
			sum += *(volatile __u32 *)&skb->mark;
		return sum + *(int *)(long)skb->data;
	}`)
    const { log } = await rejectionOf(load({ elf: talkative }))
    expect(log!.length).toBeGreaterThan(1 << 20)
    expect(log).toContain('0: R1=ctx')
    expect(log).toContain('offset is outside of the packet')
  })

  test('what is no object, or is not there, is refused with a sentence', async () => {
    const missing = await rejectionOf(bpf.load({ elf: '/nonexistent.o' }))
    expect(missing).toMatchObject({ code: 'ENOENT', message: 'cannot load /nonexistent.o: no such file or directory (ENOENT)' })
    const garbage = await rejectionOf(bpf.load({ elf: Buffer.from('garbage'), name: 'upload' }))
    expect(garbage).toMatchObject({ code: 'EINVAL', message: 'cannot load object "upload": BPF object format invalid (EINVAL)' })
    expect(await rejectionOf(bpf.load({} as LoadOptions))).toMatchObject({ code: 'EINVAL' })
  })

  test('loading does not hold the event loop, and several loads run at once', async () => {
    let ticks = 0
    const timer = setInterval(() => ticks++, 1)
    await Promise.all(Array.from({ length: 20 }, () => load()))
    clearInterval(timer)
    expect(ticks).toBeGreaterThan(0)
  })
})

describe('a template', () => {
  const opened: BpfTemplate[] = []
  afterEach(() => {
    for (const template of opened.splice(0)) template.close()
  })

  function templateOf(options: Partial<ElfOptions> = {}): BpfTemplate {
    const template = bpf.template({ elf, name: 'sample', ...options })
    opened.push(template)
    return template
  }

  async function loaded(template: BpfTemplate, options: InstanceOptions = {}): Promise<BpfObject> {
    const object = await template.load(options)
    open.push(object)
    return object
  }

  test('makes the same of every load, and each load has maps of its own', async () => {
    const template = templateOf()
    const [first, second] = [await loaded(template), await loaded(template)]
    expect(run(second).verdict).toBe(109)
    expect(first.maps.get('.bss')!.get(u32(0))).toEqual(u64(0))
    expect(second.maps.get('.bss')!.get(u32(0))).toEqual(u64(1))
    expect([...second.programs.keys()]).toEqual([...first.programs.keys()])
    expect([...second.maps.keys()]).toEqual([...first.maps.keys()])
    for (const [name, map] of second.maps) expect(map.info).toEqual({ ...first.maps.get(name)!.info, id: map.info.id })
    const [one, other] = [first, second].map(object => object.programs.get('remember_the_length')!.info)
    expect(other).toMatchObject({ name: one!.name, tag: one!.tag, type: one!.type })
  })

  test('what one load sets is not there in the next', async () => {
    const template = templateOf()
    const set = { rodata: { instance: u32(20), runs: u64(41) }, maxEntries: { lengths_by_instance: 1 } }
    const objects = [await loaded(template, set), await loaded(template), await loaded(template, set)]
    expect(objects.map(object => run(object).verdict)).toEqual([122, 109, 122])
    expect(objects.map(({ maps }) => maps.get('lengths_by_instance')!.info.maxEntries)).toEqual([1, 16, 1])
    expect(objects.map(({ maps }) => maps.get('.bss')!.get(u32(0)))).toEqual([u64(42), u64(1), u64(42)])
    expect(errorOf(() => objects[2]!.maps.get('.rodata')!.put(u32(0), Buffer.alloc(8))).code).toBe('EPERM')
  })

  test('loads share a map', async () => {
    const template = templateOf()
    const shared = (await loaded(template)).maps.get('lengths_by_instance')!
    const second = await loaded(template, { rodata: { instance: u32(2) }, reuse: { lengths_by_instance: shared } })
    run(second)
    expect(shared.keys()).toEqual([u32(2)])
  })

  test('programs that the object declares in an array are in that of each load', async () => {
    const source = `
      SEC("tc") int called(struct __sk_buff *skb) { return 77; }
      struct {
        __uint(type, BPF_MAP_TYPE_PROG_ARRAY); __uint(max_entries, 2); __uint(key_size, 4);
        __array(values, int(void *));
      } calls SEC(".maps") = {.values = {[1] = (void *)&called}};
      SEC("tc") int caller(struct __sk_buff *skb) { bpf_tail_call(skb, &calls, 1); return 1; }`
    const template = templateOf({ elf: compile(source) })
    const objects = [await loaded(template), await loaded(template), await loaded(template)]
    const verdicts = objects.map(({ programs }) => programs.get('caller')!.testRun({ data: frame() }).verdict)
    expect(verdicts).toEqual([77, 77, 77])
  })

  test('immediates are replaced in the code of each load', async () => {
    const template = templateOf({ elf: compile('SEC("tc") int answer(struct __sk_buff *skb) { return 0x6b656e69; }') })
    const verdicts = []
    for (const number of [7, 8]) {
      const object = await loaded(template, { immediates: { 1801809513: number } })
      verdicts.push(object.programs.get('answer')!.testRun({ data: frame() }).verdict)
    }
    expect(verdicts).toEqual([7, 8])
  })

  test('a second has as many ticks as the kernel counts', async () => {
    const source = `
      SEC("tc") int tell(struct __sk_buff *skb)
      {
        __u64 *clocks = (void *)(long)skb->data;

        if (clocks + 2 <= (__u64 *)(long)skb->data_end) {
          clocks[0] = bpf_jiffies64();
          clocks[1] = bpf_ktime_get_ns();
        }
        return 0;
      }`
    const { programs } = await loaded(templateOf({ elf: compile(source) }))
    const read = () => programs.get('tell')!.testRun({ data: frame() }).data
    const start = read()
    await new Promise(resolve => setTimeout(resolve, 200))
    const end = read()
    const [ticked, passed] = [0, 8].map(at => Number(end.readBigUInt64LE(at) - start.readBigUInt64LE(at))) as [number, number]
    expect(Math.abs(((ticked / passed) * 1e9) / native.bpf.ticksInSecond - 1)).toBeLessThan(0.1)
  })

  test('a later load is refused as the first would be', async () => {
    const template = templateOf()
    await loaded(template)
    const missing = await rejectionOf(template.load({ rodata: { instanz: u32(1) } }))
    expect(missing.message).toBe('cannot load object "sample": the object has no variable "instanz" (EINVAL)')
    const source = `
      const volatile __u32 offset = 0;
      SEC("tc") int reads(struct __sk_buff *skb) { return offset ? *(int *)(long)skb->data : 0; }`
    const sometimes = templateOf({ elf: compile(source) })
    await loaded(sometimes)
    expect((await rejectionOf(sometimes.load({ rodata: { offset: u32(1) } }))).log).toContain('invalid access to packet')
  })

  test('loads under way outlive it, and it loads nothing after it is closed', async () => {
    const template = templateOf()
    const loads = [loaded(template), loaded(template)]
    template.close()
    for (const object of await Promise.all(loads)) expect(run(object).verdict).toBe(109)
    expect(errorOf(() => template.load({})).code).toBe('CLOSED')
  })
})

describe('a test run', () => {
  test('answers verdict, packet, context and time', async () => {
    const object = await load()
    const context = Buffer.alloc(192)
    const result = object.programs.get('remember_the_length')!.testRun({ data: frame(100), context, repeat: 100 })
    expect(result.verdict).toBe(109)
    expect(result.data).toEqual(frame(100))
    expect(result.context.readUInt32LE(8)).toBe(7) // mark
    expect(result.durationNs).toBeGreaterThan(0)
    expect(object.maps.get('lengths_by_instance')!.get(u32(7))).toEqual(u64(100))
  })

  test('passes the context to the program', async () => {
    const object = await load({ elf: compile('SEC("tc") int sum(struct __sk_buff *skb) { return skb->mark + skb->cb[2]; }') })
    const context = Buffer.alloc(192)
    context.writeUInt32LE(30, 8) // mark
    context.writeUInt32LE(4, 48 + 8) // cb[2]
    expect(object.programs.get('sum')!.testRun({ data: frame(), context }).verdict).toBe(34)
  })

  test('answers a packet that has grown', async () => {
    const object = await load()
    expect(object.programs.get('grow')!.testRun({ data: frame(64) })).toMatchObject({ verdict: 0, data: frame(74) })
  })

  test('refuses a packet shorter than an Ethernet header', async () => {
    const object = await load()
    const error = errorOf(() => object.programs.get('grow')!.testRun({ data: frame(4) }))
    expect(error).toMatchObject({ code: 'EINVAL', operation: 'run program "grow"' })
  })
})

test('the info of a program names its maps', async () => {
  const object = await load()
  const info = object.programs.get('remember_the_length')!.info
  expect(info).toMatchObject({ name: 'remember_the_le', type: 3 })
  expect(info.tag).toMatch(/^[0-9a-f]{16}$/)
  expect(info.loadTimeNs).toBeGreaterThan(0n)
  expect(info.mapIds).toContain(object.maps.get('lengths_by_instance')!.info.id)
  expect(bpf.programIds()).toContain(info.id)
  const again = bpf.openProgramById(info.id)
  expect(again.info).toEqual(info)
  again.close()
})
