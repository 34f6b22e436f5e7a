// SPDX-License-Identifier: Apache-2.0
// GET /v1/captures/<function> of a real agent with real packets: what listeners get is read by a strict reader and by tshark, which is Wireshark's own engine.

import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Host } from '@inkev/acceptance/lab/host'
import { Lab } from '@inkev/acceptance/lab/lab'
import { RunningProgram, run, until } from '@inkev/acceptance/lab/process'
import { throughput } from '@inkev/acceptance/lab/traffic'
import { compileProgram, uploadOf } from '@inkev/bpf/testing/program'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { packetsLost, port, put, remove, web } from './client'
import { type ReadCapture, readPcapng } from './pcapng'

const tap = { mirror: { to: 'capture', protocol: 'icmp' } }

let lab: Lab
let host: Host
let folder: string
const opened: Listener[] = []

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'inkev-captures-'))
  lab = await Lab.up({ hosts: 1 })
  host = lab.host('edge-1')
  await put(host, 'networks/web', web)
  await put(host, 'functions/tap', tap)
  await put(host, 'ports/web1', { ...port('web', 'web1', 11), chain: ['tap'] })
  await put(host, 'ports/web2', port('web', 'web2', 12))
}, 60_000)
beforeEach(() => put(host, 'functions/tap', tap))
afterEach(() => {
  for (const listener of opened.splice(0)) listener.leave()
})
afterAll(async () => {
  await lab?.down()
  rmSync(folder, { recursive: true, force: true })
})

class Listener {
  private readonly chunks: Buffer[] = []
  private ended = false

  constructor(
    private readonly sent: ClientRequest,
    readonly response: IncomingMessage
  ) {
    opened.push(this)
    response.on('end', () => {
      this.ended = true
    })
    response.on('error', () => {})
  }

  /** Until this a listener is as slow as can be. */
  hear(): this {
    this.response.on('data', chunk => this.chunks.push(chunk))
    return this
  }

  /** What has come so far. */
  get capture(): ReadCapture {
    return readPcapng(Buffer.concat(this.chunks), { partial: true })
  }

  async packets(count: number): Promise<ReadCapture> {
    await until(
      () => this.capture.packets.length >= count,
      5_000,
      () => `${this.capture.packets.length} of ${count} packets have come`
    )
    return this.capture
  }

  /** The whole, once the agent has ended it. */
  async whole(): Promise<{ file: Buffer } & ReadCapture> {
    await until(
      () => this.ended,
      5_000,
      () => 'the capture does not end'
    )
    const file = Buffer.concat(this.chunks)
    return { file, ...readPcapng(file) }
  }

  leave(): void {
    this.sent.destroy()
  }
}

async function listen(query = '', name = 'tap'): Promise<Listener> {
  const sent = request({ socketPath: host.socket, path: `/v1/captures/${name}${query}` }).end()
  sent.on('error', () => {})
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  return new Listener(sent, response)
}

const ping = (address = '10.0.1.12', count = 2) => packetsLost(host, 'web1', address, count)
const types = ({ packets }: ReadCapture) => packets.map(({ interface: name, bytes }) => [name, bytes[34]])
const pings = [
  ['tap.inside', 8],
  ['tap.outside', 0],
  ['tap.inside', 8],
  ['tap.outside', 0]
]

const ETHERNET = 14

/** Shows fields of each packet, and of all whatever is malformed or whose checksum is wrong. */
function tshark(...fields: string[]): string[] {
  const shown = [...fields, '_ws.malformed'].flatMap(field => ['-e', field])
  return ['tshark', '-n', '-T', 'fields', '-E', 'separator=,', ...shown]
}

/** What Wireshark sees in a file. */
async function dissected(file: Buffer, ...fields: string[]): Promise<string[][]> {
  const path = join(folder, 'capture.pcapng')
  writeFileSync(path, file)
  const lines = (await run([...tshark(...fields), '-r', path]))
    .trim()
    .split('\n')
    .map(line => line.split(','))
  expect(lines.filter(line => line.at(-1) !== '')).toEqual([])
  return lines.map(line => line.slice(0, -1))
}

describe('a capture', () => {
  test('has the packets of both ports with their times, and ends with what became of them', async () => {
    const started = BigInt(Date.now()) * 1_000_000n
    const listener = (await listen('?packets=4')).hear()
    expect(listener.response.headers['content-type']).toBe('application/x-pcapng')
    expect(await ping()).toBe(0)
    const { interfaces, packets, ...capture } = await listener.whole()
    expect(types({ interfaces, packets })).toEqual(pings)
    expect(interfaces.map(({ name, snapLength }) => [name, snapLength])).toEqual(
      ['inside', 'outside', 'copy'].map(name => [`tap.${name}`, 65_535])
    )
    const times = packets.map(({ time }) => time)
    expect(times).toEqual(times.toSorted((a, b) => Number(a - b)))
    expect(times[0]).toBeGreaterThan(started)
    expect(times[3]).toBeLessThan(BigInt(Date.now() + 5) * 1_000_000n)
    const counted = { received: 2n, dropped: 0n, droppedBySystem: 0n, delivered: 2n, comment: 'as many packets as were asked for' }
    expect(interfaces[0]!.statistics).toEqual(counted)
    expect(interfaces[2]!.statistics).toMatchObject({ received: 0n })

    expect(await dissected(capture.file, 'frame.interface_name', 'frame.time_epoch', 'icmp.type')).toEqual(
      packets.map(({ interface: name, time, bytes }) => [name, `${time / 1_000_000_000n}.${`${time}`.slice(-9)}`, `${bytes[34]}`])
    )
  })

  test('is shown by tshark as it comes', async () => {
    const stream = `curl -sN --unix-socket ${host.socket} http://localhost/v1/captures/tap`
    const shown = new RunningProgram(['sh', '-c', `${stream} | ${tshark('frame.interface_name', 'icmp.type').join(' ')} -l -i -`], {
      limit: 30_000
    })
    try {
      await shown.says('Capturing on')
      expect(await ping('10.0.1.12', 1)).toBe(0)
      await shown.says('tap.inside,8,\ntap.outside,0,\n', 5_000)
    } finally {
      await shown.stop()
    }
  })

  test('has a train of segments as one packet, cut at 65,535 bytes', async () => {
    await put(host, 'functions/tap', { mirror: { to: 'capture', protocol: 'tcp', direction: 'egress' } })
    const listener = (await listen('?packets=200')).hear()
    expect(await throughput(host.workload('web1'), host.workload('web2'), '10.0.1.12', 1)).toBeGreaterThan(0)
    const { file, packets } = await listener.whole()
    expect(Math.max(...packets.map(({ length }) => length))).toBeGreaterThan(32_000)
    for (const { length, bytes } of packets) expect(bytes.length).toBe(Math.min(length, 65_535))
    const whole = await dissected(file, 'frame.len', 'ip.len')
    expect(whole).toEqual(packets.map(({ length }) => [`${length}`, `${length - ETHERNET}`]))
  })

  test('has as much of each packet as was asked for, and its whole length', async () => {
    await put(host, 'functions/tap', { mirror: { to: 'capture', protocol: 'icmpv6', snap_length: 62, direction: 'egress' } })
    const listener = (await listen('?packets=2')).hear()
    await ping('fd00:1::12')
    const { packets } = await listener.whole()
    expect(packets.every(({ bytes, length }) => bytes.length === 62 && length > 62)).toBe(true)
  })

  test('goes to several listeners, each with its own limits, and on when one of them leaves', async () => {
    const [one, two, three] = [(await listen()).hear(), (await listen('?packets=1')).hear(), (await listen()).hear()]
    expect(await ping()).toBe(0)
    expect(types(await one.packets(4))).toEqual(pings)
    expect(types(await two.whole())).toEqual(pings.slice(0, 1))
    one.leave()
    expect(await ping()).toBe(0)
    expect(types(await three.packets(8))).toEqual([...pings, ...pings])
  })

  test('begins with its listener: nothing is written before or after', async () => {
    const before = await chosen()
    const listener = (await listen('?packets=4')).hear()
    await ping()
    await listener.whole()
    await ping()
    expect((await chosen()) - before).toBe(4)
    const later = (await listen('?seconds=1')).hear()
    const { packets, interfaces } = await later.whole()
    expect(packets).toEqual([])
    expect(interfaces[0]!.statistics!.comment).toBe('the time that was asked for is over')
  })

  test('of a listener who does not listen is cut short, and that is told; the agent goes on', async () => {
    await put(host, 'functions/tap', { mirror: { to: 'capture' } })
    const slow = await listen()
    const flood = ['ping', '-qf', '-c', '20000', '-l', '100', '-s', '1400', '10.0.1.12']
    await host.workload('web1').attempt(flood, { limit: 20_000 })
    slow.hear()
    await until(
      () => slow.capture.packets.length > 1000,
      5_000,
      () => 'nothing comes'
    )
    await new Promise(resolve => setTimeout(resolve, 300))
    await ping()
    await until(
      () => slow.capture.packets.some(({ lost }) => lost > 0n),
      5_000,
      () => 'no packet says that others were lost'
    )
    await put(host, 'functions/tap', { mirror: { to: 'port' } })
    const [inside] = (await slow.whole()).interfaces
    const { received, dropped, droppedBySystem, delivered, comment } = inside!.statistics!
    expect(droppedBySystem).toBeGreaterThan(0n)
    expect(received).toBe(dropped + droppedBySystem + delivered)
    expect(comment).toBe('the configuration of the function was changed')
  }, 60_000)

  test('ends when its function goes, and when the agent stops', async () => {
    const listener = (await listen()).hear()
    await ping()
    await listener.packets(4)
    await put(host, 'ports/web1', port('web', 'web1', 11))
    expect((await listener.whole()).interfaces[0]!.statistics).toMatchObject({
      comment: 'function tap runs no more on this host',
      delivered: 2n
    })
    await put(host, 'ports/web1', { ...port('web', 'web1', 11), chain: ['tap'] })

    const other = (await listen()).hear()
    await ping()
    await other.packets(4)
    await host.stopAgent()
    expect((await other.whole()).interfaces[0]!.statistics).toMatchObject({ comment: 'the agent stops' })
    await host.startAgent()
  })

  test('that a killed agent has left is off when the next one starts', async () => {
    const listener = (await listen()).hear()
    await ping()
    await listener.packets(4)
    await host.stopAgent('SIGKILL')
    await ping()
    await host.startAgent()
    const before = await chosen()
    await ping()
    expect(await chosen()).toBe(before)
    const next = (await listen('?packets=4')).hear()
    await ping()
    expect(types(await next.whole())).toEqual(pings)
  })
})

/** A program of a user's, with a memory that is called as the state of captures is. */
const NAMESAKE = `#include <inkev/function.h>
INKEV_PORTS { inkev_port inside; inkev_port outside; };
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8);
	__type(key, __u64);
	__type(value, __u64);
} capture SEC(".maps");
INKEV_FUNCTION(namesake, skb)
{
	__u64 key = 0, seen = 1;

	bpf_map_update_elem(&capture, &key, &seen, BPF_ANY);
	return pass_through(skb, arrived_at(skb));
}
char LICENSE[] SEC("license") = "Dual BSD/GPL";
`

test('a program may call a map of its own as the state of captures is called: the next agent starts, and leaves it alone', async () => {
  await put(host, 'programs/namesake', uploadOf(compileProgram(NAMESAKE)))
  await put(host, 'functions/namesake', { program: { name: 'namesake' } })
  await put(host, 'ports/web2', { ...port('web', 'web2', 12), chain: ['namesake'] })
  await ping()
  await host.stopAgent('SIGKILL')
  await host.startAgent()
  const { body } = await host.request('GET', '/v1/functions/namesake/tables/capture')
  expect(body).toEqual({ items: [{ key: 0, value: 1 }] })
  await put(host, 'ports/web2', port('web', 'web2', 12))
  await remove(host, 'functions/namesake', 'programs/namesake')
})

/** Packets that the mirror has chosen since it was loaded. */
async function chosen(): Promise<number> {
  return (await host.request('GET', '/v1/functions/tap/counters')).body.chosen
}

describe('a capture is refused', () => {
  test.each([
    ['of a function that is not there', 'captures/none', 404, 'INKEV_ERR_NOT_FOUND'],
    ['of a function that does not run', 'captures/idle', 404, 'INKEV_ERR_NOT_FOUND'],
    ['of a function that captures nothing', 'captures/copies', 409, 'INKEV_ERR_NO_CAPTURE'],
    ['of a kind that cannot capture', 'captures/rules', 409, 'INKEV_ERR_NO_CAPTURE'],
    ['of no packets', 'captures/tap?packets=0', 422, 'INKEV_ERR_SCHEMA'],
    ['of half a second', 'captures/tap?seconds=0.5', 422, 'INKEV_ERR_SCHEMA'],
    ['with a limit that it does not know', 'captures/tap?bytes=5', 422, 'INKEV_ERR_SCHEMA']
  ])('%s', async (_, path, status, code) => {
    await put(host, 'functions/idle', tap)
    await put(host, 'functions/copies', { mirror: {} })
    await put(host, 'functions/rules', { firewall: {} })
    await put(host, 'ports/web2', { ...port('web', 'web2', 12), chain: ['copies', 'rules'] })
    const answer = await host.request('GET', `/v1/${path}`)
    expect([answer.status, answer.body.error.code]).toEqual([status, code])
    await put(host, 'ports/web2', port('web', 'web2', 12))
    await remove(host, 'functions/idle', 'functions/copies', 'functions/rules')
  })
})
