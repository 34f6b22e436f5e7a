// SPDX-License-Identifier: Apache-2.0
// The REST interface of an agent in this process: every resource, every error of the catalogue, what clients may rely on.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { get as httpGet } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from '@inkev/acceptance/lab/process'
import { native } from '@inkev/native'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import pino from 'pino'
import { type ErrorCode, errorKinds } from '../api/errors'
import { parseOptions } from '../src/options'
import { type Started, start } from '../src/start'

const OBJECTS = join(__dirname, '../../bpf/build')

let folder: string
let started: Started

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'inkev-rest-'))
  mkdirSync(join(folder, 'bpf'))
  native.mountBpffs(join(folder, 'bpf'))
  const socket = join(folder, 'agent.sock')
  const options = parseOptions([
    '--name',
    'edge-1',
    '--listen',
    `unix:${socket}`,
    '--bpffs',
    join(folder, 'bpf'),
    '--state',
    join(folder, 'state'),
    '--objects',
    OBJECTS
  ])
  started = await start(options!, native, pino({ level: 'silent' }))
})

afterAll(async () => {
  await started?.stop()
  native.umount(join(folder, 'bpf'))
  rmSync(folder, { recursive: true })
})

afterEach(async () => {
  for (const type of ['stitches', 'ports', 'functions', 'networks', 'peers', 'endpoints'])
    for (const { name } of (await get(`/v1/${type}`)).json().items)
      await started.app.inject({ method: 'DELETE', url: `/v1/${type}/${name}` })
})

function get(url: string) {
  return started.app.inject({ method: 'GET', url })
}

function put(path: string, body: object, headers: Record<string, string> = {}) {
  return started.app.inject({ method: 'PUT', url: `/v1/${path}`, payload: body, headers })
}

function remove(path: string, headers: Record<string, string> = {}) {
  return started.app.inject({ method: 'DELETE', url: `/v1/${path}`, headers })
}

async function accepted(path: string, body: object): Promise<void> {
  const answer = await put(path, body)
  if (answer.statusCode >= 300) throw new Error(`${path}: ${answer.body}`)
}

/** The answer is an error of the catalogue, which names the field. */
function refused(
  answer: { statusCode: number; json(): { error: { code: ErrorCode; message: string; path?: string; hint?: string } } },
  code: ErrorCode,
  path?: string
): void {
  const { error } = answer.json()
  expect({ code: error.code, path: error.path }).toEqual({ code, path })
  expect(answer.statusCode).toBe(errorKinds[code].status)
  expect(error.message.length).toBeGreaterThan(10)
}

const web = { vni: 100, subnets: { v4: { cidr: '10.0.1.0/24' } } }
const gateway = { router: { interfaces: { web: { address: '10.0.1.1/24' } } } }
/** A port that waits for its network: nothing of it is in the kernel. */
const waiting = { network: 'later', netns: 'nowhere', create_netns: true }

describe('a resource', () => {
  test('is answered as it is stored, with defaults, computed values and a status', async () => {
    const answer = await put('networks/web', { ...web, subnets: { v6: { cidr: 'FD00:1:0::/64' } } })
    expect(answer.statusCode).toBe(201)
    expect(answer.json()).toEqual({
      name: 'web',
      vni: 100,
      subnets: { v6: { cidr: 'fd00:1::/64', gateway: 'fd00:1::1' } },
      mtu: 1500,
      learning: true,
      aging_time: '300s',
      suppression: true,
      status: { state: 'idle', reason: 'no workload of this host reaches it' }
    })
    expect((await get('/v1/networks/web')).json()).toEqual(answer.json())
  })

  test('put twice is replaced, and keeps its ETag while nothing changes', async () => {
    const first = await put('networks/web', web)
    const second = await put('networks/web', web)
    expect([first.statusCode, second.statusCode]).toEqual([201, 200])
    expect(second.headers.etag).toBe(first.headers.etag)
    expect((await put('networks/web', { ...web, mtu: 1400 })).headers.etag).not.toBe(first.headers.etag)
  })

  test('that others changed is not overwritten by who shows an old ETag', async () => {
    const { etag } = (await put('networks/web', web)).headers
    await accepted('networks/web', { ...web, mtu: 1400 })
    refused(await put('networks/web', web, { 'if-match': String(etag) }), 'INKEV_ERR_PRECONDITION')
    refused(await remove('networks/web', { 'if-match': String(etag) }), 'INKEV_ERR_PRECONDITION')
    refused(await put('networks/web', web, { 'if-none-match': '*' }), 'INKEV_ERR_PRECONDITION')
    expect((await get('/v1/networks/web')).json().mtu).toBe(1400)
  })

  test('is deleted once; then it is missing', async () => {
    await accepted('networks/web', web)
    expect((await remove('networks/web')).statusCode).toBe(204)
    refused(await remove('networks/web'), 'INKEV_ERR_NOT_FOUND')
    refused(await get('/v1/networks/web'), 'INKEV_ERR_NOT_FOUND')
  })

  test('that others use is not deleted; they are named', async () => {
    await accepted('networks/web', web)
    await accepted('functions/gateway', gateway)
    await accepted('stitches/gw', { a: { function: 'gateway', port: 'web' }, b: { network: 'web' } })
    const answer = await remove('networks/web')
    refused(answer, 'INKEV_ERR_IN_USE')
    expect(answer.json().error.message).toBe('network web is used by stitch gw')
    refused(await remove('functions/gateway'), 'INKEV_ERR_IN_USE')
  })

  test('is listed with others of its type, or alone by a filter', async () => {
    await accepted('peers/web.edge-2', { network: 'web', host: 'edge-2', vtep: '192.0.2.2' }).catch(() => {})
    await accepted('networks/web', web)
    await accepted('networks/db', { ...web, vni: 200 })
    const names = async (url: string) => (await get(url)).json().items.map(({ name }: { name: string }) => name)
    expect(await names('/v1/networks')).toEqual(['web', 'db'])
    expect(await names('/v1/networks?vni=200')).toEqual(['db'])
  })

  test('may name others that are not there yet, and says what it waits for', async () => {
    await accepted('stitches/gw', { a: { function: 'gateway', port: 'web' }, b: { network: 'web' } })
    expect((await get('/v1/stitches/gw')).json().status).toEqual({ state: 'pending', reason: 'waits for function gateway' })
    await accepted('functions/gateway', gateway)
    expect((await get('/v1/stitches/gw')).json().status).toEqual({ state: 'pending', reason: 'waits for network web' })
    await accepted('networks/web', web)
    expect((await get('/v1/stitches/gw')).json().status.state).toBe('idle')
  })

  test('may lose a port at which a stitch ends; the stitch waits until either changes', async () => {
    await accepted('networks/web', web)
    await accepted('functions/gateway', gateway)
    await accepted('stitches/gw', { a: { function: 'gateway', port: 'web' }, b: { network: 'web' } })
    await accepted('functions/gateway', { router: { interfaces: { lan: { address: '10.0.1.1/24' } } } })
    expect((await get('/v1/stitches/gw')).json().status).toEqual({ state: 'pending', reason: 'waits for port web of function gateway' })
    await accepted('stitches/gw', { a: { function: 'gateway', port: 'lan' }, b: { network: 'web' } })
    expect((await get('/v1/stitches/gw')).json().status).toMatchObject({ state: 'idle' })
  })

  test('that waits for a network holds no namespace', async () => {
    expect((await put('ports/web1', waiting)).json().status).toEqual({ state: 'pending', reason: 'waits for network later' })
  })
})

describe('a request is refused', () => {
  test('when it is no JSON, no known path, no known resource', async () => {
    const headers = { 'content-type': 'application/json' }
    refused(await started.app.inject({ method: 'PUT', url: '/v1/networks/web', payload: '{', headers }), 'INKEV_ERR_MALFORMED')
    refused(await get('/v1/nothing'), 'INKEV_ERR_NO_ROUTE')
  })

  test.each([
    ['Web', 'a capital'],
    ['w_eb', 'an underscore'],
    ['-web', 'a dash in front'],
    ['w'.repeat(41), '41 letters'],
    ['a.b', 'a dot']
  ])('when the name is %s (%s)', async name => {
    refused(await put(`networks/${name}`, web), 'INKEV_ERR_NAME', 'name')
  })

  test.each([
    ['an unknown field', { ...web, colour: 'red' }, 'colour'],
    ['a missing field', { vni: 1 }, 'subnets'],
    ['a tag out of range', { subnets: {}, physical: { 'edge-1': { interface: 'lo', vlan: 4095 } } }, 'physical.edge-1.vlan'],
    ['a text for a number', { ...web, vni: '100' }, 'vni'],
    ['a number out of range', { ...web, vni: 2 ** 24 }, 'vni'],
    ['a malformed CIDR', { vni: 1, subnets: { v4: { cidr: '10.0.1.0/33' } } }, 'subnets.v4.cidr'],
    ['a CIDR with host bits', { vni: 1, subnets: { v4: { cidr: '10.0.1.7/24' } } }, 'subnets.v4.cidr'],
    ['a list for an object', [], '']
  ])('when the body has %s', async (_, body, path) => {
    refused(await put('networks/web', body), 'INKEV_ERR_SCHEMA', path || undefined)
  })

  test('when bulk is no list of changes', async () => {
    refused(await started.app.inject({ method: 'POST', url: '/v1/bulk', payload: {} }), 'INKEV_ERR_SCHEMA')
    refused(
      await started.app.inject({ method: 'POST', url: '/v1/bulk', payload: [{ method: 'PUT', resource: 'cats', name: 'tom' }] }),
      'INKEV_ERR_SCHEMA',
      '0.resource'
    )
  })
})

describe('a network is refused', () => {
  test.each([
    ['whose subnets overlap', { a: { cidr: '10.0.0.0/16' }, b: { cidr: '10.0.1.0/24' } }, 'INKEV_ERR_SUBNET_OVERLAP', 'subnets.b.cidr'],
    ['whose gateway is elsewhere', { a: { cidr: '10.0.0.0/16', gateway: '10.1.0.1' } }, 'INKEV_ERR_OUTSIDE_SUBNET', 'subnets.a.gateway'],
    [
      'whose gateway is the broadcast address',
      { a: { cidr: '10.0.0.0/24', gateway: '10.0.0.255' } },
      'INKEV_ERR_NOT_A_HOST_ADDRESS',
      'subnets.a.gateway'
    ]
  ] as const)('%s', async (_, subnets, code, path) => {
    refused(await put('networks/web', { vni: 100, subnets }), code, path)
  })

  test('whose VNI is another’s', async () => {
    await accepted('networks/web', web)
    refused(await put('networks/db', web), 'INKEV_ERR_VNI_TAKEN', 'vni')
  })

  test('whose static entry is at no place, or is a group address', async () => {
    refused(
      await put('networks/web', { ...web, static_entries: { a: { mac: '02:00:00:00:00:01' } } }),
      'INKEV_ERR_NEEDS',
      'static_entries.a'
    )
    refused(
      await put('networks/web', { ...web, static_entries: { a: { mac: '01:00:00:00:00:01', port: 'p' } } }),
      'INKEV_ERR_NOT_A_HOST_ADDRESS',
      'static_entries.a.mac'
    )
  })
})

test('a network is renumbered before its ports, which are degraded until they are told their new addresses', async () => {
  const later = { vni: 1, subnets: { v4: { cidr: '10.0.1.0/24' } } }
  await accepted('networks/later', later)
  await accepted('ports/web1', { ...waiting, ip_addresses: ['10.0.1.11'] })
  await accepted('endpoints/later.web2', { network: 'later', host: 'edge-2', mac: '02:00:00:00:00:09', addresses: ['10.0.1.12'] })
  await accepted('networks/later', { ...later, subnets: { v4: { cidr: '10.0.2.0/24' } } })
  const degraded = (field: string, address: string) => ({
    state: 'degraded',
    reason: `${field}.0: ${address} lies outside 10.0.2.0/24. Take an address of one of the subnets, or add a subnet to the network.`
  })
  expect((await get('/v1/ports/web1')).json().status).toEqual(degraded('ip_addresses', '10.0.1.11'))
  expect((await get('/v1/endpoints/later.web2')).json().status).toEqual(degraded('addresses', '10.0.1.12'))
  refused(await put('ports/web1', { ...waiting, ip_addresses: ['10.0.1.12'] }), 'INKEV_ERR_OUTSIDE_SUBNET', 'ip_addresses.0')
  await accepted('ports/web1', { ...waiting, ip_addresses: ['10.0.2.11'] })
  expect((await get('/v1/ports/web1')).json().status).not.toMatchObject({ state: 'degraded' })
})

describe('a port is refused', () => {
  test.each([
    ['without a place', { network: 'later' }, 'INKEV_ERR_PLACE', 'netns'],
    ['with two places', { ...waiting, interface: 'tap0' }, 'INKEV_ERR_PLACE', 'interface'],
    ['with addresses and no network', { netns: 'a', create_netns: true, ip_addresses: ['10.0.0.1'] }, 'INKEV_ERR_NEEDS', 'ip_addresses'],
    ['with a chain and no network', { netns: 'a', create_netns: true, chain: ['f'] }, 'INKEV_ERR_NEEDS', 'chain'],
    ['in a namespace that is missing', { network: 'later', netns: 'nowhere-at-all' }, 'INKEV_ERR_NETNS_MISSING', 'netns'],
    [
      'in a namespace that cannot be created',
      { network: 'later', netns: '/proc/1/ns/nothing', create_netns: true },
      'INKEV_ERR_NEEDS',
      'create_netns'
    ],
    ['on a device that is missing', { network: 'later', interface: 'nothing0' }, 'INKEV_ERR_INTERFACE_MISSING', 'interface'],
    ['that pins a MAC nobody knows', { network: 'later', interface: 'lo', pin_addresses: true }, 'INKEV_ERR_NEEDS', 'mac'],
    ['with a group address', { ...waiting, mac: '33:33:00:00:00:01' }, 'INKEV_ERR_NOT_A_HOST_ADDRESS', 'mac'],
    ['named lo inside', { ...waiting, ifname: 'lo' }, 'INKEV_ERR_DEVICE_TAKEN', 'ifname'],
    ['with an address twice', { ...waiting, ip_addresses: ['10.0.0.1', '10.0.0.1'] }, 'INKEV_ERR_ADDRESS_TAKEN', 'ip_addresses.1'],
    [
      'with a route of two families',
      { ...waiting, routes: { r: { destination: '10.0.0.0/8', via: 'fd00::1' } } },
      'INKEV_ERR_CONFIG',
      'routes.r.via'
    ],
    ['with a tag that is none', { ...waiting, vlans: { '4095': { network: 'web' } } }, 'INKEV_ERR_CONFIG', 'vlans.4095'],
    ['in one network twice', { ...waiting, vlans: { '7': { network: 'later' } } }, 'INKEV_ERR_CONFIG', 'vlans.7.network'],
    ['with a function twice in its chain', { ...waiting, chain: ['f', 'f'] }, 'INKEV_ERR_CONFIG', 'chain.1']
  ] as const)('%s', async (_, body, code, path) => {
    refused(await put('ports/web1', body), code, path)
    refused(await get('/v1/ports/web1'), 'INKEV_ERR_NOT_FOUND')
  })

  test('whose address lies outside the network', async () => {
    await accepted('networks/web', web)
    refused(
      await put('ports/web1', { ...waiting, network: 'web', ip_addresses: ['10.0.2.11'] }),
      'INKEV_ERR_OUTSIDE_SUBNET',
      'ip_addresses.0'
    )
    refused(
      await put('ports/web1', { ...waiting, network: 'web', ip_addresses: ['10.0.1.0'] }),
      'INKEV_ERR_NOT_A_HOST_ADDRESS',
      'ip_addresses.0'
    )
  })

  test('whose address, MAC or device is another’s', async () => {
    await accepted('ports/web1', { ...waiting, ip_addresses: ['10.0.1.11'], mac: '02:00:00:00:00:01' })
    await accepted('endpoints/later.web9', { network: 'later', host: 'edge-2', mac: '02:00:00:00:00:09', addresses: ['10.0.1.19'] })
    const other = { ...waiting, netns: 'other' }
    refused(await put('ports/web2', { ...other, ip_addresses: ['10.0.1.12', '10.0.1.11'] }), 'INKEV_ERR_ADDRESS_TAKEN', 'ip_addresses.1')
    refused(await put('ports/web2', { ...other, ip_addresses: ['10.0.1.19'] }), 'INKEV_ERR_ADDRESS_TAKEN', 'ip_addresses.0')
    refused(await put('ports/web2', { ...other, mac: '02:00:00:00:00:01' }), 'INKEV_ERR_MAC_TAKEN', 'mac')
    refused(await put('ports/web2', waiting), 'INKEV_ERR_DEVICE_TAKEN', 'ifname')
    refused(
      await put('endpoints/later.web8', { network: 'later', host: 'edge-2', mac: '02:00:00:00:00:01', addresses: [] }),
      'INKEV_ERR_MAC_TAKEN',
      'mac'
    )
  })

  test('whose chain has a function that cannot stand there, or is stitched', async () => {
    await accepted('functions/gateway', gateway)
    await accepted('functions/rules', { firewall: {} })
    await accepted('stitches/s', { a: { function: 'rules', port: 'inside' }, b: { network: 'web' } })
    refused(await put('ports/web1', { ...waiting, chain: ['gateway'] }), 'INKEV_ERR_NOT_CHAINABLE', 'chain.0')
    refused(await put('ports/web1', { ...waiting, chain: ['rules'] }), 'INKEV_ERR_FUNCTION_BOUND', 'chain.0')
  })

  test('whose chain has a function with a configuration that does not work there; nor may a function in a chain get one', async () => {
    const spread = { nat: { gateways: { a: { ports: '1024-2047' } } } }
    await accepted('functions/front', spread)
    refused(await put('ports/web1', { ...waiting, chain: ['front'] }), 'INKEV_ERR_NOT_CHAINABLE', 'chain.0')
    await accepted('functions/front', { nat: {} })
    await accepted('ports/web1', { ...waiting, chain: ['front'] })
    refused(await put('functions/front', spread), 'INKEV_ERR_NOT_CHAINABLE', 'nat.gateways')
  })
})

describe('a function is refused', () => {
  test('that has no kind, two kinds, an unknown kind, or another kind than before', async () => {
    refused(await put('functions/f', {}), 'INKEV_ERR_KIND')
    refused(await put('functions/f', { ...gateway, firewall: {} }), 'INKEV_ERR_KIND')
    refused(await put('functions/f', { toaster: {} }), 'INKEV_ERR_SCHEMA', 'toaster')
    await accepted('functions/f', gateway)
    refused(await put('functions/f', { firewall: {} }), 'INKEV_ERR_KIND', 'firewall')
  })

  test('whose kind finds a fault, by the path of the field', async () => {
    const interfaces = { a: { address: '10.0.1.1/24' }, b: { address: '10.0.1.2/24' } }
    const answer = await put('functions/f', { router: { interfaces } })
    refused(answer, 'INKEV_ERR_CONFIG', answer.json().error.path)
    expect(answer.json().error.path).toMatch(/^router\.interfaces/)
  })
})

describe('a stitch is refused', () => {
  const toWeb = { network: 'web' }

  test.each([
    ['with an end that says nothing', {}, 'INKEV_ERR_STITCH_END', 'a'],
    ['with an end that says two things', { network: 'web', interface: 'eth0' }, 'INKEV_ERR_STITCH_END', 'a'],
    ['with a function and no port of it', { function: 'gateway' }, 'INKEV_ERR_STITCH_END', 'a.port'],
    ['that joins a port to a network', { port: 'web1' }, 'INKEV_ERR_STITCH_END', 'a.port'],
    ['to a port that the function lacks', { function: 'gateway', port: 'db' }, 'INKEV_ERR_NO_SUCH_PORT', 'a.port'],
    ['to a device that is missing', { interface: 'nothing0' }, 'INKEV_ERR_INTERFACE_MISSING', 'a.interface'],
    ['of a network with itself', { network: 'web' }, 'INKEV_ERR_LOOP', 'b']
  ] as const)('%s', async (_, a, code, path) => {
    await accepted('functions/gateway', gateway)
    refused(await put('stitches/s', { a, b: toWeb }), code, path)
  })

  test('to a port that is taken', async () => {
    await accepted('stitches/one', { a: { function: 'gateway', port: 'web' }, b: toWeb })
    refused(await put('stitches/two', { a: { network: 'db' }, b: { function: 'gateway', port: 'web' } }), 'INKEV_ERR_PORT_TAKEN', 'b.port')
    refused(await put('stitches/two', { a: { function: 'f', port: 'x' }, b: { function: 'f', port: 'x' } }), 'INKEV_ERR_PORT_TAKEN', 'b')
  })

  test('to a function that stands in a chain', async () => {
    await accepted('functions/rules', { firewall: {} })
    await accepted('ports/web1', { ...waiting, chain: ['rules'] })
    refused(await put('stitches/s', { a: { function: 'rules', port: 'inside' }, b: toWeb }), 'INKEV_ERR_FUNCTION_BOUND', 'a.function')
  })

  test('that closes a ring in which nothing stops a packet, and the ring is named', async () => {
    await accepted('functions/rules', { firewall: {} })
    await accepted('stitches/one', { a: { function: 'rules', port: 'inside' }, b: { network: 'web' } })
    await accepted('stitches/two', { a: { network: 'web' }, b: { network: 'db' } })
    const answer = await put('stitches/three', { a: { function: 'rules', port: 'outside' }, b: { network: 'db' } })
    refused(answer, 'INKEV_ERR_LOOP', 'b')
    expect(answer.json().error.message).toBe('packets would go round: function rules – network web – network db – function rules')
  })

  test('but not when a router is in the ring', async () => {
    const interfaces = { web: { address: '10.0.1.1/24' }, db: { address: '10.0.2.1/24' } }
    await accepted('functions/gateway', { router: { interfaces } })
    await accepted('stitches/one', { a: { function: 'gateway', port: 'web' }, b: { network: 'web' } })
    await accepted('stitches/two', { a: { function: 'gateway', port: 'db' }, b: { network: 'db' } })
    await accepted('stitches/three', { a: { network: 'web' }, b: { network: 'db' } })
  })
})

describe('a peer or endpoint is refused', () => {
  test('on a host without uplink, under a wrong name, or when it is this host', async () => {
    refused(await put('peers/web.edge-2', { network: 'web', host: 'edge-2', vtep: '192.0.2.2' }), 'INKEV_ERR_UPLINK_MISSING', 'vtep')
    refused(await put('peers/db.edge-2', { network: 'web', host: 'edge-2', vtep: '192.0.2.2' }), 'INKEV_ERR_NAME', 'name')
    refused(await put('peers/web.edge-1', { network: 'web', host: 'edge-1', vtep: '192.0.2.2' }), 'INKEV_ERR_CONFIG', 'host')
    const endpoint = { network: 'web', host: 'edge-1', mac: '02:00:00:00:00:01', addresses: [] }
    refused(await put('endpoints/web.a', endpoint), 'INKEV_ERR_CONFIG', 'host')
    refused(await put('endpoints/db.a', endpoint), 'INKEV_ERR_NAME', 'name')
  })
})

async function bulk(changes: object[]) {
  return (await started.app.inject({ method: 'POST', url: '/v1/bulk', payload: changes })).json()
}

describe('bulk', () => {
  test('makes all changes at once, in any order', async () => {
    const answers = await bulk([
      { method: 'PUT', resource: 'stitches', name: 'gw', body: { a: { function: 'gateway', port: 'web' }, b: { network: 'web' } } },
      { method: 'PUT', resource: 'functions', name: 'gateway', body: gateway },
      { method: 'PUT', resource: 'networks', name: 'web', body: web }
    ])
    expect(answers.map(({ status, body }: { status: number; body: { status: { state: string } } }) => [status, body.status.state])).toEqual(
      [
        [201, 'idle'],
        [201, 'idle'],
        [201, 'idle']
      ]
    )
  })

  test('moves a stitch from one port to another in one step', async () => {
    await accepted('stitches/one', { a: { function: 'gateway', port: 'web' }, b: { network: 'web' } })
    const answers = await bulk([
      { method: 'PUT', resource: 'stitches', name: 'two', body: { a: { function: 'gateway', port: 'web' }, b: { network: 'db' } } },
      { method: 'DELETE', resource: 'stitches', name: 'one' }
    ])
    expect(answers.map(({ status }: { status: number }) => status)).toEqual([201, 204])
  })

  test('answers each change by itself, and of two that clash the earlier one stands', async () => {
    const answers = await bulk([
      { method: 'PUT', resource: 'networks', name: 'web', body: web },
      { method: 'PUT', resource: 'networks', name: 'db', body: web },
      { method: 'DELETE', resource: 'networks', name: 'none' }
    ])
    expect(answers.map(({ status }: { status: number }) => status)).toEqual([201, 409, 404])
    expect((await get('/v1/networks')).json().items.map(({ name }: { name: string }) => name)).toEqual(['web'])
  })
})

describe('what a host cannot number', () => {
  test('is refused: one more stitch of a network, one more port of a function', async () => {
    const stitch = (n: number) => ({
      method: 'PUT',
      resource: 'stitches',
      name: `s${n}`,
      body: { a: { network: 'web' }, b: { function: `f${n}`, port: 'inside' } }
    })
    const answers = await bulk(Array.from({ length: 241 }, (_, n) => stitch(n)))
    expect(answers.filter(({ status }: { status: number }) => status === 201).length).toBe(240)
    expect(answers[240].body.error).toMatchObject({ code: 'INKEV_ERR_FULL', path: 'a.network' })
    const interfaces = Object.fromEntries(Array.from({ length: 241 }, (_, n) => [`i${n}`, { address: `10.${n}.0.1/24` }]))
    refused(await put('functions/f', { router: { interfaces } }), 'INKEV_ERR_FULL', 'router')
  })
})

describe('the agent tells', () => {
  test('what host it is', async () => {
    expect((await get('/v1/host')).json()).toMatchObject({
      name: 'edge-1',
      api: 1,
      uplinks: [],
      features: { bpf: true, btf: true, tcx: true },
      kinds: expect.arrayContaining(['router', 'firewall'])
    })
  })

  test('its interface as OpenAPI 3.1, with every resource', async () => {
    const document = (await get('/openapi.json')).json()
    expect(document.openapi).toBe('3.1.0')
    expect(Object.keys(document.paths)).toEqual(
      expect.arrayContaining(['/v1/networks/{name}', '/v1/functions/{name}', '/v1/bulk', '/v1/topology'])
    )
    const { properties } = document.paths['/v1/networks/{name}'].get.responses['200'].content['application/json'].schema
    await accepted('networks/web', web)
    expect(Object.keys(properties)).toEqual(expect.arrayContaining(Object.keys((await get('/v1/networks/web')).json())))
    expect(document.paths['/v1/networks/{name}'].put.requestBody.content['application/json'].schema.properties.vni.maximum).toBe(0xffffff)
  })

  test('changes as they happen', async () => {
    const events: string[] = []
    const request = httpGet({ socketPath: join(folder, 'agent.sock'), path: '/v1/events' }, response =>
      response.on('data', chunk => events.push(String(chunk)))
    )
    try {
      await until(
        () => events.length > 0,
        2000,
        () => 'no event stream'
      )
      await accepted('networks/web', web)
      await remove('networks/web')
      await until(
        () => events.join('').includes('event: delete'),
        2000,
        () => `only ${events.join('')}`
      )
      expect(events.join('')).toContain('event: put\ndata: {"type":"networks","name":"web"}\n\n')
      expect(events.join('')).toContain('"status":{"state":"idle"')
    } finally {
      request.destroy()
    }
  })

  test('that it lives and is ready', async () => {
    expect([(await get('/healthz')).statusCode, (await get('/readyz')).statusCode]).toEqual([200, 200])
  })

  test('its graph as JSON, DOT and Mermaid', async () => {
    await accepted('networks/web', web)
    await accepted('functions/gateway', gateway)
    await accepted('stitches/gw', { a: { function: 'gateway', port: 'web' }, b: { network: 'web' } })
    expect((await get('/v1/topology')).json()).toEqual({
      nodes: [
        expect.objectContaining({ id: 'networks/web', type: 'network', name: 'web', state: 'idle' }),
        expect.objectContaining({ id: 'functions/gateway', type: 'function', name: 'gateway', kind: 'router', state: 'idle' })
      ],
      edges: [{ from: 'functions/gateway', to: 'networks/web', label: 'web' }]
    })
    expect((await get('/v1/topology?format=dot')).body).toContain('"functions/gateway" -- "networks/web" [label="web"]')
    expect((await get('/v1/topology?format=mermaid')).body).toContain('n1 ---|"web"| n0')
    refused(await get('/v1/topology?format=svg'), 'INKEV_ERR_SCHEMA', 'format')
  })

  test('its resources as metrics', async () => {
    await accepted('networks/web', web)
    expect((await get('/metrics')).body).toContain('inkev_resources{type="networks",state="idle"} 1')
  })

  test('that a function which does not run has no counters', async () => {
    await accepted('functions/gateway', gateway)
    refused(await get('/v1/functions/gateway/counters'), 'INKEV_ERR_NOT_FOUND')
  })
})
