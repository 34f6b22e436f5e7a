// SPDX-License-Identifier: Apache-2.0
// The example dhcp: stock clients in workload namespaces get their addresses from the kernel of their host.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { request } from '@inkev/bpf/functions/dhcp/testing'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type KernelState, kernelState, whatIsLeft } from '../lab/kernel'
import { Lab } from '../lab/lab'
import type { Namespace } from '../lab/namespace'
import { until } from '../lab/process'
import { Terraform } from '../lab/terraform'
import { ping } from '../lab/traffic'

/** What clients call to configure the device: as their own scripts, without touching the machine's resolv.conf. */
const UDHCPC_SCRIPT = `#!/bin/sh
echo "$1 ip=$ip mask=$mask router=$router dns=$dns domain=$domain mtu=$mtu routes=$staticroutes ntp=$ntpsrv lease=$lease server=$serverid"
case "$1" in
bound | renew) ip address replace "$ip/$mask" dev "$interface"; ip link set "$interface" mtu "$mtu"; ip route replace default via "$router" ;;
deconfig) ip -4 address flush dev "$interface"; ip link set "$interface" up ;;
esac
`
const DHCLIENT_SCRIPT = `#!/bin/sh
echo "$reason ip=$new_ip_address router=$new_routers domain=$new_domain_name mtu=$new_interface_mtu dns6=$new_dhcp6_name_servers search6=$new_dhcp6_domain_search"
case "$reason" in
BOUND | REBOOT | RENEW) ip address replace "$new_ip_address/24" dev "$interface"; ip route replace default via "$new_routers" ;;
RELEASE | EXPIRE | FAIL | STOP) ip -4 address flush dev "$interface" ;;
esac
exit 0
`

/** Of Ethernet, IP and UDP. */
const HEADERS = 14 + 20 + 8

/** Sends one datagram from the client's port to the server's, and prints the answer. */
const ASK = `
  const [own, server, message] = process.argv.slice(1)
  const socket = require('node:dgram').createSocket('udp4', answer => {
    console.log(answer.toString('hex'))
    socket.close()
  })
  socket.bind(68, own, () => socket.send(Buffer.from(message, 'hex'), 67, server))`

let lab: Lab
let terraform: Terraform
let before: KernelState
let folder: string
const at = (name: string) => join(folder, name)

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'inkev-dhcp-'))
  writeFileSync(at('udhcpc'), UDHCPC_SCRIPT, { mode: 0o755 })
  writeFileSync(at('dhclient'), DHCLIENT_SCRIPT, { mode: 0o755 })
  lab = await Lab.up({ hosts: 2 })
  before = await kernelState(lab)
  terraform = Terraform.ofExample('dhcp', lab)
  await terraform.init()
  await terraform.apply()
})

afterAll(async () => {
  await lab?.down()
  rmSync(folder, { recursive: true, force: true })
})

const laptop = () => lab.host('edge-1').workload('laptop')
const phone = () => lab.host('edge-1').workload('phone')
const printer = () => lab.host('edge-2').workload('printer')

/** One conversation of busybox's client, from the search for a server to the lease. */
function udhcpc(workload: Namespace, ...args: string[]): Promise<string> {
  return workload.run(['udhcpc', '-f', '-n', '-q', '-t', '4', '-T', '2', '-i', 'eth0', '-s', at('udhcpc'), ...args])
}

/** ISC's client; it goes on in the background until it releases its lease (`-r`). */
function dhclient(workload: Namespace, ...args: string[]): Promise<string> {
  return workload.run(['dhclient', '-sf', at('dhclient'), '-lf', at('leases'), '-pf', at('pid'), ...args, 'eth0'])
}

async function addressesOf(workload: Namespace): Promise<string[]> {
  const [device] = JSON.parse(await workload.run(['ip', '-j', '-4', 'address', 'show', 'dev', 'eth0']))
  return (device?.addr_info ?? []).map(({ local, prefixlen }: { local: string; prefixlen: number }) => `${local}/${prefixlen}`)
}

/** What a host's server has counted. */
async function countedOn(host: string): Promise<Record<string, number>> {
  return (await lab.host(host).request('GET', '/v1/functions/dhcp/counters')).body
}

/** The leases of a host's server, by the clients' addresses. */
async function leasesOf(host: string): Promise<Record<string, string>> {
  const { body } = await lab.host(host).request('GET', '/v1/functions/dhcp/tables/leases')
  return Object.fromEntries(body.items.map(({ name, value }: { name: string; value: { state: string } }) => [name, value.state]))
}

describe('the example dhcp', () => {
  test('leaves workloads without addresses until they ask for them', async () => {
    for (const workload of [laptop(), phone(), printer()]) expect(await addressesOf(workload)).toEqual([])
  })

  test('tells udhcpc its address and all else', async () => {
    expect(await udhcpc(laptop(), '-O', 'staticroutes', '-O', 'mtu', '-O', 'ntpsrv')).toContain(
      'bound ip=10.0.1.11 mask=24 router=10.0.1.1 dns=10.0.1.53 domain=office.example mtu=1450 ' +
        'routes=192.0.2.0/24 10.0.1.254 0.0.0.0/0 10.0.1.1 ntp=10.0.1.123 lease=3600 server=10.0.1.2'
    )
    expect(await addressesOf(laptop())).toEqual(['10.0.1.11/24'])
    expect(await ping(laptop(), '10.0.1.1', 3)).toBe(true)
  })

  test('answers on the host of the client alone', async () => {
    expect(await countedOn('edge-1')).toMatchObject({ offered: 1, acknowledged: 1 })
    expect(await countedOn('edge-2')).toMatchObject({ offered: 0, acknowledged: 0, unknown: 2 })
  })

  test('renews a lease for udhcpc', async () => {
    const client = phone().start(['udhcpc', '-f', '-i', 'eth0', '-s', at('udhcpc')])
    await client.says('bound ip=10.0.1.12')
    client.kill('SIGUSR1')
    await client.says('renew ip=10.0.1.12')
    await client.stop()
  })

  test('renews a lease by unicast, and a socket takes the answer for valid', async () => {
    const [{ address: mac }] = JSON.parse(await laptop().run(['ip', '-j', 'link', 'show', 'dev', 'eth0']))
    const message = request({ type: 'request', mac, client: '10.0.1.11' }).bytes().subarray(HEADERS)
    const answer = Buffer.from(await laptop().run(['node', '-e', ASK, '10.0.1.11', '10.0.1.2', message.toString('hex')]), 'hex')
    expect([answer.length, answer.subarray(16, 20).join('.')]).toEqual([548, '10.0.1.11'])
  })

  test('tells dhclient on another host its own, and both reach each other', async () => {
    expect(await dhclient(printer(), '-4', '-1', '-v')).toContain('BOUND ip=10.0.1.13 router=10.0.1.1 domain=office.example mtu=1450')
    expect(await addressesOf(printer())).toEqual(['10.0.1.13/24'])
    expect(await ping(printer(), '10.0.1.11', 3)).toBe(true)
    expect([await leasesOf('edge-1'), await leasesOf('edge-2')]).toEqual([
      { '10.0.1.11': 'bound', '10.0.1.12': 'bound' },
      { '10.0.1.13': 'bound' }
    ])
  })

  test('gives a client that wishes for another address its own', async () => {
    expect(await udhcpc(phone(), '-r', '10.0.1.99')).toContain('bound ip=10.0.1.12')
  })

  test('takes a lease back', async () => {
    await dhclient(printer(), '-4', '-r')
    expect(await leasesOf('edge-2')).toEqual({ '10.0.1.13': 'released' })
    expect(await addressesOf(printer())).toEqual([])
  })

  test('tells IPv6 hosts the rest', async () => {
    const output = await dhclient(printer(), '-6', '-S', '-1', '-v')
    await dhclient(printer(), '-6', '-S', '-x')
    expect(output).toContain('dns6=fd00:1::53 search6=office.example.')
  })

  test('tells the next who asks what has changed', async () => {
    expect(await terraform.apply(['-var', 'domain=lab.example'])).toContain('0 added, 1 changed, 0 destroyed')
    expect(await udhcpc(laptop())).toContain('domain=lab.example')
    await terraform.apply()
  })

  test('is followed by an empty plan', async () => {
    expect(await terraform.plan()).toMatchObject({ empty: true })
  })

  test('forgets the lease of a port that is gone', async () => {
    await lab.host('edge-1').request('DELETE', '/v1/ports/phone')
    const isForgotten = async () => !('10.0.1.12' in (await leasesOf('edge-1')))
    await until(isForgotten, 5000, () => 'The lease of 10.0.1.12 is there still')
    expect(await leasesOf('edge-1')).toEqual({ '10.0.1.11': 'bound' })
  })

  test('leaves nothing in the kernel once destroyed', async () => {
    await terraform.destroy()
    expect(await whatIsLeft(lab, before)).toEqual([])
  })
})
