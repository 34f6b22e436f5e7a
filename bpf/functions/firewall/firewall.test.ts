// SPDX-License-Identifier: Apache-2.0
// The firewall's sessions: packets in, packets out, and what is counted. Its rules have tests of their own.

import { afterAll, describe, expect, test } from '@jest/globals'
import { INSTANCE_FIRST, slotOf } from '../../core/graph'
import { eth, fragments } from '../../packets/frame'
import { loadFunction, type TestedFunction } from '../../testing/harness'
import { firewall } from './firewall'
import { other, type Side, Traffic } from './testing'

/** Loading takes longer than a test: one firewall for each configuration, emptied before it is used again. */
const firewalls = new Map<string, TestedFunction>()
afterAll(() => {
  for (const tested of firewalls.values()) tested.close()
})

/** By default it lets whatever the inside opens through, and nothing else. */
async function load(config: Record<string, unknown> = {}): Promise<TestedFunction> {
  const key = JSON.stringify(config)
  const tested = firewalls.get(key) ?? (await loadFunction(firewall, { max_sessions: 1024, ...config }))
  firewalls.set(key, tested)
  for (const name of ['sessions4', 'sessions6', 'fragments']) {
    const table = tested.table(name)
    for (const entry of table.entries()) table.delete(entry.key)
  }
  return tested
}

async function load4and6(config?: Record<string, unknown>): Promise<Traffic[]> {
  const tested = await load(config)
  return FAMILIES.map(family => new Traffic(tested, family))
}

const FAMILIES = [4, 6] as const
const each = describe.each(FAMILIES)
const passed = (from: Side) => ({ went: 'port', port: other(from) })
const dropped = (counter: string) => ({ went: 'nowhere', counted: { [counter]: 1 } })

each('a full table of sessions over IPv%i', family => {
  test('hardly gives up flows whose answers are still to come', async () => {
    const t = new Traffic(await load(), family)
    const unanswered: number[] = []
    const open = (ports: number[]) => {
      for (const sport of ports) expect(t.udp('inside', { sport, dport: 53 }).went).toBe('port')
      unanswered.push(...ports.filter(dport => t.udp('outside', { sport: 53, dport }).went !== 'port'))
    }
    const many = (first: number, last: number) => {
      for (let next = first; next < last; next += 64) open(Array.from({ length: 64 }, (_, n) => next + n))
    }
    many(1024, 7168)
    for (const { key } of t.firewall.table(`sessions${family}`).entries())
      t.udp('inside', { sport: (key as { local_port: number }).local_port, dport: 53 })
    many(8192, 10_240)
    /* Of 8,192: the kernel keeps its lists roughly, and without care twice to six times as many are lost. */
    expect(unanswered.length).toBeLessThan(80)
  })
})

each('TCP over IPv%i', family => {
  async function traffic(config?: Record<string, unknown>): Promise<Traffic> {
    return new Traffic(await load(config), family)
  }

  test('a connection from the inside passes both ways, from SYN to the last acknowledgement', async () => {
    const t = await traffic()
    expect(t.tcp('inside', 'S', { seq: 1000 })).toMatchObject({ ...passed('inside'), counted: { sessions_opened: 1 } })
    expect(t.session()).toMatchObject({ state: 'opened', opener: 'local' })
    expect(t.tcp('outside', 'SA', { seq: 5000, ack: 1001 })).toMatchObject(passed('outside'))
    expect(t.session()).toMatchObject({ state: 'answered' })
    expect(t.tcp('inside', 'A', { seq: 1001, ack: 5001 })).toMatchObject(passed('inside'))
    expect(t.session()).toMatchObject({ state: 'established' })
    expect(t.tcp('inside', 'PA', { seq: 1001, ack: 5001, payload: 100 })).toMatchObject(passed('inside'))
    expect(t.tcp('outside', 'PA', { seq: 5001, ack: 1101, payload: 200 })).toMatchObject(passed('outside'))
    expect(t.tcp('inside', 'FA', { seq: 1101, ack: 5201 })).toMatchObject(passed('inside'))
    expect(t.session()).toMatchObject({ state: 'closing' })
    expect(t.tcp('outside', 'FA', { seq: 5201, ack: 1102 })).toMatchObject(passed('outside'))
    expect(t.tcp('inside', 'A', { seq: 1102, ack: 5202 })).toMatchObject(passed('inside'))
    expect(t.session()).toMatchObject({ state: 'closed' })
  })

  test('a connection from the outside is refused', async () => {
    const t = await traffic()
    expect(t.tcp('outside', 'S')).toMatchObject(dropped('denied'))
    expect(t.sessions()).toHaveLength(0)
  })

  test.each(['A', 'PA', 'FA', 'SA', 'R', 'RA'])('a segment with %s that belongs to no session opens none', async flags => {
    const t = await traffic()
    expect(t.tcp('inside', flags, { ack: 1 })).toMatchObject(dropped('no_session'))
    expect(t.tcp('outside', flags, { ack: 1 })).toMatchObject(dropped('no_session'))
  })

  test('flags that cannot stand together are dropped, within a session and without', async () => {
    const t = await traffic()
    for (const flags of ['', 'F', 'SF', 'SR', 'FPU', 'SFRPAU']) expect(t.tcp('inside', flags)).toMatchObject(dropped('invalid'))
    t.connect()
    for (const flags of ['', 'F', 'SF', 'SR', 'FPU', 'SFRPAU'])
      expect(t.tcp('inside', flags, { seq: 1001, ack: 5001 })).toMatchObject(dropped('invalid'))
  })

  test('a late acknowledgement of a closed session neither revives it nor opens another', async () => {
    const t = await traffic()
    t.connect()
    t.tcp('inside', 'FA', { seq: 1001, ack: 5001 })
    t.tcp('outside', 'FA', { seq: 5001, ack: 1002 })
    t.tcp('inside', 'A', { seq: 1002, ack: 5002 })
    t.wait(200)
    const { last_seen } = t.session()
    expect(t.tcp('outside', 'A', { seq: 5002, ack: 1002 })).toMatchObject(passed('outside'))
    expect(t.session()).toMatchObject({ state: 'closed', last_seen })
    t.wait(41)
    expect(t.tcp('outside', 'A', { seq: 5002, ack: 1002 })).toMatchObject(dropped('no_session'))
    expect(t.tcp('inside', 'A', { seq: 1002, ack: 5002 })).toMatchObject(dropped('no_session'))
  })

  test('a lost last acknowledgement can be asked for again: the repeated FIN passes', async () => {
    const t = await traffic()
    t.connect()
    t.tcp('inside', 'FA', { seq: 1001, ack: 5001 })
    t.tcp('outside', 'FA', { seq: 5001, ack: 1002 })
    t.tcp('inside', 'A', { seq: 1002, ack: 5002 })
    expect(t.tcp('outside', 'FA', { seq: 5001, ack: 1002 })).toMatchObject(passed('outside'))
    expect(t.tcp('inside', 'A', { seq: 1002, ack: 5002 })).toMatchObject(passed('inside'))
  })

  test('of a path whose other direction never passes here the handshake begins, and nothing else is let through', async () => {
    const t = await traffic()
    expect(t.tcp('inside', 'S', { seq: 1000 })).toMatchObject(passed('inside'))
    expect(t.tcp('inside', 'A', { seq: 1001, ack: 5001 })).toMatchObject(dropped('invalid'))
    expect(t.tcp('inside', 'PA', { seq: 1001, ack: 5001, payload: 4 })).toMatchObject(dropped('invalid'))
    const replies = await traffic()
    expect(replies.tcp('outside', 'SA', { seq: 5000, ack: 1001 })).toMatchObject(dropped('no_session'))
  })

  test('a session outlives a move of its far end to another MAC address', async () => {
    const t = await traffic()
    t.connect()
    const moved = t.segment('outside', { flags: 'PA', seq: 5001, ack: 1001 }).payload(100).bytes()
    moved.set([0x02, 0, 0, 0, 0x99, 0x99], 6)
    expect(t.send('outside', moved)).toMatchObject(passed('outside'))
    expect(t.tcp('inside', 'A', { seq: 1001, ack: 5101 })).toMatchObject(passed('inside'))
  })

  test('a closed connection is opened again by a SYN, which the rules judge', async () => {
    const t = await traffic()
    t.connect()
    t.tcp('outside', 'RA', { seq: 5001, ack: 1001 })
    expect(t.session()).toMatchObject({ state: 'closed' })
    expect(t.tcp('outside', 'S', { seq: 9000 })).toMatchObject(dropped('denied'))
    expect(t.tcp('inside', 'S', { seq: 8000 })).toMatchObject({ ...passed('inside'), counted: { sessions_opened: 1 } })
    expect(t.session()).toMatchObject({ state: 'opened' })
  })

  test('the end that did not open the session cannot open one with a SYN into it', async () => {
    const t = await traffic()
    t.connect()
    expect(t.tcp('outside', 'S', { seq: 5001 })).toMatchObject(dropped('invalid'))
    expect(t.session()).toMatchObject({ state: 'established' })
  })

  test('an opener that has forgotten its session gets through to the other end, which resets it', async () => {
    const t = await traffic()
    t.connect()
    expect(t.tcp('inside', 'S', { seq: 777_000 })).toMatchObject(passed('inside'))
    expect(t.tcp('outside', 'A', { seq: 5001, ack: 1001 })).toMatchObject(passed('outside'))
    expect(t.tcp('inside', 'R', { seq: 1001 })).toMatchObject(passed('inside'))
    expect(t.session()).toMatchObject({ state: 'closed' })
  })

  test('where both ends have forgotten their session, another can begin in its place', async () => {
    const t = await traffic()
    t.connect()
    expect(t.tcp('inside', 'S', { seq: 900_000_000 })).toMatchObject(passed('inside'))
    expect(t.tcp('outside', 'SA', { seq: 2_000_000_000, ack: 900_000_001 })).toMatchObject(passed('outside'))
    expect(t.tcp('inside', 'A', { seq: 900_000_001, ack: 2_000_000_001 })).toMatchObject(passed('inside'))
    expect(t.tcp('outside', 'PA', { seq: 2_000_000_001, ack: 900_000_001, payload: 9 })).toMatchObject(passed('outside'))
    expect(t.session()).toMatchObject({ state: 'established' })
  })

  test('an answer to another SYN than the one that was sent is dropped', async () => {
    const t = await traffic()
    t.tcp('inside', 'S', { seq: 1000 })
    expect(t.tcp('outside', 'SA', { seq: 5000, ack: 1002 })).toMatchObject(dropped('invalid'))
    expect(t.tcp('outside', 'SA', { seq: 5000, ack: 1000 })).toMatchObject(dropped('invalid'))
    expect(t.tcp('outside', 'A', { seq: 5000, ack: 1001 })).toMatchObject(dropped('invalid'))
    expect(t.tcp('inside', 'SA', { seq: 1000, ack: 1001 })).toMatchObject(dropped('invalid'))
    expect(t.session()).toMatchObject({ state: 'opened' })
  })

  test('SYN and SYN-ACK may be repeated', async () => {
    const t = await traffic()
    t.tcp('inside', 'S', { seq: 1000 })
    expect(t.tcp('inside', 'S', { seq: 1000 })).toMatchObject({ ...passed('inside'), counted: {} })
    t.tcp('outside', 'SA', { seq: 5000, ack: 1001 })
    expect(t.tcp('outside', 'SA', { seq: 5000, ack: 1001 })).toMatchObject(passed('outside'))
    expect(t.tcp('inside', 'S', { seq: 1000 })).toMatchObject(passed('inside'))
    t.tcp('inside', 'A', { seq: 1001, ack: 5001 })
    expect(t.tcp('outside', 'SA', { seq: 5000, ack: 1001 })).toMatchObject(passed('outside'))
    expect(t.session()).toMatchObject({ state: 'established' })
  })

  test('both ends may open at the same time', async () => {
    const t = await traffic()
    expect(t.tcp('inside', 'S', { seq: 1000 })).toMatchObject(passed('inside'))
    expect(t.tcp('outside', 'S', { seq: 5000 })).toMatchObject(passed('outside'))
    expect(t.tcp('inside', 'SA', { seq: 1000, ack: 5001 })).toMatchObject(passed('inside'))
    expect(t.tcp('outside', 'SA', { seq: 5000, ack: 1001 })).toMatchObject(passed('outside'))
    expect(t.tcp('inside', 'PA', { seq: 1001, ack: 5001, payload: 5 })).toMatchObject(passed('inside'))
    expect(t.session()).toMatchObject({ state: 'established' })
  })

  test('data with the SYN may be acknowledged, or left for later', async () => {
    const t = await traffic()
    t.tcp('inside', 'S', { seq: 1000, payload: 100 })
    expect(t.tcp('outside', 'SA', { seq: 5000, ack: 1102 })).toMatchObject(dropped('invalid'))
    expect(t.tcp('outside', 'SA', { seq: 5000, ack: 1101 })).toMatchObject(passed('outside'))
    const again = await traffic()
    again.tcp('inside', 'S', { seq: 1000, payload: 100 })
    expect(again.tcp('outside', 'SA', { seq: 5000, ack: 1001 })).toMatchObject(passed('outside'))
    expect(again.tcp('inside', 'PA', { seq: 1001, ack: 5001, payload: 100 })).toMatchObject(passed('inside'))
  })

  test('a refused connection is closed by its reset', async () => {
    const t = await traffic()
    t.tcp('inside', 'S', { seq: 1000 })
    expect(t.tcp('outside', 'R', { seq: 0 })).toMatchObject(dropped('invalid'))
    expect(t.tcp('outside', 'RA', { seq: 0, ack: 1 })).toMatchObject(dropped('invalid'))
    expect(t.tcp('outside', 'RA', { seq: 0, ack: 1001 })).toMatchObject(passed('outside'))
    expect(t.session()).toMatchObject({ state: 'closed' })
  })

  test('a reset closes where its receiver expects it, passes elsewhere in the window, and is dropped beyond', async () => {
    const t = await traffic()
    t.connect()
    expect(t.tcp('outside', 'R', { seq: 4_000_000 })).toMatchObject(dropped('invalid'))
    expect(t.tcp('outside', 'R', { seq: 5500 })).toMatchObject(passed('outside'))
    expect(t.session()).toMatchObject({ state: 'established' })
    expect(t.tcp('outside', 'R', { seq: 5001 })).toMatchObject(passed('outside'))
    expect(t.session()).toMatchObject({ state: 'closed' })
  })

  test('segments far beyond or behind the window, and acknowledgements far beyond or behind what was sent, are dropped', async () => {
    const [mine, theirs] = [1000, 2000]
    const t = await traffic()
    t.tcp('inside', 'S', { seq: 1000, window: mine })
    t.tcp('outside', 'SA', { seq: 5000, ack: 1001, window: theirs })
    t.tcp('inside', 'A', { seq: 1001, ack: 5001, window: mine })
    const data = (side: Side, seq: number, ack: number) =>
      t.tcp(side, 'PA', { seq, ack, window: side === 'inside' ? mine : theirs, payload: 1 })
    expect(data('inside', 1001 + 2 * theirs + 1, 5001)).toMatchObject(dropped('invalid'))
    expect(data('outside', 5001 + 2 * mine + 1, 1001)).toMatchObject(dropped('invalid'))
    expect(data('inside', 1001 - 2 * theirs - 2, 5001)).toMatchObject(dropped('invalid'))
    expect(data('inside', 1001, 5001 + 2 * mine + 1)).toMatchObject(dropped('invalid'))
    expect(data('inside', 1001, 5001 - 66_001)).toMatchObject(dropped('invalid'))
    expect(t.session()).toMatchObject({
      end: [
        { sent: 1001, acked: 5001 },
        { sent: 5001, acked: 1001 }
      ]
    })
    expect(data('inside', 1001 + theirs, 5001)).toMatchObject(passed('inside'))
  })

  test('what one CPU has learnt and another overwritten is learnt again from the answer', async () => {
    const t = await traffic()
    t.connect()
    t.tcp('inside', 'PA', { seq: 1001, ack: 5001, payload: 1000 })
    t.forgetSent('inside', 1000)
    expect(t.tcp('outside', 'A', { seq: 5001, ack: 2001 })).toMatchObject(passed('outside'))
    expect(t.session()).toMatchObject({ end: [{ sent: 2001 }, { acked: 2001 }] })
  })

  test('repeated data, keepalives and probes of a closed window pass', async () => {
    const t = await traffic()
    t.connect('inside', {}, { window: 0 })
    expect(t.tcp('inside', 'A', { seq: 1001, ack: 5001, payload: 1 })).toMatchObject(passed('inside'))
    t.tcp('outside', 'A', { seq: 5001, ack: 1002, window: 5000 })
    t.tcp('inside', 'PA', { seq: 1002, ack: 5001, payload: 1000 })
    expect(t.tcp('inside', 'PA', { seq: 1002, ack: 5001, payload: 1000 })).toMatchObject(passed('inside'))
    expect(t.tcp('inside', 'A', { seq: 2001, ack: 5001 })).toMatchObject(passed('inside'))
  })

  test('sequence numbers go round', async () => {
    const t = await traffic()
    t.tcp('inside', 'S', { seq: 0xffffffff })
    t.tcp('outside', 'SA', { seq: 0xfffffff0, ack: 0 })
    t.tcp('inside', 'A', { seq: 0, ack: 0xfffffff1 })
    expect(t.tcp('inside', 'PA', { seq: 0, ack: 0xfffffff1, payload: 100 })).toMatchObject(passed('inside'))
    expect(t.tcp('outside', 'PA', { seq: 0xfffffff1, ack: 100, payload: 100 })).toMatchObject(passed('outside'))
    expect(t.tcp('inside', 'A', { seq: 100, ack: 0xfffffff1 + 100 })).toMatchObject(passed('inside'))
  })

  test('windows are scaled where both ends say so, and only there', async () => {
    const scale = (n: number) => ({ options: Buffer.from([1, 2, 4, 5, 180, 3, 3, n, 0, 0, 0, 0]) })
    const t = await traffic()
    t.connect('inside', scale(7), scale(8))
    t.tcp('outside', 'A', { seq: 5001, ack: 1001, window: 1000 })
    t.tcp('inside', 'A', { seq: 1001, ack: 5001, window: 500 })
    expect(t.session()).toMatchObject({ scales: 7 | (8 << 4), end: [{ window: 65_535 << 7 }, { window: 256_000 }] })
    expect(t.tcp('inside', 'PA', { seq: 1001 + 255_000, ack: 5001, payload: 1000 })).toMatchObject(passed('inside'))
    const plain = await traffic()
    plain.connect('inside', scale(7))
    expect(plain.session()).toMatchObject({ scales: 0, end: [{ window: 65_535 }, { window: 65_535 }] })
    expect(plain.tcp('inside', 'PA', { seq: 1001 + 2 * 65_535 + 1, ack: 5001, payload: 1 })).toMatchObject(dropped('invalid'))
  })

  test('a train of segments is as long as all of them', async () => {
    const t = await traffic()
    t.connect()
    const train = t.segment('inside', { flags: 'PA', seq: 1001, ack: 5001 }).payload(2000)
    expect(t.send('inside', train, 500)).toMatchObject(passed('inside'))
    expect(t.session()).toMatchObject({ end: [{ sent: 3001 }, {}] })
  })

  test('without the window check anything between the two ends passes, as long as flags and state agree', async () => {
    const t = await traffic({ tcp_window_check: false })
    t.connect()
    expect(t.tcp('outside', 'PA', { seq: 3_000_000_000, ack: 2_000_000_000, payload: 10 })).toMatchObject(passed('outside'))
    expect(t.tcp('outside', 'S')).toMatchObject(dropped('invalid'))
  })

  test('a session may be picked up in its middle if the operator says so and the rules allow it', async () => {
    const t = await traffic({ pick_up: true })
    expect(t.tcp('outside', 'PA', { seq: 5000, ack: 1000, payload: 10 })).toMatchObject(dropped('denied'))
    expect(t.tcp('inside', 'R', { seq: 1000 })).toMatchObject(dropped('no_session'))
    expect(t.tcp('inside', 'PA', { seq: 1000, ack: 5000, payload: 10 })).toMatchObject({
      ...passed('inside'),
      counted: { sessions_opened: 1 }
    })
    expect(t.tcp('outside', 'PA', { seq: 5000, ack: 1010, payload: 2_000 })).toMatchObject(passed('outside'))
    expect(t.tcp('inside', 'FA', { seq: 1010, ack: 7000 })).toMatchObject(passed('inside'))
    expect(t.tcp('outside', 'FA', { seq: 7000, ack: 1011 })).toMatchObject(passed('outside'))
    expect(t.tcp('inside', 'A', { seq: 1011, ack: 7001 })).toMatchObject(passed('inside'))
    expect(t.session()).toMatchObject({ state: 'closed' })
  })

  test('a session that was silent for too long is forgotten: established ones later than others', async () => {
    const t = await traffic({ tcp_established_timeout: '1h', tcp_transient_timeout: '60s' })
    t.tcp('inside', 'S', { seq: 1000 })
    t.wait(61)
    expect(t.tcp('outside', 'SA', { seq: 5000, ack: 1001 })).toMatchObject(dropped('no_session'))
    t.connect()
    t.wait(3599)
    expect(t.tcp('outside', 'A', { seq: 5001, ack: 1001 })).toMatchObject(passed('outside'))
    t.wait(3601)
    expect(t.tcp('outside', 'A', { seq: 5001, ack: 1001 })).toMatchObject(dropped('no_session'))
    expect(t.tcp('inside', 'A', { seq: 1001, ack: 5001 })).toMatchObject(dropped('no_session'))
  })
})

each('other protocols over IPv%i', family => {
  async function traffic(config?: Record<string, unknown>): Promise<Traffic> {
    return new Traffic(await load(config), family)
  }

  test('a UDP session is opened by its first datagram and established by the first answer', async () => {
    const t = await traffic()
    expect(t.udp('outside')).toMatchObject(dropped('denied'))
    expect(t.udp('inside')).toMatchObject({ ...passed('inside'), counted: { sessions_opened: 1 } })
    expect(t.udp('inside')).toMatchObject({ ...passed('inside'), counted: {} })
    expect(t.session()).toMatchObject({ state: 'opened', opener: 'local' })
    expect(t.udp('outside')).toMatchObject(passed('outside'))
    expect(t.session()).toMatchObject({ state: 'established' })
    expect(t.udp('outside', { sport: 81 })).toMatchObject(dropped('denied'))
    expect(t.udp('outside', { dport: 40_001 })).toMatchObject(dropped('denied'))
  })

  test('a UDP session that was silent for too long is forgotten, and one that is heard of is not', async () => {
    const t = await traffic({ udp_timeout: '10s' })
    t.udp('inside')
    t.wait(9)
    expect(t.udp('outside')).toMatchObject(passed('outside'))
    t.wait(9)
    expect(t.udp('outside')).toMatchObject(passed('outside'))
    t.wait(11)
    expect(t.udp('outside')).toMatchObject(dropped('denied'))
  })

  test('a ping is answered, and admits no ping the other way', async () => {
    const t = await traffic()
    expect(t.pong('outside')).toMatchObject(dropped('no_session'))
    expect(t.ping('inside')).toMatchObject(passed('inside'))
    expect(t.pong('outside')).toMatchObject(passed('outside'))
    expect(t.pong('outside', 8)).toMatchObject(dropped('no_session'))
    expect(t.ping('outside')).toMatchObject(dropped('denied'))
    expect(t.pong('inside')).toMatchObject(dropped('no_session'))
  })

  test('a ping is forgotten after its own time', async () => {
    const t = await traffic({ icmp_timeout: '5s' })
    t.ping('inside')
    t.wait(6)
    expect(t.pong('outside')).toMatchObject(dropped('no_session'))
  })

  test('an SCTP association is opened by INIT, and closed by ABORT or SHUTDOWN COMPLETE', async () => {
    const [DATA, INIT, INIT_ACK, ABORT, COOKIE_ECHO, SHUTDOWN_COMPLETE] = [0, 1, 2, 6, 10, 14] as const
    const t = await traffic()
    expect(t.sctp('inside', DATA)).toMatchObject(dropped('no_session'))
    expect(t.sctp('inside', INIT)).toMatchObject(passed('inside'))
    expect(t.sctp('outside', INIT_ACK)).toMatchObject(passed('outside'))
    expect(t.sctp('inside', COOKIE_ECHO)).toMatchObject(passed('inside'))
    expect(t.session()).toMatchObject({ state: 'established' })
    expect(t.sctp('outside', SHUTDOWN_COMPLETE)).toMatchObject(passed('outside'))
    expect(t.session()).toMatchObject({ state: 'closed' })
    expect(t.sctp('outside', INIT)).toMatchObject(dropped('denied'))
    expect(t.sctp('inside', INIT)).toMatchObject(passed('inside'))
    expect(t.sctp('outside', ABORT)).toMatchObject(passed('outside'))
    expect(t.session()).toMatchObject({ state: 'closed' })
    expect((await traffic({ pick_up: true })).sctp('inside', DATA)).toMatchObject(passed('inside'))
  })

  test('a protocol without ports has one session between two addresses', async () => {
    const GRE = 47
    const t = await traffic()
    const gre = (side: Side) => {
      const [src, dst] = family === 4 ? ['10.0.0.1', '192.0.2.7'] : ['fd00::1', '2001:db8::7']
      const ends = side === 'inside' ? { src, dst } : { src: dst, dst: src }
      return t.send(
        side,
        family === 4
          ? eth()
              .ipv4({ ...ends, protocol: GRE })
              .payload(20)
          : eth()
              .ipv6({ ...ends, next: GRE })
              .payload(20)
      )
    }
    expect(gre('outside')).toMatchObject(dropped('denied'))
    expect(gre('inside')).toMatchObject(passed('inside'))
    expect(gre('outside')).toMatchObject(passed('outside'))
    t.wait(601)
    expect(gre('outside')).toMatchObject(dropped('denied'))
  })

  test('an ICMP error passes to the end whose packet it quotes, whoever sends it', async () => {
    const t = await traffic()
    t.tcp('inside', 'S')
    t.udp('inside', { dport: 53 })
    t.ping('inside')
    expect(t.unreachable('outside', t.segment('inside'))).toMatchObject({ ...passed('outside'), counted: {} })
    expect(t.unreachable('outside', t.datagram('inside', { dport: 53 }))).toMatchObject(passed('outside'))
    expect(t.unreachable('outside', t.echo('inside', 'request'))).toMatchObject(passed('outside'))
    t.udp('outside', { sport: 53 })
    expect(t.unreachable('inside', t.datagram('outside', { sport: 53 }))).toMatchObject(passed('inside'))
  })

  test('an ICMP error about no session, to another than it quotes, or on the wrong side is dropped', async () => {
    const t = await traffic()
    t.udp('inside', { dport: 53 })
    const quoted = t.datagram('inside', { dport: 53 })
    expect(t.unreachable('outside', t.datagram('inside', { dport: 54 }))).toMatchObject(dropped('no_session'))
    expect(t.unreachable('outside', t.datagram('outside', { sport: 53 }))).toMatchObject(dropped('no_session'))
    expect(t.unreachable('inside', quoted)).toMatchObject(dropped('no_session'))
    const stranger =
      family === 4 ? eth().ipv4({ src: '198.51.100.1', dst: '10.0.0.9' }) : eth().ipv6({ src: '2001:db8:1::1', dst: 'fd00::9' })
    expect(t.unreachable('outside', quoted, stranger)).toMatchObject(dropped('no_session'))
    t.wait(121)
    expect(t.unreachable('outside', quoted)).toMatchObject(dropped('no_session'))
  })

  test('an ICMP error that quotes no session at all, or less than its ports, is dropped', async () => {
    const t = await traffic()
    t.tcp('inside', 'S')
    t.ping('inside')
    const headers = family === 4 ? 20 : 40
    const error = (quoted: Uint8Array) =>
      t.send('outside', t.icmp(t.fromRouter('outside'), { type: family === 4 ? 11 : 3 }).payload(quoted))
    const segment = t.segment('inside').bytes().subarray(14)
    expect(error(segment.subarray(0, headers + 8))).toMatchObject(passed('outside'))
    expect(error(segment.subarray(0, headers + 3))).toMatchObject(dropped('malformed'))
    expect(error(segment.subarray(0, headers - 1))).toMatchObject(dropped('malformed'))
    expect(
      error(
        t
          .icmp(t.ip('inside'), { type: family === 4 ? 13 : 135 })
          .bytes()
          .subarray(14)
      )
    ).toMatchObject(dropped('no_session'))
  })

  test('later fragments follow the first one of their packet, both ways', async () => {
    const t = await traffic()
    const [first, second, third] = fragments(t.datagram('inside').payload(3000), 1200)
    expect(t.send('inside', second!)).toMatchObject(dropped('fragment'))
    for (const fragment of [first, second, third, third]) expect(t.send('inside', fragment!)).toMatchObject(passed('inside'))
    for (const fragment of fragments(t.datagram('outside').payload(3000), 1200))
      expect(t.send('outside', fragment)).toMatchObject(passed('outside'))
  })

  test('later fragments of a packet that was refused are dropped, and so are those of another packet or way', async () => {
    const t = await traffic()
    const [first, second] = fragments(t.datagram('outside').payload(2000), 1200)
    expect(t.send('outside', first!)).toMatchObject(dropped('denied'))
    expect(t.send('outside', second!)).toMatchObject(dropped('fragment'))
    const [mine, other] = fragments(t.datagram('inside').payload(2000), 1200)
    expect(t.send('inside', mine!)).toMatchObject(passed('inside'))
    expect(t.send('outside', other!)).toMatchObject(dropped('fragment'))
  })

  test('a fragment that overlaps the first one is dropped', async () => {
    const t = await traffic()
    const [first] = fragments(t.datagram('inside').payload(2000), 1200)
    const [, overlapping] = fragments(t.datagram('inside').payload(2000), 1192)
    t.send('inside', first!)
    expect(t.send('inside', overlapping!)).toMatchObject(dropped('fragment'))
  })

  test('a fragment that comes after its packet’s time is dropped', async () => {
    const t = await traffic()
    const [first, second] = fragments(t.datagram('inside').payload(2000), 1200)
    t.send('inside', first!)
    const passes = t.firewall.table('fragments')
    for (const { key, value } of passes.entries())
      passes.put(key, { ...(value as object), since: (value as { since: bigint }).since - 31_000_000_000n } as never)
    expect(t.send('inside', second!)).toMatchObject(dropped('fragment'))
  })

  test('a TCP session whose segments are fragmented goes on without the window check', async () => {
    const t = await traffic()
    t.connect()
    for (const fragment of fragments(t.segment('inside', { flags: 'PA', seq: 1001, ack: 5001 }).payload(3000), 1200))
      expect(t.send('inside', fragment)).toMatchObject(passed('inside'))
    expect(t.tcp('outside', 'A', { seq: 5001, ack: 4001 })).toMatchObject(passed('outside'))
  })

  test('a packet cut short anywhere behind its IP header, or shorter than it says, is dropped', async () => {
    const t = await traffic()
    const least = family === 4 ? 34 : 54 // the kernel runs no test with less
    t.tcp('inside', 'S')
    for (const frame of [t.segment('inside', { flags: 'S' }), t.datagram('inside'), t.echo('inside', 'request')]) {
      const bytes = frame.bytes()
      for (let length = least; length < bytes.length; length++)
        expect(t.send('inside', frame.cut(length))).toMatchObject(dropped('malformed'))
      expect(t.send('inside', bytes)).toMatchObject(passed('inside'))
    }
  })

  test('a packet of a session that says to be shorter than its headers is dropped', async () => {
    const t = await traffic()
    t.connect()
    const segment = t.segment('inside', { flags: 'A', seq: 1001, ack: 5001 }).bytes()
    const [field, least] = family === 4 ? [16, 40] : [18, 20]
    for (let length = 0; length < least; length++) {
      expect(t.send('inside', segment)).toMatchObject(passed('inside'))
      const short = Buffer.from(segment)
      short.writeUInt16BE(length, field)
      expect(t.send('inside', short)).toMatchObject(dropped('malformed'))
    }
  })

  test('a session is as readable as the operator wrote its addresses', async () => {
    const t = await traffic()
    t.connect()
    const [local, remote] = family === 4 ? ['10.0.0.1', '192.0.2.7'] : ['fd00::1', '2001:db8::7']
    expect(t.sessions()).toMatchObject([
      {
        key: { local, remote, local_port: 40_000, remote_port: 80, workload: 0, protocol: 'tcp' },
        value: { state: 'established', opener: 'local', last_seen: expect.any(BigInt) }
      }
    ])
  })
})

describe('without a rule', () => {
  test('ARP passes, and other frames that are not IP are dropped', async () => {
    const [t] = await load4and6()
    for (const side of ['inside', 'outside'] as const) expect(t!.send(side, eth().arp())).toMatchObject(passed(side))
    expect(t!.send('inside', eth({ type: 0x88cc }).payload(46))).toMatchObject(dropped('not_ip'))
    expect(t!.send('inside', eth().vlan(5).ipv4().udp())).toMatchObject(dropped('not_ip'))
  })

  test('neighbours, routers and groups are discovered, but none inside may pose as a router', async () => {
    const [, t] = await load4and6()
    const nd = (type: number, hop_limit = 255) => eth().ipv6({ dst: 'ff02::1', hop_limit }).icmpv6({ type }).payload(20)
    for (const type of [130, 131, 132, 133, 135, 136, 143])
      for (const side of ['inside', 'outside'] as const) expect(t!.send(side, nd(type))).toMatchObject(passed(side))
    expect(t!.send('outside', nd(134))).toMatchObject(passed('outside'))
    const strict = new Traffic(await load({ default_egress: 'deny' }), 6)
    expect(strict.send('inside', nd(134))).toMatchObject(dropped('denied'))
    expect(strict.send('outside', nd(137))).toMatchObject(dropped('denied'))
    expect(strict.send('outside', nd(135, 64))).toMatchObject(dropped('denied'))
  })

  test('discovery may be forbidden', async () => {
    const tested = await load({ allow_discovery: false, default_egress: 'deny' })
    expect(tested.send(eth().arp())).toMatchObject(dropped('not_ip'))
    expect(tested.send(eth().ipv6({ hop_limit: 255 }).icmpv6({ type: 135 }).payload(20))).toMatchObject(dropped('denied'))
  })

  test('the inside asks for addresses by DHCP and DHCPv6, and never hands them out', async () => {
    const tested = await load({ default_egress: 'deny' })
    const v4 = eth().ipv4({ src: '0.0.0.0', dst: '255.255.255.255' })
    const [ask, answer] = [
      { sport: 68, dport: 67 },
      { sport: 67, dport: 68 }
    ]
    const [ask6, answer6] = [
      { sport: 546, dport: 547 },
      { sport: 547, dport: 546 }
    ]
    expect(tested.send(v4.udp(ask))).toMatchObject({ ...passed('inside'), counted: {} })
    expect(tested.send(eth().ipv4().udp(answer), { port: 'outside' })).toMatchObject(passed('outside'))
    expect(tested.send(v4.udp(answer))).toMatchObject(dropped('denied'))
    expect(tested.send(v4.udp(ask), { port: 'outside' })).toMatchObject(dropped('denied'))
    expect(tested.send(eth().ipv6().udp(ask6))).toMatchObject(passed('inside'))
    expect(tested.send(eth().ipv6().udp(answer6), { port: 'outside' })).toMatchObject(passed('outside'))
    const strict = await load({ default_egress: 'deny', allow_dhcp: false })
    expect(strict.send(v4.udp(ask))).toMatchObject(dropped('denied'))
  })
})

describe('an answer to what is rejected', () => {
  const config = { default_ingress: 'reject', default_egress: 'reject' }

  test('TCP draws a reset, back to where it came from', async () => {
    for (const t of await load4and6(config))
      for (const side of ['inside', 'outside'] as const) {
        const outcome = t.tcp(side, 'S', { seq: 1000 })
        expect(outcome).toMatchObject({ went: 'port', port: side, counted: { rejected: 1 } })
        expect(outcome.parsed().tcp).toMatchObject({ flags: 'RA', ack: 1001 })
      }
  })

  test('all else draws an ICMP error: communication administratively prohibited', async () => {
    for (const t of await load4and6(config)) {
      const outcome = t.udp('outside')
      expect(outcome).toMatchObject({ went: 'port', port: 'outside', counted: { rejected: 1 } })
      expect(outcome.parsed()).toMatchObject(t.family === 4 ? { icmp: { type: 3, code: 13 } } : { icmpv6: { type: 1, code: 1 } })
      expect(t.ping('outside')).toMatchObject({ went: 'port', port: 'outside', counted: { rejected: 1 } })
    }
  })

  test('what must not be answered is dropped in silence', async () => {
    for (const t of await load4and6(config)) {
      expect(t.send('inside', t.ip('inside', { dst: t.family === 4 ? '224.0.0.251' : 'ff02::fb' }).udp())).toMatchObject(dropped('denied'))
      expect(t.tcp('inside', 'R')).toMatchObject(dropped('no_session'))
    }
  })
})

describe('one firewall shared by many', () => {
  /** As the agent stitches a function that stands in the chains of workload ports. */
  async function inChains(...workloads: number[]): Promise<TestedFunction> {
    const tested = await loadFunction(firewall, { max_sessions: 1024 })
    firewalls.set(`chains of ${workloads}`, tested)
    for (const port of [0, 1]) tested.table('stitches').put(slotOf(INSTANCE_FIRST, port), { target: 0, port: 0, kind: 'ATTACHED_CHAIN' })
    for (const id of workloads) {
      tested.addWorkload(id)
      const workload = tested.table('workloads').get(id) as Record<string, never>
      const network = { target: INSTANCE_FIRST + 1, port: 1, kind: 'ATTACHED_FUNCTION' }
      tested.table('workloads').put(id, { ...workload, chain: [INSTANCE_FIRST], network })
    }
    return tested
  }

  test('a session of one workload port is none of another, though all addresses are the same', async () => {
    const tested = await inChains(3, 4)
    const [mine, theirs] = [new Traffic(tested, 4, 3), new Traffic(tested, 4, 4)]
    expect(mine.udp('inside')).toMatchObject(passed('inside'))
    expect(theirs.udp('outside')).toMatchObject(dropped('denied'))
    expect(mine.udp('outside')).toMatchObject({ went: 'device' })
    expect(mine.session()).toMatchObject({ state: 'established' })
    expect(mine.sessions()[0]!.key).toMatchObject({ workload: 3 })
  })

  test('a fragment of one workload port’s packet is none of another’s', async () => {
    const tested = await inChains(3, 4)
    const [mine, theirs] = [new Traffic(tested, 6, 3), new Traffic(tested, 6, 4)]
    const [first, second] = fragments(mine.datagram('inside').payload(2000), 1200)
    mine.send('inside', first!)
    expect(theirs.send('inside', second!)).toMatchObject(dropped('fragment'))
    expect(mine.send('inside', second!)).toMatchObject(passed('inside'))
  })

  test('stitched between functions it has one table of sessions, whichever workload a packet is from', async () => {
    const tested = await load()
    expect(new Traffic(tested, 4, 3).udp('inside')).toMatchObject(passed('inside'))
    expect(new Traffic(tested, 4, 9).udp('outside')).toMatchObject(passed('outside'))
  })

  test('where there are more sessions than room, those silent for longest are forgotten', async () => {
    const tested = await load()
    const t = new Traffic(tested, 4)
    for (let n = 0; n < 5000; n++) t.udp('inside', { sport: 1024 + n })
    expect(t.sessions().length).toBeLessThanOrEqual(2048)
    for (let n = 4500; n < 5000; n++) expect(t.udp('outside', { dport: 1024 + n })).toMatchObject(passed('outside'))
  })
})
