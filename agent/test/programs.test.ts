// SPDX-License-Identifier: Apache-2.0
// Programs of users on a real host: uploaded, run in a chain, refused with a reason, replaced while packets flow.

import { generateKeyPairSync, sign } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Host } from '@inkev/acceptance/lab/host'
import { type KernelState, kernelState, whatIsLeft } from '@inkev/acceptance/lab/kernel'
import { Lab } from '@inkev/acceptance/lab/lab'
import { sleep } from '@inkev/acceptance/lab/process'
import { MAP_TYPES } from '@inkev/bpf/catalogue/policy'
import { compileProgram, TEMPLATE, type Upload, uploadOf } from '@inkev/bpf/testing/program'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { packetsLost, port, put, removeAll, statusOf, web } from './client'

let lab: Lab
let host: Host
let before: KernelState

beforeAll(async () => {
  lab = await Lab.up({ hosts: 1 })
  host = lab.host('edge-1')
  before = await kernelState(lab)
}, 60_000)

afterEach(async () => {
  await removeAll(host)
  expect(await whatIsLeft(lab, before)).toEqual([])
})

afterAll(async () => {
  await lab?.down()
})

const limiter = uploadOf(compileProgram(TEMPLATE))

function compiled(...changes: [from: string, to: string][]): Upload {
  const source = changes.reduce((text, [from, to]) => {
    expect(text).toContain(from)
    return text.replace(from, to)
  }, TEMPLATE)
  return uploadOf(compileProgram(source))
}

/** Two ports of one network, the first behind a function of the program. */
async function limitWeb1(config: Record<string, string> = {}, program: Upload = limiter): Promise<void> {
  await put(host, 'programs/limiter', program)
  await put(host, 'networks/web', web)
  await put(host, 'functions/limit', { program: { name: 'limiter', config } })
  await put(host, 'ports/web1', { ...port('web', 'web1', 11), chain: ['limit'] })
  await put(host, 'ports/web2', port('web', 'web2', 12))
}

async function counters(): Promise<Record<string, number>> {
  return (await host.request('GET', '/v1/functions/limit/counters')).body
}

/** SHA-256 of the code that a function runs. */
async function codeOf(name: string): Promise<string | undefined> {
  return (await host.request('GET', `/v1/functions/${name}`)).body.status.code
}

describe('a program', () => {
  test('counts and drops packets in the chain of a port as its source says', async () => {
    await limitWeb1({ longest: '1000' })
    expect(await packetsLost(host, 'web1', '10.0.1.12')).toBe(0)
    expect(await packetsLost(host, 'web1', 'fd00:1::12')).toBe(0)
    expect(await counters()).toMatchObject({ too_long: 0, passed: expect.anything() })
    expect((await counters()).passed).toBeGreaterThanOrEqual(12)
    await host.workload('web1').attempt(['ping', '-n', '-c', '1', '-W', '1', '-s', '1200', '10.0.1.12'])
    expect(await counters()).toMatchObject({ too_long: 1 })
    expect((await host.request('GET', '/metrics')).body).toMatch(/inkev_program_too_long_total\{function="limit"\} 1/)
  })

  test('is shown with all that it declares, and without its code', async () => {
    await put(host, 'programs/limiter', limiter)
    const { body } = await host.request('GET', '/v1/programs/limiter')
    expect(body).toEqual({
      name: 'limiter',
      sha256: limiter.sha256,
      declares: {
        doc: 'Counts packets, and drops those that are too long.',
        ports: { inside: '', outside: '' },
        counters: { passed: 'Packets that passed.', too_long: 'Packets that were longer than allowed.' },
        config: { longest: { type: '__u32', doc: 'Longest frame that passes, in bytes.', default: '1514' } },
        tables: {}
      },
      status: { state: 'idle', reason: 'no function of this host runs it' }
    })
  })

  test('is uploaded twice as once, survives the agent, and cannot go while a function is made of it', async () => {
    expect((await put(host, 'programs/limiter', limiter)).status).toBe(201)
    expect((await put(host, 'programs/limiter', limiter)).status).toBe(200)
    await limitWeb1()
    await host.stopAgent('SIGKILL')
    await host.startAgent()
    expect(await packetsLost(host, 'web1', '10.0.1.12')).toBe(0)
    expect(await statusOf(host, 'programs/limiter')).toEqual({ state: 'active' })
    expect(await codeOf('limit')).toBe(limiter.sha256)
    expect((await host.request('DELETE', '/v1/programs/limiter')).body.error).toMatchObject({
      code: 'INKEV_ERR_IN_USE',
      message: 'program limiter is used by function limit'
    })
  })

  test('may come after the function that is made of it, which waits', async () => {
    await put(host, 'networks/web', web)
    await put(host, 'functions/limit', { program: { name: 'limiter' } })
    await put(host, 'ports/web1', { ...port('web', 'web1', 11), chain: ['limit'] })
    expect(await statusOf(host, 'functions/limit')).toEqual({ state: 'pending', reason: 'waits for program limiter' })
    await put(host, 'programs/limiter', limiter)
    expect(await statusOf(host, 'functions/limit')).toMatchObject({ state: 'active' })
    expect(await statusOf(host, 'ports/web1')).toEqual({ state: 'active' })
  })
})

describe('a function of a program', () => {
  test.each([
    [
      'a field that the program does not have',
      { config: { shortest: '1' } },
      'program.config.shortest',
      /no field of its configuration shortest/
    ],
    ['a value that is not of the type', { config: { longest: 'very' } }, 'program.config.longest', /"very" is not an integer/],
    ['a table that the program does not have', { tables: { hosts: { rows: {} } } }, 'program.tables.hosts', /no table hosts/]
  ])('is refused with %s', async (_, config, path, message) => {
    await put(host, 'programs/limiter', limiter)
    const { status, body } = await host.request('PUT', '/v1/functions/limit', { program: { name: 'limiter', ...config } })
    expect([status, body.error]).toEqual([
      422,
      expect.objectContaining({ code: 'INKEV_ERR_CONFIG', path, message: expect.stringMatching(message) })
    ])
  })
})

const MAP = `struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} seen SEC(".maps");

INKEV_FUNCTION(`
const REMEMBER: [string, string] = [
  'count(COUNTER(passed));',
  'count(COUNTER(passed));\n\t__u64 one = 1;\n\t__u32 key = skb->protocol;\n\tbpf_map_update_elem(&seen, &key, &one, BPF_ANY);'
]

/** Remembers of each EtherType (in network order) how many packets it had. */
function talkers(size: number, appended: string): Upload {
  const map = `struct talker {
	__u64 packets;
	__u32 last;${appended}
};
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ${size});
	__type(key, __u32);
	__type(value, struct talker);
} talkers SEC(".maps");

INKEV_FUNCTION(`
  const remember = `struct talker new = {}, *talker;
	__u32 key = skb->protocol;

	bpf_map_update_elem(&talkers, &key, &new, BPF_NOEXIST);
	talker = bpf_map_lookup_elem(&talkers, &key);
	if (talker)
		__sync_fetch_and_add(&talker->packets, 1);
	count(COUNTER(passed));`
  return compiled(['INKEV_FUNCTION(', map], ['count(COUNTER(passed));', remember])
}

/** Counts packets by their EtherType in a map of each type, `own_<type>`. */
function memories(size: number, appended: string, extra = ''): Upload {
  const maps = MAP_TYPES.map(
    type => `struct {
	__uint(type, BPF_MAP_TYPE_${type.toUpperCase()});
	__uint(max_entries, ${type.endsWith('array') ? 1 << 12 : size});${type === 'lpm_trie' ? '\n\t__uint(map_flags, BPF_F_NO_PREALLOC);' : ''}
	__type(key, ${type === 'lpm_trie' ? 'struct prefix' : '__u32'});
	__type(value, struct memory);
} own_${type.slice(0, 11)} SEC(".maps");
`
  )
  const records = `struct prefix {
	__u32 length;
	__u32 bits;
};
struct memory {
	__u64 packets;${appended}
};
${maps.join('\n')}
INKEV_FUNCTION(`
  const remember = MAP_TYPES.map(type => {
    const name = `own_${type.slice(0, 11)}`
    const key = type === 'lpm_trie' ? '&prefix' : '&key'
    return `	bpf_map_update_elem(&${name}, ${key}, &new, BPF_NOEXIST);
	memory = bpf_map_lookup_elem(&${name}, ${key});
	if (memory)
		__sync_fetch_and_add(&memory->packets, 1);
`
  })
  return compiled(
    ['INKEV_FUNCTION(', records],
    [
      'count(COUNTER(passed));',
      `struct memory new = {}, *memory;
	__u32 key = skb->protocol;
	struct prefix prefix = { 32, key };

${remember.join('')}
	count(COUNTER(passed));${extra && `\n\tcount(COUNTER(${extra}));`}`
    ]
  )
}

/** How many packets of IPv4 those maps know of, each on all CPUs. */
async function memory(): Promise<[type: string, packets: number][]> {
  const counted = MAP_TYPES.map(async (type): Promise<[string, number]> => {
    const { items } = (await host.request('GET', `/v1/functions/limit/tables/own_${type.slice(0, 11)}`)).body
    const { value } = items.find(({ key }: { key: number | { bits: number } }) => key === 8 || (key as { bits: number }).bits === 8)
    const values: { packets: number }[] = [value].flat()
    return [type, values.reduce((sum, { packets }) => sum + packets, 0)]
  })
  return Promise.all(counted)
}

/** Counts packets by their EtherType in a map that takes long to copy. */
function logbook(appended: string): Upload {
  const map = `struct entry {
	__u32 packets;${appended}
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1 << 17);
	__type(key, __u32);
	__type(value, struct entry);
} logbook SEC(".maps");

INKEV_FUNCTION(`
  const remember = `__u32 key = skb->protocol;
	struct entry *entry = bpf_map_lookup_elem(&logbook, &key);

	if (entry)
		__sync_fetch_and_add(&entry->packets, 1);
	count(COUNTER(passed));`
  return compiled(['INKEV_FUNCTION(', map], ['count(COUNTER(passed));', remember])
}

/** Ends the agent between the moment in which packets begin to wait and that in which the next version has them. */
async function killWhilePacketsWait(): Promise<void> {
  const pid = host.agentPid!
  const isWaiting = () => existsSync(`/proc/${pid}/root/sys/fs/bpf/inkev/functions/limit/former`)
  const end = performance.now() + 15_000
  while (!isWaiting() && performance.now() < end) await sleep(1)
  await sleep(3)
  process.kill(pid, 'SIGSTOP')
  expect(isWaiting()).toBe(true)
  await host.stopAgent('SIGKILL')
}

describe('the next version of a program', () => {
  test('replaces the code under a flood of packets, back and forth, and none is lost', async () => {
    await limitWeb1()
    const versions = [compiled(['skb->len > config->longest', 'skb->len >= config->longest']), limiter]
    const flood = packetsLost(host, 'web1', '10.0.1.12', 4000, 0.001)
    for (let n = 0; n < 10; n++) {
      await put(host, 'programs/limiter', versions[n % 2])
      expect(await codeOf('limit')).toBe(versions[n % 2]!.sha256)
    }
    expect(await flood).toBe(0)
    const { passed } = await counters()
    expect(passed).toBeGreaterThanOrEqual(8000)
  })

  test('takes over maps of equal layout, and is refused where a field is of another type', async () => {
    await limitWeb1({}, compiled(['INKEV_FUNCTION(', MAP], REMEMBER))
    expect(await packetsLost(host, 'web1', '10.0.1.12')).toBe(0)
    const other = compiled(['INKEV_FUNCTION(', MAP.replace('__u64', '__u32')], [REMEMBER[0], REMEMBER[1].replace('__u64', '__u32')])
    const { status, body } = await host.request('PUT', '/v1/programs/limiter', other)
    expect([status, body.error.code, body.error.message]).toEqual([
      422,
      'INKEV_ERR_LAYOUT',
      'map seen cannot be taken over: its value is of type __u32 now, and was of __u64'
    ])
    await put(host, 'programs/limiter', compiled(['INKEV_FUNCTION(', MAP]))
    const { items } = (await host.request('GET', '/v1/functions/limit/tables/seen')).body
    expect(items.length).toBeGreaterThan(0)
  })

  test('moves memory that grew, and back again, under a flood of packets: none is lost, and none is forgotten', async () => {
    const [small, grown] = [talkers(16, ''), talkers(64, '\n\t__u64 bytes;')]
    await limitWeb1({}, small)
    const flood = packetsLost(host, 'web1', '10.0.1.12', 3000, 0.001)
    for (let n = 0; n < 8; n++) await put(host, 'programs/limiter', n % 2 ? small : grown)
    await put(host, 'programs/limiter', grown)
    expect(await flood).toBe(0)
    const { items } = (await host.request('GET', '/v1/functions/limit/tables/talkers')).body
    const [{ value }] = items.filter(({ key }: { key: number }) => key === 8)
    expect(value).toEqual({ packets: 6000, last: 0, bytes: 0 })
    expect(await statusOf(host, 'functions/limit')).toMatchObject({ state: 'active' })
  })

  test('has what was remembered in maps of every type that the policy knows: taken over, moved as they grew, and moved back', async () => {
    const [first, equal, grown] = [memories(64, ''), memories(64, '', 'passed'), memories(128, '\n\t__u64 bytes;')]
    await limitWeb1({}, first)
    for (const version of [equal, grown, first]) {
      expect(await packetsLost(host, 'web1', '10.0.1.12')).toBe(0)
      await put(host, 'programs/limiter', version)
      expect(await statusOf(host, 'functions/limit')).toMatchObject({ state: 'active' })
    }
    expect(await memory()).toEqual(MAP_TYPES.map(type => [type, 18]))
  })

  test('is refused where a smaller map has no room for what is remembered: what ran runs on, and all is there', async () => {
    const [room, small] = [talkers(16, ''), talkers(1, '')]
    await limitWeb1({}, room)
    expect(await packetsLost(host, 'web1', '10.0.1.12')).toBe(0)
    expect(await packetsLost(host, 'web1', 'fd00:1::12')).toBe(0)
    const [passed, steady] = [(await counters()).passed!, packetsLost(host, 'web1', '10.0.1.12', 100, 0.01)]
    for (let n = 0; n < 2; n++) {
      const { status, body } = await host.request('PUT', '/v1/programs/limiter', small)
      expect([status, body.error]).toEqual([
        422,
        {
          code: 'INKEV_ERR_LAYOUT',
          message: expect.stringMatching(/^function limit: the memory of what runs could not be taken over: map talkers: .*full/),
          path: 'elf',
          hint: expect.stringMatching(/^Give the map room/)
        }
      ])
    }
    expect(await steady).toBe(0)
    expect(await statusOf(host, 'functions/limit')).toEqual({ state: 'active', code: room.sha256 })
    expect((await host.request('GET', '/v1/programs/limiter')).body.sha256).toBe(room.sha256)
    expect((await counters()).passed).toBeGreaterThanOrEqual(passed + 200)
  })

  test('is taken when the agent starts again, should it die while packets wait: until then the former one has them', async () => {
    await limitWeb1({}, logbook(''))
    expect(await packetsLost(host, 'web1', '10.0.1.12')).toBe(0)
    const steady = packetsLost(host, 'web1', '10.0.1.12', 300, 0.01)
    const upload = host.request('PUT', '/v1/programs/limiter', logbook('\n\t__u32 last;')).catch(() => {})
    await killWhilePacketsWait()
    await upload
    await sleep(1500)
    await host.startAgent()
    expect(await steady).toBe(0)
    expect(await codeOf('limit')).toBe(logbook('\n\t__u32 last;').sha256)
    const { items } = (await host.request('GET', '/v1/functions/limit/tables/logbook')).body
    expect(items[8].value).toEqual({ packets: 606, last: 0 })
  })

  test('is refused where a function that is made of it could not go on', async () => {
    await limitWeb1()
    const { body } = await host.request('PUT', '/v1/programs/limiter', compiled([' INKEV_DEFAULT("1514")', '']))
    expect(body.error).toMatchObject({
      code: 'INKEV_ERR_PROGRAM',
      message: expect.stringContaining('function limit does not fit it: config.longest: is missing')
    })
    expect(await packetsLost(host, 'web1', '10.0.1.12')).toBe(0)
  })
})

describe('a host whose policy asks for signatures', () => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const key = publicKey.export({ format: 'der', type: 'spki' }).toString('base64')
  const signed = (upload: Upload) => ({
    ...upload,
    signature: sign(null, Buffer.from(upload.elf, 'base64'), privateKey).toString('base64')
  })

  test('runs on what it has, and takes what one of its keys has signed', async () => {
    await limitWeb1()
    const policy = join(host.folder, 'policy.json')
    writeFileSync(policy, JSON.stringify({ keys: [key] }))
    await host.stopAgent('SIGKILL')
    await host.startAgent(['--program-policy', policy])
    expect((await host.request('GET', '/v1/host')).body.programs).toMatchObject({ uploads: true, keys: [key] })
    const next = compiled(['skb->len > config->longest', 'skb->len >= config->longest'])
    const { status, body } = await host.request('PUT', '/v1/programs/limiter', next)
    expect([status, body.error.code, body.error.path]).toEqual([422, 'INKEV_ERR_SIGNATURE', 'signature'])
    expect(await packetsLost(host, 'web1', '10.0.1.12')).toBe(0)
    expect((await put(host, 'programs/limiter', signed(next))).body).toMatchObject({ signature: signed(next).signature })
    expect(await statusOf(host, 'functions/limit')).toMatchObject({ state: 'active' })
    await host.stopAgent()
  })
})

describe('what is no program', () => {
  const refused = async (upload: Upload) => {
    const { status, body } = await host.request('PUT', '/v1/programs/limiter', upload)
    return [status, body.error.code, body.error.message]
  }

  test.each<[string, () => Upload, RegExp]>([
    ['text', () => uploadOf(Buffer.from('hello, world')), /not a 64-bit little-endian ELF/],
    ['an ELF of this machine', () => uploadOf(readFileSync('/bin/true')), /not of BPF/],
    ['an ELF cut short', () => uploadOf(Buffer.from(limiter.elf, 'base64').subarray(0, 20_000)), /is cut short or damaged/],
    ['an object without BTF', () => uploadOf(compileProgram(TEMPLATE, '-g0')), /no \.BTF section: compile it with -g/],
    [
      'a program for another hook',
      () => compiled(['INKEV_FUNCTION(limiter, skb)', 'SEC("xdp") int limiter(struct __sk_buff *skb)']),
      /section xdp, and must be in tc/
    ],
    [
      'two programs',
      () => compiled(['INKEV_FUNCTION(', 'INKEV_FUNCTION(other, skb)\n{\n\treturn drop(skb, CORE_MALFORMED);\n}\n\nINKEV_FUNCTION(']),
      /holds (other and limiter|limiter and other)/
    ],
    [
      'a map that leads to programs',
      () => compiled(['INKEV_FUNCTION(', MAP.replace('HASH', 'PROG_ARRAY')], REMEMBER),
      /map seen is of a type \(prog_array\)/
    ],
    [
      "a map of another function's",
      () => compiled(['INKEV_FUNCTION(', MAP.replace('seen', 'tunnels')], [REMEMBER[0], REMEMBER[1].replace('seen', 'tunnels')]),
      /map tunnels/
    ],
    [
      'a variable',
      () => compiled(['INKEV_FUNCTION(', '__u64 total;\n\nINKEV_FUNCTION('], ['count(COUNTER(passed));', 'total++;']),
      /variables that are not constant \(section \.bss\)/
    ],
    [
      'a counter with the name of one that all have',
      () => compiled(['inkev_counter passed', 'inkev_counter loop'], ['COUNTER(passed)', 'COUNTER(loop)']),
      /counter loop has the name/
    ]
  ])('%s is refused with a sentence', async (_, upload, message) => {
    expect(await refused(upload())).toEqual([422, 'INKEV_ERR_PROGRAM', expect.stringMatching(message)])
  })

  test.each<[string, () => Upload, RegExp]>([
    ['more than a megabyte', () => uploadOf(Buffer.alloc((1 << 20) + 1)), /has 1048577 bytes, and at most 1048576/],
    [
      'a helper that leads beyond the function',
      () => compiled(['count(COUNTER(passed));', 'bpf_printk("passed");']),
      /helper 6, which the policy does not allow/
    ]
  ])('%s is refused by the policy', async (_, upload, message) => {
    expect(await refused(upload())).toEqual([422, 'INKEV_ERR_POLICY', expect.stringMatching(message)])
  })

  test('comes not among others: a program needs a role of its own', async () => {
    const { body } = await host.request('POST', '/v1/bulk', [{ method: 'PUT', resource: 'programs', name: 'limiter', body: limiter }])
    expect(body.error).toMatchObject({ code: 'INKEV_ERR_SCHEMA', path: '0.resource' })
  })

  test('another ELF than its sum says is refused', async () => {
    expect(await refused({ ...limiter, sha256: '0'.repeat(64) })).toEqual([
      422,
      'INKEV_ERR_PROGRAM',
      expect.stringContaining(limiter.sha256)
    ])
  })

  test('what the verifier refuses is refused with its reason and the line of the source', async () => {
    const [status, code, message] = await refused(compiled(['skb->len > config->longest', '*(__u8 *)frame_start(skb) > config->longest']))
    expect([status, code]).toEqual([422, 'INKEV_ERR_VERIFIER'])
    expect(message).toMatch(/invalid access to packet.*own\.bpf\.c:\d+: .*frame_start/)
  })
})
