// SPDX-License-Identifier: Apache-2.0
// The policer in the chain of a workload, with real senders: trains of segments, and several CPUs at once. POLICER_SECONDS=10 measures longer, and
// demands more.

import { afterAll, beforeAll, expect, test } from '@jest/globals'
import type { Host } from '../../testing/host'
import type { Instance } from '../../testing/instance'
import { twoHosts } from '../../testing/underlay'
import type { Workload } from '../../testing/workload'
import { policer } from './policer'

const SECONDS = Number(process.env.POLICER_SECONDS ?? 2)
const STRICT = SECONDS >= 10
const MEGABITS = 50

let hosts: [Host, Host]
let police: Instance
let client: Workload
let server: Workload
const place = (n: number) => ({ mac: `02:00:00:00:03:0${n}`, addresses: [`10.3.0.${n}/24`, `fd03::${n}/64`] })

beforeAll(async () => {
  hosts = await twoHosts()
  police = await hosts[0].addChained(policer, { limits: { off: { set_dscp: 0 } } })
  const network = await hosts[0].addNetwork(300)
  client = await network.addWorkload('pa', { ...place(1), chain: [police.number] })
  server = await network.addWorkload('pb', { ...place(2) })
}, 60_000)
afterAll(() => {
  for (const host of hosts ?? []) host.close()
})

/** Megabits per second of IP packets that arrive, by iperf3's payload and the headers that it sends it with. */
async function arrives(family: 4 | 6, ...options: string[]): Promise<number> {
  const serving = server.start('iperf3', '-s', '-1')
  for (let n = 0; server.run('ss', '-Hltn', 'sport = :5201').trim() === ''; n++) if (n > 100) throw new Error('iperf3 does not listen')
  const address = server.ips[family === 4 ? 0 : 1]!
  const { end } = JSON.parse(client.run('iperf3', '-c', address, '-t', `${SECONDS}`, '-J', ...options)) as {
    end: { sum_received: { bytes: number; seconds: number } }
  }
  await serving
  return (end.sum_received.bytes * 8) / 1e6 / SECONDS
}

const limit = (more: object) => police.apply({ limits: { up: { direction: 'egress', rate: `${MEGABITS}mbit`, ...more } } })
/** Within so much of the rate; what a first burst brings beyond it is small against ten seconds. */
const held = (megabits: number, percent: number) =>
  expect(Math.abs(megabits / MEGABITS - 1) * 100).toBeLessThan(STRICT ? percent : percent + 30)

test.each([4, 6] as const)(
  'IPv%i: TCP fills the rate and does not exceed it',
  async family => {
    limit({})
    const header = family === 4 ? 52 : 72
    held((await arrives(family, '-C', 'reno')) * (1 + header / (1450 - header)), 5)
  },
  60_000
)

test('TCP that understands congestion marks fills the rate', async () => {
  client.run('sysctl', '-qw', 'net.ipv4.tcp_ecn=1')
  const { marked } = police.counters()
  limit({ exceed: 'mark' })
  held((await arrives(4, '-C', 'reno')) * (1 + 52 / 1398), 5)
  expect(police.counters().marked).toBeGreaterThan(marked!)
  client.run('sysctl', '-qw', 'net.ipv4.tcp_ecn=2')
}, 60_000)

test.each([4, 6] as const)(
  'IPv%i: UDP of three times the rate is cut down to it',
  async family => {
    limit({ burst: '50ms' })
    const header = family === 4 ? 28 : 48
    held((await arrives(family, '-u', '-P', '3', '-b', `${MEGABITS}M`, '-l', '1200')) * (1 + header / 1200), 2)
  },
  60_000
)

/** Sends datagrams of 1200 bytes, as many as it can, for as many seconds. */
const flood = (address: string, seconds: number) => `import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(('${address}', 9))
end = time.monotonic() + ${seconds}
while time.monotonic() < end:
    try: s.send(bytes(1200))
    except OSError: pass`
const FRAME = 14 + 20 + 8 + 1200

test('four processes that flood one bucket from all CPUs get no more than its burst and its rate together', async () => {
  limit({ burst: '100ms' })
  const received = () => Number(server.run('cat', '/sys/class/net/eth0/statistics/rx_bytes'))
  const [before, began] = [received(), performance.now()]
  await Promise.all([1, 2, 3, 4].map(() => client.start('python3', '-c', flood(server.ips[0]!, SECONDS))))
  const seconds = (performance.now() - began) / 1000
  const megabits = (((received() - before) * (FRAME - 14)) / FRAME) * 8e-6
  /* A packet of debt for each CPU, and some frames that are not the senders'. */
  expect(megabits).toBeLessThan(MEGABITS * (seconds + 0.1) + 0.1)
  expect(megabits).toBeGreaterThan(MEGABITS * SECONDS * 0.9)
}, 60_000)
