// SPDX-License-Identifier: Apache-2.0
// Pinned workload ports: what a workload says under a name that is not its own goes nowhere.

import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals'
import { eth, type Frame } from '../packets/frame'
import { Host } from '../testing/host'
import { makeNamespace, removeNamespaces } from '../testing/namespaces'
import { Wire } from '../testing/wire'
import type { Workload } from '../testing/workload'

const OWN = '02:00:00:00:04:01'
const OTHER = '02:00:00:00:04:02'
const STRANGER = '02:00:00:00:04:99'
/** Follows from OWN. */
const OWN_LINK_LOCAL = 'fe80::ff:fe00:401'
const ALL = 'ff:ff:ff:ff:ff:ff'

let host: Host
let b: Workload
let port: Wire

beforeAll(async () => {
  host = await Host.create(makeNamespace(), '127.0.0.1', 'lo')
  const network = await host.addNetwork(1, { suppression: false })
  const a = await network.addWorkload('a', { mac: OWN, addresses: ['10.4.0.1/24', 'fd04::1/64'], pinned: true })
  b = await network.addWorkload('b', { mac: OTHER, addresses: ['10.4.0.2/24', 'fd04::2/64'] })
  port = await Wire.at(host.netns, a.hostIfindex)
})
afterAll(() => {
  port?.close()
  host?.close()
  removeNamespaces()
})
beforeEach(async () => {
  await b.wire.captured()
})

/** Whether what workload a sends arrives; what does not is counted. */
async function arrives(frame: Frame): Promise<boolean> {
  const bytes = frame.bytes()
  const before = host.counters('port').spoofed!
  port.inject(bytes)
  const arrived = (await b.wire.captured()).some(captured => captured.bytes.equals(bytes))
  expect(host.counters('port').spoofed! - before).toBe(arrived ? 0 : 1)
  return arrived
}

const from = (src: string, dst = OTHER) => eth({ src, dst })
const v4 = (src: string) => from(OWN).ipv4({ src, dst: '10.4.0.2' }).udp().payload('hello')
const v6 = (src: string) => from(OWN).ipv6({ src, dst: 'fd04::2' }).udp().payload('hello')
const arp = (fields: object) => from(OWN, ALL).arp({ sender_mac: OWN, sender_ip: '10.4.0.1', target_ip: '10.4.0.9', ...fields })
const nd = (src: string, dst = 'ff02::1') => from(OWN, '33:33:00:00:00:01').ipv6({ src, dst, hop_limit: 255 })

/** An advertisement with another MAC in its second option; the first is 8 bytes long, or of no length. */
const hidden = (nonce: number) =>
  nd('fd04::1')
    .icmpv6({ type: 136 })
    .payload(
      Buffer.from(`fd040000000000000000000000000001${nonce ? '0e01' : '0e00'}0000000000000201${STRANGER.replaceAll(':', '')}`, 'hex')
    )

const own: [string, Frame][] = [
  ['its MAC and IPv4 address', v4('10.4.0.1')],
  ['its MAC and IPv6 address', v6('fd04::1')],
  ['the link-local address that its MAC makes', v6(OWN_LINK_LOCAL)],
  ['an ARP request', arp({})],
  ['an ARP reply', arp({ operation: 2 })],
  ['an ARP probe for its own address', arp({ sender_ip: '0.0.0.0', target_ip: '10.4.0.1' })],
  ['a solicitation', nd('fd04::1').solicitation({ target: 'fd04::9', mac: OWN })],
  ['a solicitation that looks for others with its own address', nd('::').solicitation({ target: 'fd04::1' })],
  ['an advertisement', nd('fd04::1').advertisement({ target: 'fd04::1', mac: OWN, flags: 'O' })],
  ['a router solicitation', nd(OWN_LINK_LOCAL, 'ff02::2').icmpv6({ type: 133, id: 0 })],
  ['a report of the groups it listens to, before it has an address', nd('::', 'ff02::16').icmpv6({ type: 143, id: 0 })],
  ['a request for an address', from(OWN, ALL).ipv4({ src: '0.0.0.0', dst: '255.255.255.255' }).udp({ sport: 68, dport: 67 })]
]

const spoofed: [string, Frame][] = [
  ['another MAC', from(STRANGER).ipv4({ src: '10.4.0.1', dst: '10.4.0.2' }).udp()],
  ['another IPv4 address', v4('10.4.0.3')],
  ['another IPv6 address', v6('fd04::3')],
  ['another link-local address', v6('fe80::1')],
  ['no address at all', v4('0.0.0.0')],
  ['an ARP request with another sender address', arp({ sender_ip: '10.4.0.2' })],
  ['an ARP request with another sender MAC', arp({ sender_mac: STRANGER })],
  ['an ARP reply for the gateway', arp({ operation: 2, sender_ip: '10.4.0.254' })],
  ["an ARP probe for another's address", arp({ sender_ip: '0.0.0.0', target_ip: '10.4.0.2' })],
  ["an advertisement of another's address", nd('fd04::1').advertisement({ target: 'fd04::2', mac: OWN, flags: 'O' })],
  ['an advertisement with another MAC', nd('fd04::1').advertisement({ target: 'fd04::1', mac: STRANGER, flags: 'O' })],
  ['a solicitation with another MAC', nd('fd04::1').solicitation({ target: 'fd04::9', mac: STRANGER })],
  ["a solicitation that looks for others with another's address", nd('::').solicitation({ target: 'fd04::2' })],
  ['a router advertisement', nd(OWN_LINK_LOCAL).icmpv6({ type: 134 })],
  ['an advertisement that hides another MAC behind a nonce', hidden(14)],
  ['an advertisement with an option that has no end', hidden(0)],
  ['a redirect', nd(OWN_LINK_LOCAL).icmpv6({ type: 137 })],
  ['a frame that is neither IP nor ARP', eth({ src: OWN, dst: OTHER, type: 0x88b5 }).payload('x')],
  ['a tagged frame', from(OWN).vlan(5).ipv4({ src: '10.4.0.1' }).udp()]
]

test.each(own)('%s passes', async (_, frame) => {
  expect(await arrives(frame)).toBe(true)
})

test.each(spoofed)('%s goes nowhere, and is counted', async (_, frame) => {
  expect(await arrives(frame)).toBe(false)
})
