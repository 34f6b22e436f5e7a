// SPDX-License-Identifier: Apache-2.0
// The firewall in the chains of workloads on two hosts, with real ends: what the kernel's own TCP, UDP and ICMP do is never taken for an intrusion.

import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals'
import type { Host } from '../../testing/host'
import type { Instance } from '../../testing/instance'
import { twoHosts } from '../../testing/underlay'
import type { Workload } from '../../testing/workload'
import { firewall } from './firewall'

const rule = (more: object) => ({ direction: 'ingress', ...more })
const rules = {
  bulk: rule({ protocol: 'tcp', ports: '8443' }),
  web: rule({ protocol: 'tcp', ports: '8000-8099', action: 'reject' }),
  ping: rule({ protocol: 'icmp', icmp_type: 8 }),
  ping6: rule({ protocol: 'icmpv6', icmp_type: 128 }),
  probe: rule({ protocol: 'udp', ports: '9' }),
  closed: rule({ protocol: 'udp', ports: '10', action: 'reject' })
}
const config = { max_sessions: 4096, rules }

let hosts: [Host, Host]
/** One firewall for both workloads of a host, and one on the other host. */
let near: Instance
let far: Instance
let client: Workload
const servers: Record<string, Workload> = {}
const place = (n: number) => ({ mac: `02:00:00:00:02:0${n}`, addresses: [`10.2.0.${n}/24`, `fd02::${n}/64`] })

beforeAll(async () => {
  hosts = await twoHosts()
  near = await hosts[0].addChained(firewall, config)
  far = await hosts[1].addChained(firewall, config)
  const [left, right] = [await hosts[0].addNetwork(200), await hosts[1].addNetwork(200)]
  client = await left.addWorkload('a', { ...place(1), chain: [near.number] })
  servers['the same host'] = await left.addWorkload('b', { ...place(2), chain: [near.number] })
  servers['another host'] = await right.addWorkload('c', { ...place(3), chain: [far.number] })
  left.span(hosts[1].vtep)
  right.span(hosts[0].vtep)
}, 60_000)
afterAll(() => {
  for (const host of hosts ?? []) host.close()
})

/** Refusals so far. */
function refusals(): Record<string, number> {
  const counts = [near, far].map(instance => instance.counters())
  const reasons = ['denied', 'rejected', 'no_session', 'invalid', 'fragment', 'not_ip', 'malformed']
  return Object.fromEntries(reasons.map(reason => [reason, counts.reduce((sum, counters) => sum + counters[reason]!, 0)]))
}

let before: Record<string, number>
beforeEach(() => {
  before = refusals()
})

const cases = ['the same host', 'another host'].flatMap(where => ([4, 6] as const).map(family => ({ where, family })))

/** Both ends send and receive BULK bytes at once; `socket` listens or connects, and each prints what it has received. */
const BULK = 64 << 20
const exchange = (socket: string) => `import socket, threading, time
BULK = ${BULK}
def connect(address):
    for attempt in range(100):
        try: return socket.create_connection((address, 8443), 15)
        except ConnectionRefusedError: time.sleep(0.05)
def accept():
    listener = socket.create_server(('::', 8443), family=socket.AF_INET6, dualstack_ipv6=True)
    listener.settimeout(15)
    return listener.accept()[0]
s = ${socket}
s.settimeout(15)
sender = threading.Thread(target=lambda: (s.sendall(bytes(BULK)), s.shutdown(socket.SHUT_WR)))
sender.start()
got = 0
while chunk := s.recv(1 << 18): got += len(chunk)
sender.join()
print(got)`

test.each(cases)(
  'IPv$family on $where: bulk TCP flows both ways at once, and no segment of it is refused',
  async ({ where, family }) => {
    const server = servers[where]!
    const address = server.ips[family === 4 ? 0 : 1]!
    const got = await Promise.all([
      server.start('python3', '-c', exchange('accept()')),
      client.start('python3', '-c', exchange(`connect('${address}')`))
    ])
    expect(got.map(Number)).toEqual([BULK, BULK])
    expect(refusals()).toEqual(before)
  },
  30_000
)

test.each(cases)('IPv$family on $where: a rejected connection fails at once, and a silently denied one does not', ({ where, family }) => {
  const address = servers[where]!.ips[family === 4 ? 0 : 1]!
  const url = (port: number) => (family === 4 ? `http://${address}:${port}/` : `http://[${address}]:${port}/`)
  expect(() => client.run('curl', '-sS', '-m', '3', url(8080))).toThrow(/connect to server/)
  expect(() => client.run('curl', '-sS', '-m', '0.3', url(7000))).toThrow(/timed out/i)
  expect(refusals()).toMatchObject({ rejected: before.rejected! + 1, invalid: before.invalid, malformed: before.malformed })
})

test.each(cases)('IPv$family on $where: pings pass, small and in fragments', ({ where, family }) => {
  const address = servers[where]!.ips[family === 4 ? 0 : 1]!
  expect(client.ping(address, { count: 3 })).toBe(3)
  expect(client.ping(address, { count: 3, options: ['-s', '4000'] })).toBe(3)
  expect(refusals()).toEqual(before)
})

test.each(cases)('IPv$family on $where: a closed UDP port is told to the one who asks', ({ where, family }) => {
  const address = servers[where]!.ips[family === 4 ? 0 : 1]!
  const ask = `import socket
s = socket.socket(socket.AF_INET${family === 4 ? '' : '6'}, socket.SOCK_DGRAM)
s.settimeout(2)
s.connect(('${address}', 9))
s.send(b'?')
s.recv(1)`
  expect(() => client.run('python3', '-c', ask)).toThrow(/ConnectionRefusedError/)
  expect(refusals()).toEqual(before)
})

test.each(cases.flatMap(each => [0, 3, 33, 700, 1400].map(size => ({ ...each, size }))))(
  'IPv$family on $where: a rejected datagram of $size bytes is told to the one who sent it',
  ({ where, family, size }) => {
    const address = servers[where]!.ips[family === 4 ? 0 : 1]!
    const ask = `import socket
s = socket.socket(socket.AF_INET${family === 4 ? '' : '6'}, socket.SOCK_DGRAM)
s.settimeout(2)
s.connect(('${address}', 10))
s.send(bytes(${size}))
try: s.recv(1)
except OSError as error: print(type(error).__name__, error.errno)`
    expect(client.run('python3', '-c', ask)).toMatch(family === 4 ? /OSError 113/ : /PermissionError 13/)
    expect(refusals()).toEqual({ ...before, rejected: before.rejected! + 1 })
  }
)

test('rules change under running pings, and none is lost', async () => {
  const address = servers['another host']!.ips[0]!
  const pinging = client.start('ping', '-c', '60', '-i', '0.02', '-W', '1', address)
  for (let n = 0; n < 10; n++) {
    const more = Object.fromEntries(
      Array.from({ length: 20 }, (_, m) => [`r${n}-${m}`, rule({ protocol: 'tcp', ports: `${100 * n + m + 1}` })])
    )
    far.apply({ ...config, rejudge: true, rules: { ...rules, ...more } })
    await new Promise(resolve => setTimeout(resolve, 80))
  }
  expect(await pinging).toMatch(/ 0% packet loss/)
})
