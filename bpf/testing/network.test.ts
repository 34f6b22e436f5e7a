// SPDX-License-Identifier: Apache-2.0
// One network on two hosts, on real devices: delivery, flooding, discovery, tunnels.

import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { eth } from './frame'
import type { Host } from './host'
import type { Network } from './network'
import { parse } from './parse'
import { twoHosts } from './underlay'
import type { Workload } from './workload'

let hosts: [Host, Host]
let near: Network
let far: Network
let a: Workload
let b: Workload
let c: Workload

const mac = (n: number) => `02:00:00:00:01:0${n}`
const place = (n: number) => ({ mac: mac(n), addresses: [`10.1.0.${n}/24`, `fd01::${n}/64`] })

beforeAll(async () => {
  hosts = await twoHosts()
  near = await hosts[0].addNetwork(100)
  far = await hosts[1].addNetwork(100)
  a = await near.addWorkload('a', place(1))
  b = await near.addWorkload('b', place(2))
  c = await far.addWorkload('c', place(3))
  near.span(hosts[1].vtep)
  far.span(hosts[0].vtep)
})
afterAll(() => {
  for (const host of hosts ?? []) host.close()
})

const addresses = (workload: Workload) => workload.ips

test('workloads of one host reach each other by IPv4 and IPv6', () => {
  for (const ip of addresses(b)) expect(a.ping(ip)).toBe(2)
})

test('workloads of two hosts reach each other by IPv4 and IPv6, without anyone having said where they are', () => {
  for (const ip of addresses(c)) expect(a.ping(ip)).toBe(2)
  for (const ip of addresses(b)) expect(c.ping(ip)).toBe(2)
})
