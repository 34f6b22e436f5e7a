// SPDX-License-Identifier: Apache-2.0
// What a firewall refuses beyond a NAT is refused at once: resets and ICMP errors that real ends believe, on one host and across two.

import { afterAll, beforeAll, expect, test } from '@jest/globals'
import type { FunctionKind } from '../../catalogue/define'
import type { Host } from '../../testing/host'
import { twoHosts } from '../../testing/underlay'
import type { Workload } from '../../testing/workload'
import { firewall } from '../firewall/firewall'
import { nat } from './nat'

const CLIENT = ['10.7.0.1', 'fd07::1']
const SERVERS = { 'the same host': ['10.7.0.2', 'fd07::2'], 'another host': ['10.7.0.3', 'fd07::3'] }
const POOL = ['203.0.113.1', '2001:db8::1']
const FORWARDED = ['203.0.113.2', '2001:db8::2']
const LENGTHS = [32, 128]
/** What the firewalls of clients and of servers refuse. */
const OUT = 8001
const IN = 8002

const refuse = (direction: string, port: number) =>
  Object.fromEntries(['tcp', 'udp'].map(protocol => [protocol, { direction, protocol, ports: `${port}`, action: 'reject' }]))
const masquerade = {
  sources: Object.fromEntries([0, 1].map(n => [`v${n}`, { source: `${CLIENT[n]}/${LENGTHS[n]}`, pool: `${POOL[n]}/${LENGTHS[n]}` }]))
}
const forward = (to: string[]) => ({
  forwards: Object.fromEntries([0, 1].map(n => [`v${n}`, { address: FORWARDED[n], to_address: to[n] }]))
})

let hosts: [Host, Host] | undefined
let client: Workload

/** Chains from the workload outwards: the client's, NAT and firewall; each server's, firewall and NAT. */
beforeAll(async () => {
  hosts = await twoHosts()
  const [host, other] = hosts
  const [left, right] = [await host.addNetwork(700), await other.addNetwork(700)]
  const add = async (at: Host, kind: FunctionKind, config: object) => (await at.addChained(kind, { ...config, max_sessions: 4096 })).number
  const place = (addresses: string[], n: number, gateways: string[], chain: number[]) => ({
    mac: `02:00:00:00:07:0${n}`,
    addresses: [`${addresses[0]}/24`, `${addresses[1]}/64`],
    gateways,
    chain
  })
  const [near, far] = Object.values(SERVERS) as [string[], string[]]
  const outward = [await add(host, nat, masquerade), await add(host, firewall, { rules: refuse('egress', OUT) })]
  client = await left.addWorkload('ra', place(CLIENT, 1, far, outward))
  const inward = async (at: Host, to: string[]) => [
    await add(at, firewall, { rules: refuse('ingress', IN) }),
    await add(at, nat, forward(to))
  ]
  await left.addWorkload('rb', place(near, 2, CLIENT, await inward(host, near)))
  await right.addWorkload('rc', place(far, 3, CLIENT, await inward(other, far)))
  left.span(other.vtep)
  right.span(host.vtep)
}, 60_000)
afterAll(() => {
  for (const host of hosts ?? []) host.close()
})

/** How a connection, and a datagram, to each address and port end within seconds. */
const ASK = `import errno, json, socket, sys
def ask(kind, address, port):
    with socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, kind) as s:
        s.settimeout(3)
        try:
            s.connect((address, port))
            s.send(b'?')
            s.recv(1)
        except TimeoutError: return 'silence'
        except OSError as error: return errno.errorcode[error.errno]
print(json.dumps([[ask(kind, address, int(port)) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)] for port in sys.argv[1:3] for address in sys.argv[3:]]))`

/** By what errors: of connections and datagrams to the port that the client's firewall refuses, and to the one that the server's does. */
const ask = (addresses: string[]) => JSON.parse(client.run('python3', '-c', ASK, `${OUT}`, `${IN}`, ...addresses))
/** As Linux has a reset, and ICMP's and ICMPv6's "administratively prohibited". */
const REFUSALS = [
  ['ECONNREFUSED', 'EHOSTUNREACH'],
  ['ECONNREFUSED', 'EACCES']
]

test.each([
  ['the same host', SERVERS['the same host']],
  ['another host', SERVERS['another host']],
  ['another host, by its outside address', FORWARDED]
])('connections and datagrams to %s are refused at once, on either side of a NAT', (_, addresses) => {
  expect(ask(addresses)).toEqual([...REFUSALS, ...REFUSALS])
})
