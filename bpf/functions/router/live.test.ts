// SPDX-License-Identifier: Apache-2.0
// The router between two networks of two hosts, with real kernels as neighbours that it has not been told of.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { linkLocal } from '../../catalogue/addresses'
import { parse } from '../../packets/parse'
import type { Host } from '../../testing/host'
import type { Instance } from '../../testing/instance'
import type { Network } from '../../testing/network'
import { twoHosts } from '../../testing/underlay'
import type { Workload } from '../../testing/workload'
import { router } from './router'

//  alice ── web ── gateway ── db ── bob        one host
//            ║        ║        ║
//           web ── gateway ── db ── carol      the other
const CONFIG = {
  interfaces: {
    web: { address: '10.1.0.254/24', ipv6_address: 'fd01::fe/64', mtu: 1450 },
    db: { address: '10.2.0.254/24', ipv6_address: 'fd02::fe/64', mtu: 1400 }
  }
}
const OWN = router.presents!(CONFIG as never, 'gateway')
const place = (network: number, n: number) => ({
  mac: `02:00:00:00:0${network}:0${n}`,
  addresses: [`10.${network}.0.${n}/24`, `fd0${network}::${n}/64`],
  gateways: [`10.${network}.0.254`, `fd0${network}::fe`]
})

interface Side {
  host: Host
  web: Network
  db: Network
  gateway: Instance
}

async function sideOn(host: Host): Promise<Side> {
  const [web, db] = [await host.addNetwork(100), await host.addNetwork(200)]
  const gateway = await host.addInstance(router, CONFIG, { name: 'gateway' })
  for (const [port, network] of [web, db].entries()) {
    const { mac, addresses } = OWN[port === 0 ? 'web' : 'db']!
    network.know({ mac, addresses, bridge_port: network.stitch(gateway, port) })
  }
  return { host, web, db, gateway }
}

let hosts: [Host, Host] | undefined
let near: Side
let far: Side
let alice: Workload
let bob: Workload
let carol: Workload

beforeAll(async () => {
  hosts = await twoHosts()
  near = await sideOn(hosts[0])
  far = await sideOn(hosts[1])
  for (const [one, other] of [
    [near, far],
    [far, near]
  ] as const)
    for (const network of [one.web, one.db]) network.span(other.host.vtep)
  alice = await near.web.addWorkload('alice', place(1, 1))
  bob = await near.db.addWorkload('bob', place(2, 2))
  carol = await far.db.addWorkload('carol', place(2, 3))
  for (const address of ['10.2.0.33/24', 'fd02::33/64']) carol.net.addAddress(carol.ifindex, address)
})
afterAll(() => {
  for (const host of hosts ?? []) host.close()
})
beforeEach(() => {
  for (const { gateway } of [near, far])
    for (const name of ['learned', 'pending']) for (const { key } of gateway.table(name).entries()) gateway.table(name).delete(key)
})

describe.each([
  { family: 4, n: 0, gateway: '10.1.0.254', hidden: '10.2.0.33', nobody: '10.2.0.99' },
  { family: 6, n: 1, gateway: 'fd01::fe', hidden: 'fd02::33', nobody: 'fd02::99' }
])('IPv$family', ({ n, gateway, hidden, nobody }) => {
  test('the first packet to a neighbour of this host is not lost', () => {
    expect(alice.ping(bob.ips[n]!, { count: 1 })).toBe(1)
  })

  test('the first packet to a neighbour of another host is not lost', () => {
    expect(alice.ping(carol.ips[n]!, { count: 1 })).toBe(1)
  })

  test('the first packet to an address that no host has been told of is not lost: the gateway of its host passes the answer on', () => {
    const before = far.gateway.counters().relayed!
    expect(alice.ping(hidden, { count: 1 })).toBe(1)
    expect(far.gateway.counters().relayed! - before).toBe(1)
    expect(near.gateway.table('learned').entries()).toContainEqual({
      key: { address: hidden, scope: 0n },
      value: expect.objectContaining({ mac: carol.mac, port: 1 })
    })
  })

  test('the first segment of a connection is not lost', () => {
    const sentAgain = () => Number(/^Tcp:.*\nTcp:(?: -?\d+){11} (\d+)/m.exec(alice.run('cat', '/proc/net/snmp'))![1])
    const before = sentAgain()
    for (const address of [bob.ips[n]!, carol.ips[n]!, hidden])
      expect(() => alice.run('bash', '-c', `exec 3<>/dev/tcp/${address}/9`)).toThrow(/refused/)
    expect(sentAgain()).toBe(before)
  })

  test('a sender is told of the last hop, of the MTU and of a neighbour that there is not', () => {
    const complaint = (...options: string[]) => {
      try {
        return alice.run('ping', '-c', '1', '-W', '2', ...options)
      } catch (error) {
        return (error as { stdout: string }).stdout
      }
    }
    expect(complaint('-t', '1', bob.ips[n]!)).toMatch(/From (10.1.0.254|fd01::fe).*(Time to live|Hop limit)/is)
    expect(complaint('-M', 'do', '-s', '1390', bob.ips[n]!)).toMatch(/mtu ?= ?1400/i)
    const pending = near.gateway.table('pending')
    const key = { address: nobody, scope: 0 }
    expect(alice.ping(nobody, { count: 1 })).toBe(0)
    pending.put(key, { ...(pending.get(key) as { asked: bigint; rounds: bigint }), since: 0n })
    expect(complaint(nobody)).toMatch(/From (10.1.0.254|fd01::fe).*(Host|Address) unreachable/is)
  })

  test('the gateway answers pings, of each of its addresses', () => {
    expect(alice.ping(gateway)).toBe(2)
    expect(alice.ping(n === 0 ? '10.2.0.254' : 'fd02::fe')).toBe(2)
    expect(alice.ping(gateway, { options: ['-s', '4000'] })).toBe(2)
  })
})

test('questions made of a connection’s first segments are well formed on the wire', async () => {
  await carol.wire.captured()
  for (const address of ['10.2.0.33', 'fd02::33']) expect(() => alice.run('bash', '-c', `exec 3<>/dev/tcp/${address}/9`)).toThrow(/refused/)
  const frames = (await carol.wire.captured()).map(({ bytes }) => parse(bytes, { unchecked: true }))
  const asked = (target: string) => frames.filter(({ arp, solicitation }) => (arp?.target_ip ?? solicitation?.target) === target)
  expect(asked('10.2.0.33')).toMatchObject([{ arp: { operation: 1, sender_mac: OWN.db!.mac, sender_ip: '10.2.0.254' } }])
  expect(asked('fd02::33')).toMatchObject([
    { ipv6: { src: linkLocal(OWN.db!.mac) }, solicitation: { mac: OWN.db!.mac }, trailer: Buffer.alloc(0) }
  ])
})

test('a workload that solicits takes the router for its default gateway', async () => {
  const dave = await near.web.addWorkload('dave', { mac: '02:00:00:00:01:04', addresses: ['10.1.0.4/24'] })
  dave.net.setLink(dave.ifindex, { up: false })
  dave.net.sysctl('ipv6/conf/eth0/router_solicitations', '3')
  dave.net.setLink(dave.ifindex, { up: true })
  const routes = () => dave.run('ip', '-6', 'route')
  for (let waited = 0; waited < 5000 && !routes().includes('default'); waited += 100) await new Promise(resolve => setTimeout(resolve, 100))
  expect(routes()).toMatch(new RegExp(`default via ${linkLocal(OWN.web!.mac)}`))
  expect(routes()).toMatch(/fd01::\/64 dev eth0/)
})

describe('a gateway that only the other host has', () => {
  let gateway: Instance
  let erin: Workload

  beforeAll(async () => {
    const interfaces = {
      lone: { address: '10.3.0.254/24', ipv6_address: 'fd03::fe/64' },
      up: { address: '10.4.0.254/24', ipv6_address: 'fd04::fe/64' }
    }
    const { mac, addresses } = router.presents!({ interfaces } as never, 'lone').lone!
    const [here, there] = [await near.host.addNetwork(300), await far.host.addNetwork(300)]
    here.span(far.host.vtep)
    there.span(near.host.vtep)
    gateway = await far.host.addInstance(router, { interfaces }, { name: 'lone' })
    there.know({ mac, addresses, bridge_port: there.stitch(gateway, 0) })
    erin = await here.addWorkload('erin', place(3, 5))
  })

  test.each([
    { family: 4, limit: '(socket.IPPROTO_IP, socket.IP_TTL, 1)', failure: 113, beyond: '10.4.0.9' },
    { family: 6, limit: '(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 1)', failure: 113, beyond: 'fd04::9' }
  ])('tells the sender of an IPv$family datagram that it was the last hop', ({ family, limit, failure, beyond }) => {
    const before = gateway.counters().ttl_exceeded!
    for (const size of [0, 3, 33, 1400]) {
      const ask = `import socket
s = socket.socket(socket.AF_INET${family === 4 ? '' : '6'}, socket.SOCK_DGRAM)
s.setsockopt(*${limit})
s.setsockopt(*${family === 4 ? '(socket.IPPROTO_IP, 11, 1)' : '(socket.IPPROTO_IPV6, 25, 1)'})
s.settimeout(2)
s.connect(('${beyond}', 33434))
s.send(bytes(${size}))
try: s.recv(1)
except OSError as error: print(error.errno)`
      expect(erin.run('python3', '-c', ask)).toBe(`${failure}\n`)
    }
    expect(gateway.counters().ttl_exceeded! - before).toBe(4)
  })
})
