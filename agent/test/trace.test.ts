// SPDX-License-Identifier: Apache-2.0
// Traces on two real hosts: what is told of a packet, and that nothing that runs has noticed it.

import { join } from 'node:path'
import type { Host } from '@inkev/acceptance/lab/host'
import { type KernelState, kernelState, whatIsLeft } from '@inkev/acceptance/lab/kernel'
import { Lab } from '@inkev/acceptance/lab/lab'
import type { FunctionKind } from '@inkev/bpf/catalogue/define'
import { exampleConfig } from '@inkev/bpf/catalogue/example'
import { validateConfig } from '@inkev/bpf/catalogue/validate'
import { kinds } from '@inkev/bpf/functions/index.gen'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { Step, TraceAnswer } from '../api/trace'
import { Objects } from '../src/kernel/objects'
import { requireCopyable } from '../src/kernel/shadow'
import { packetsLost, place, port, put, routeAcross } from './client'

let lab: Lab
let edge1: Host
let edge2: Host

/** Maps that all share; a trace makes them anew. */
const ROAD_MAPS = ['panel', 'instances', 'stitches', 'workloads', 'host', 'peers', 'tunnels']
const objects = new Objects(join(__dirname, '../../bpf/build'))

const rules = {
  firewall: {
    default_ingress: 'deny',
    rules: { postgres: { priority: 10, direction: 'ingress', action: 'allow', protocol: 'tcp', ports: '5432' } }
  }
}

beforeAll(async () => {
  lab = await Lab.up({ hosts: 2 })
  ;[edge1, edge2] = await routeAcross(lab)
  for (const host of lab.hosts) await put(host, 'functions/rules', rules)
  await place(edge1, edge2, 'web1', port('web', 'web1', 11))
  await place(edge1, edge2, 'web2', port('web', 'web2', 12))
  await place(edge1, edge2, 'db1', { ...port('db', 'db1', 11), chain: ['rules'] })
  await place(edge2, edge1, 'web3', port('web', 'web3', 13))
}, 60_000)

afterAll(() => lab?.down())

async function trace(packet: object, from: object = { port: 'web1' }): Promise<TraceAnswer> {
  const { status, body } = await edge1.request('POST', '/v1/trace', { from, packet })
  if (status !== 200) throw new Error(`${status} ${JSON.stringify(body)}\n${edge1.logTail()}`)
  return body
}

/** The kind's example, where one could be made that the kind takes. */
function configOf(kind: FunctionKind): Record<string, unknown> {
  const example = exampleConfig(kind)
  return validateConfig(kind, example).problems.length === 0 ? example : {}
}

/** Where the packet was, and what became of it there. */
function words({ steps }: TraceAnswer): string[] {
  return steps.map(({ at, port_in, port_out, verdict, to }) => [at, port_in, verdict, to, port_out].filter(Boolean).join(' '))
}

function step({ steps }: TraceAnswer, at: string): Step {
  return steps.find(step => step.at === at)!
}

const toDb = (destination: string, destination_port: number) => ({ ip: { destination }, tcp: { destination_port } })

describe('a packet to another network', () => {
  test('is told step by step, with what the router rewrote and the rule that let it in', async () => {
    const told = await trace(toDb('10.0.2.11', 5432))
    expect(words(told)).toEqual([
      'ports/web1 forwarded networks/web',
      'networks/web workloads forwarded functions/gateway stitches/gateway-web',
      'functions/gateway web forwarded networks/db db',
      'networks/db stitches/gateway-db forwarded functions/rules workloads',
      'functions/rules outside delivered ports/db1 inside'
    ])
    expect(told).toMatchObject({ verdict: 'delivered', to: 'ports/db1', truncated: false })
    expect(step(told, 'functions/gateway').changed).toMatchObject({ 'ipv4.ttl': '64 -> 63', 'eth.src': expect.stringContaining(' -> ') })
    expect(step(told, 'functions/rules')).toMatchObject({ kind: 'firewall', matched: ['postgres'], counted: { sessions_opened: 1 } })
  })

  test('that a rule refuses is dropped there, and the reason is told', async () => {
    const told = await trace(toDb('10.0.2.11', 22))
    expect(told).toMatchObject({ verdict: 'dropped', reason: 'denied', explanation: expect.stringContaining('refused in silence') })
    expect(told.steps.at(-1)).toMatchObject({ at: 'functions/rules', port_in: 'outside', matched: ['default ingress'], verdict: 'dropped' })
  })

  test('is told in IPv6 as in IPv4', async () => {
    expect(await trace(toDb('fd00:2::11', 5432))).toMatchObject({ verdict: 'delivered', to: 'ports/db1' })
    const refused = await trace({ ip: { destination: 'fd00:2::11' }, udp: { destination_port: 53 } })
    expect(refused).toMatchObject({ verdict: 'dropped', reason: 'denied' })
    expect(step(refused, 'functions/gateway').changed).toMatchObject({ 'ipv6.hop_limit': '64 -> 63' })
  })

  test.each(['10.0.2.11', 'fd00:2::11'])('as a fragment is judged by the first one of its packet (%s)', async destination => {
    const piece = (fragment: object) => trace({ ip: { destination, fragment }, tcp: { destination_port: 5432 }, payload_length: 24 })
    expect(await piece({})).toMatchObject({ verdict: 'delivered', to: 'ports/db1' })
    expect(await piece({ offset: 48, more_fragments: false })).toMatchObject({ verdict: 'dropped', reason: 'fragment' })
  })

  test('whose time is over is answered by the router', async () => {
    const told = await trace({ ip: { destination: '10.0.2.11', ttl: 1 }, icmp: {} })
    expect(told).toMatchObject({ verdict: 'delivered', to: 'ports/web1' })
    expect(step(told, 'functions/gateway').changed).toMatchObject({ 'icmp.type': '8 -> 11' })
  })

  test('to which there is no route is answered by the router', async () => {
    const told = await trace({ ip: { destination: '192.0.2.1' }, icmp: {} })
    expect(step(told, 'functions/gateway')).toMatchObject({ counted: { no_route: 1 }, changed: { 'icmp.type': '8 -> 3' } })
    expect(told).toMatchObject({ verdict: 'delivered', to: 'ports/web1' })
  })
})

describe('a packet to another host', () => {
  test('is told to the mouth of the tunnel', async () => {
    const told = await trace({ ip: { destination: '10.0.1.13' }, udp: { destination_port: 53 } })
    expect(told).toMatchObject({ verdict: 'tunnelled', to: 'hosts/edge-2' })
    expect(told.steps.at(-1)).toMatchObject({ at: 'core/overlay', vni: 100 })
  })

  test('that is too large for the way is told to draw an error', async () => {
    const told = await trace({ ip: { destination: '10.0.1.13' }, udp: { destination_port: 53 }, payload_length: 1800 })
    expect(step(told, 'core/overlay')).toMatchObject({ counted: { too_big: 1 }, changed: { 'icmp.mtu': 'none -> 1450' } })
    expect(told).toMatchObject({ verdict: 'delivered', to: 'ports/web1' })
  })

  test.each([
    { transport: 'tcp', protocol: 'IPv4', destination: '10.0.1.13' },
    { transport: 'udp', protocol: 'IPv6', destination: 'fd00:1::13' }
  ])(
    'as a train ($transport, $protocol) passes whole where its segments fit, and else draws an error',
    async ({ transport, destination }) => {
      const train = { ip: { destination }, [transport]: { destination_port: 53 }, payload_length: 1900 }
      expect(await trace({ ...train, segment_size: 1300 })).toMatchObject({ verdict: 'tunnelled', to: 'hosts/edge-2' })
      const told = await trace({ ...train, segment_size: 1440 })
      expect(step(told, 'core/overlay').counted).toMatchObject({ too_big: 1 })
      expect(told).toMatchObject({ verdict: 'delivered', to: 'ports/web1' })
    }
  )

  test('is told from the tunnel on where it comes from there', async () => {
    const packet = { ip: { source: '10.0.1.13', destination: '10.0.1.12' }, icmp: {} }
    const told = await trace(packet, { host: 'edge-2', network: 'web' })
    expect(words(told)).toEqual(['hosts/edge-2 forwarded networks/web', 'networks/web overlay delivered ports/web2 workloads'])
  })
})

describe('a packet for all', () => {
  test('is told with every copy of it', async () => {
    const told = await trace({ ethernet: { destination: '02:00:00:00:00:99' }, ip: { destination: '10.0.1.99' } })
    expect(told).toMatchObject({ verdict: 'copied' })
    expect(words(told)).toEqual(
      expect.arrayContaining([
        'networks/web workloads copied',
        'networks/web delivered ports/web2',
        'networks/web forwarded functions/gateway',
        'networks/web tunnelled hosts/edge-2'
      ])
    )
    expect(words(told)).not.toContain('networks/web delivered ports/web1')
  })

  test('that asks for a known address is answered on the spot', async () => {
    const told = await trace({ arp: { target_ip: '10.0.1.12' } })
    expect(told).toMatchObject({ verdict: 'delivered', to: 'ports/web1' })
    expect(step(told, 'networks/web')).toMatchObject({ counted: { suppressed: 1 }, changed: { 'arp.operation': '1 -> 2' } })
  })
})

describe('the catalogue', () => {
  test.each(Object.entries(kinds))('has tables of kind %s that a trace can copy', (name, kind) => {
    const { spec } = objects.get(name)
    const sizes = kind.sizes?.(configOf(kind) as never) ?? {}
    const maps = [...spec.maps].filter(([map]) => !ROAD_MAPS.includes(map))
    const live = maps.map(([map, { maxEntries, ...rest }]) => [map, { info: { ...rest, maxEntries: sizes[map] ?? maxEntries } }] as const)
    expect(() => requireCopyable(`functions/${name}`, new Map(live))).not.toThrow()
  })
})

describe('what cannot be traced', () => {
  const udp = { destination_port: 53 }
  test.each([
    [{ ip: { destination: '10.0.1.12' }, udp, icmp: {} }, 422, 'INKEV_ERR_SCHEMA', 'packet'],
    [{ ip: { source: 'fd00:1::1', destination: '10.0.1.12' }, udp }, 422, 'INKEV_ERR_SCHEMA', 'packet.ip.source'],
    [{ ip: { destination: '10.0.1.99' }, udp }, 422, 'INKEV_ERR_SCHEMA', 'packet.ethernet.destination'],
    [{ ip: { destination: '10.0.1.12' }, tcp: { destination_port: 1, flags: 'X' } }, 422, 'INKEV_ERR_SCHEMA', 'packet.tcp.flags'],
    [{ ip: { destination: '10.0.1.12' }, udp, length: 1 }, 422, 'INKEV_ERR_SCHEMA', 'packet.length'],
    [
      { ip: { destination: '10.0.1.12' }, icmp: {}, payload_length: 900, segment_size: 500 },
      422,
      'INKEV_ERR_SCHEMA',
      'packet.segment_size'
    ],
    [{ ip: { destination: '10.0.1.12' }, udp, payload_length: 500, segment_size: 500 }, 422, 'INKEV_ERR_SCHEMA', 'packet.segment_size'],
    [{ ip: { destination: '10.0.1.12', fragment: { offset: 5 } }, udp }, 422, 'INKEV_ERR_SCHEMA', 'packet.ip.fragment.offset'],
    [{ ip: { destination: '10.0.1.12', fragment: { more_fragments: false } }, udp }, 422, 'INKEV_ERR_SCHEMA', 'packet.ip.fragment'],
    [{ arp: { target_ip: 'fd00:1::1' } }, 422, 'INKEV_ERR_SCHEMA', 'packet.arp.target_ip']
  ])('%j is refused', async (packet, status, code, path) => {
    expect(await edge1.request('POST', '/v1/trace', { from: { port: 'web1' }, packet })).toMatchObject({
      status,
      body: { error: { code, path } }
    })
  })

  test.each([
    [{ port: 'web9' }, 404, 'INKEV_ERR_NOT_FOUND', 'from.port'],
    [{ host: 'edge-9', network: 'web' }, 404, 'INKEV_ERR_NOT_FOUND', 'from.host'],
    [{ host: 'edge-2' }, 422, 'INKEV_ERR_SCHEMA', 'from']
  ])('a packet from %j is refused', async (from, status, code, path) => {
    const packet = { ip: { source: '10.0.1.13', destination: '10.0.1.12' }, udp }
    expect(await edge1.request('POST', '/v1/trace', { from, packet })).toMatchObject({ status, body: { error: { code, path } } })
  })

  test('a train that is for all is refused, as its copies could not be told', async () => {
    const stranger = { ethernet: { destination: '02:00:00:00:00:99' }, ip: { destination: '10.0.1.99' } }
    const packet = { ...stranger, tcp: { destination_port: 80 }, payload_length: 1900, segment_size: 500 }
    expect(await edge1.request('POST', '/v1/trace', { from: { port: 'web1' }, packet })).toMatchObject({
      status: 422,
      body: { error: { path: 'packet.segment_size', message: expect.stringContaining('network web copies the train') } }
    })
  })

  test('a function that keeps more than can be copied is named', async () => {
    await put(edge1, 'functions/large', { firewall: { max_sessions: 500_000 } })
    await put(edge1, 'ports/web2', { ...port('web', 'web2', 12), chain: ['large'] })
    const { body } = await edge1.request('POST', '/v1/trace', { from: { port: 'web1' }, packet: toDb('10.0.1.12', 80) })
    expect(body.error).toMatchObject({ code: 'INKEV_ERR_TOO_LARGE', message: expect.stringContaining('function large take') })
    await put(edge1, 'ports/web2', port('web', 'web2', 12))
  })
})

describe('what runs', () => {
  const state = async () => {
    const paths = ['gateway', 'rules'].map(name => `functions/${name}/counters`)
    const tables = ['functions/rules/tables/sessions4', 'functions/rules/tables/rule_hits', 'networks/web/tables/learned']
    const bodies = await Promise.all(
      [...paths, 'networks/web/counters', 'networks/db/counters', ...tables].map(path => edge1.request('GET', `/v1/${path}`))
    )
    return bodies.map(({ body }) => body)
  }

  test('has not noticed: counters, sessions, learned addresses and all that the kernel holds are as before', async () => {
    const stranger = { source: '02:00:00:00:00:77', destination: '02:00:00:00:00:99' }
    const before = await state()
    const held: KernelState = await kernelState(lab)
    await Promise.all([
      trace(toDb('10.0.2.11', 5432)),
      trace(toDb('10.0.2.11', 22)),
      trace({ ethernet: stranger, ip: { destination: '10.0.1.99' } }),
      trace({ arp: { target_ip: '10.0.1.77' } })
    ])
    expect(await state()).toEqual(before)
    expect(await whatIsLeft(lab, held)).toEqual([])
  })

  test('has sent nothing: workloads hear no copy of a traced broadcast', async () => {
    const received = async () =>
      JSON.parse(await edge1.workload('web2').run(['ip', '-j', '-s', 'link', 'show', 'eth0']))[0].stats64.rx.packets
    const before = await received()
    for (let n = 0; n < 3; n++) await trace({ arp: { target_ip: '10.0.1.77' } })
    expect(await received()).toBe(before)
  })

  test('has met rules before: the one that meets the traced packet is named', async () => {
    const knock = 'echo > /dev/udp/10.0.2.11/53; : > /dev/tcp/10.0.2.11/5432'
    for (const cpu of ['0', '1']) await edge1.workload('web1').attempt(['taskset', '-c', cpu, 'bash', '-c', knock])
    expect(step(await trace(toDb('10.0.2.11', 5432)), 'functions/rules').matched).toEqual(['postgres'])
    expect(step(await trace(toDb('10.0.2.11', 22)), 'functions/rules').matched).toEqual(['default ingress'])
  })

  test('is what is traced: a session that real packets have opened lets a reply through', async () => {
    const reply = { ip: { destination: '10.0.1.11' }, icmp: { type: 0, identifier: 77 } }
    expect(await trace(reply, { port: 'db1' })).toMatchObject({ verdict: 'dropped', reason: 'no_session' })
    await put(edge1, 'functions/rules', { firewall: { default_ingress: 'allow' } })
    expect(await packetsLost(edge1, 'web1', '10.0.2.11')).toBe(0)
    const [{ key }] = (await edge1.request('GET', '/v1/functions/rules/tables/sessions4')).body.items.filter(
      ({ key }: { key: { protocol: number | string } }) => ['icmp', 1].includes(key.protocol)
    )
    const answer = { ...reply, icmp: { type: 0, identifier: key.remote_port } }
    expect(await trace(answer, { port: 'db1' })).toMatchObject({ verdict: 'delivered', to: 'ports/web1' })
    await put(edge1, 'functions/rules', rules)
  })
})
