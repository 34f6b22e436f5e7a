// SPDX-License-Identifier: Apache-2.0
// Direct server return between real kernels on two hosts: the balancer sees requests only, and answers leave by the backend's own host.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import type { Host } from '../../testing/host'
import type { Instance } from '../../testing/instance'
import { removeNamespaces } from '../../testing/namespaces'
import { twoHosts } from '../../testing/underlay'
import type { Workload } from '../../testing/workload'
import { router } from '../router/router'
import { loadBalancer } from './load_balancer'

//  client ── users ── gateway ── balancer ── servers              one host
//              ║         ·                      ║
//            users ── gateway ──────────────  servers ── backend  the other
const INTERFACES = {
  users: { address: '10.1.0.254/24', ipv6_address: 'fd01::fe/64', mtu: 1450 },
  servers: { address: '10.2.0.254/24', ipv6_address: 'fd02::fe/64', mtu: 1450 }
}
const OWN = router.presents!({ interfaces: INTERFACES } as never, 'gateway')
const VIRTUAL = { v4: '203.0.113.10', v6: '2001:db8:10::10' }
const VIRTUALS = Object.values(VIRTUAL)
const ROUTES = {
  v4: { destination: `${VIRTUAL.v4}/32`, interface: 'servers' },
  v6: { destination: `${VIRTUAL.v6}/128`, interface: 'servers' }
}
const BALANCED = {
  max_sessions: 1024,
  services: Object.fromEntries(Object.entries(VIRTUAL).map(([family, address]) => [family, { address, port: 80, mode: 'direct' }])),
  backends: { v4: { service: 'v4', address: '10.2.0.2' }, v6: { service: 'v6', address: 'fd02::2' } }
}
const SERVER = `
  require('node:net')
    .createServer(socket => socket.end(socket.localAddress + ' answers ' + socket.remoteAddress))
    .listen(80, '::', () => console.log('listening'))`

const place = (network: number, n: number) => ({
  mac: `02:00:00:00:0${network}:0${n}`,
  addresses: [`10.${network}.0.${n}/24`, `fd0${network}::${n}/64`],
  gateways: [`10.${network}.0.254`, `fd0${network}::fe`]
})

let hosts: Host[] = []
let balancer: Instance
let farGateway: Instance
let client: Workload
let backend: Workload
let server: ChildProcess

beforeAll(async () => {
  hosts = await twoHosts()
  const [near, far] = await Promise.all(hosts.map(networksOn))
  for (const [one, other] of [
    [near!, far!],
    [far!, near!]
  ] as const)
    for (const network of [one.users, one.servers]) network.span(other.host.vtep)
  client = await near!.users.addWorkload('client', place(1, 1))
  backend = await far!.servers.addWorkload('backend', place(2, 2))
  near!.servers.know({ mac: backend.mac, addresses: backend.ips, peer: near!.host.peer(far!.host.vtep) })

  farGateway = far!.gateway
  far!.servers.know({ ...OWN.servers!, bridge_port: far!.servers.stitch(farGateway, 1) })
  const endpoints = [{ mac: backend.mac, addresses: backend.ips }]
  balancer = await near!.host.addInstance(loadBalancer, BALANCED, {
    name: 'front',
    ports: { inside: { number: 0, network: { name: 'servers', vni: 200, mtu: 1450, cidrs: [], endpoints } }, outside: { number: 1 } }
  })
  near!.servers.know({ ...OWN.servers!, bridge_port: near!.servers.stitch(balancer, 0) })
  near!.host.connect([balancer, 1], [near!.gateway, 1])
  await serve()
})
afterAll(() => {
  server?.kill('SIGKILL')
  for (const host of hosts) host.close()
  removeNamespaces()
})

/** Both networks of a host, and its gateway at that of the users. */
async function networksOn(host: Host) {
  const [users, servers] = [await host.addNetwork(100), await host.addNetwork(200)]
  const gateway = await host.addInstance(router, { interfaces: INTERFACES, routes: ROUTES }, { name: 'gateway' })
  users.know({ ...OWN.users!, bridge_port: users.stitch(gateway, 0) })
  return { host, users, servers, gateway }
}

/** The backend has the virtual addresses, and keeps quiet about them. */
async function serve(): Promise<void> {
  for (const [setting, value] of Object.entries({ arp_ignore: '1', arp_announce: '2' }))
    backend.net.sysctl(`ipv4/conf/all/${setting}`, value)
  for (const address of [`${VIRTUAL.v4}/32`, `${VIRTUAL.v6}/128`]) backend.net.addAddress(backend.net.link('lo')!.ifindex, address)
  const command = ['netns', 'exec', backend.name, process.execPath, '-e', SERVER]
  server = spawn('ip', command, { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(server.stdout!, 'data')
}

test.each([
  { family: 4, n: 0 },
  { family: 6, n: 1 }
])('a direct backend on another host answers IPv$family clients by the gateway of its own host', ({ n }) => {
  const before = balancer.rawCounters()
  const answer = client.run('bash', '-c', `exec 3<>/dev/tcp/${VIRTUALS[n]}/80; cat <&3`)
  expect(answer.replaceAll('::ffff:', '')).toBe(`${VIRTUALS[n]} answers ${client.ips[n]}`)
  expect(balancer.countedSince(before)).toMatchObject({ sessions_opened: 1 })
  expect(farGateway.table('learned').entries()).toContainEqual({
    key: { address: client.ips[n], scope: 0n },
    value: expect.objectContaining({ mac: client.mac, port: 0 })
  })
})
