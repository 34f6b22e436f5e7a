// SPDX-License-Identifier: Apache-2.0
// A workload of a hand-made host: a network namespace behind a veth, with addresses and commands to run.

import { execFile, execFileSync } from 'node:child_process'
import { promisify } from 'node:util'
import { type Netlink, type Netns, native } from '@inkev/native'
import { makeNamespace } from './namespaces'
import { Tapwire } from './tapwire'
import { Wire } from './wire'

const COMMAND_LIMIT_MS = 20_000
/** A workload's own end. */
const CARD = 'eth0'

export interface WorkloadOptions {
  mac: string
  /** With lengths: `10.0.0.1/24`. */
  addresses: string[]
  /** Default gateways. */
  gateways?: string[]
  mtu?: number
  /** Like a virtual machine: behind a tap instead of a veth. */
  tap?: boolean
}

/** Where a workload is to live. */
export interface Home {
  /** Of its namespace. */
  name: string
  net: Netlink
}

export class Workload {
  /** At its own end of the veth. */
  wire!: Wire

  private constructor(
    readonly name: string,
    readonly mac: string,
    readonly addresses: string[],
    readonly netns: Netns,
    readonly net: Netlink,
    /** Its own end. */
    readonly ifindex: number,
    /** The host's end. */
    readonly hostIfindex: number,
    private readonly card?: Tapwire
  ) {}

  /** `name` becomes the namespace's, and must be free. */
  static async create(name: string, host: Home, options: WorkloadOptions): Promise<Workload> {
    const { mac, addresses, gateways = [], mtu = 1450 } = options
    const netns = native.net.openNetns(`/run/netns/${makeNamespace(name)}`)
    const net = native.net.open(netns)
    const device = name.slice(-14)
    const card = options.tap ? await Tapwire.start([host.name, device], [name, CARD]) : undefined
    if (!card) host.net.createVeth({ name: device, peerName: CARD, peerNetns: netns })
    const [hostEnd, ownEnd] = [host.net.link(device)!.ifindex, net.link(CARD)!.ifindex]
    host.net.sysctl(`ipv6/conf/${device}/disable_ipv6`, '1')
    net.sysctl(`ipv6/conf/${CARD}/accept_dad`, '0')
    net.sysctl(`ipv6/conf/${CARD}/router_solicitations`, '0')
    net.setLink(ownEnd, { mac, mtu })
    net.setLink(ownEnd, { up: true })
    host.net.setLink(hostEnd, { mtu, up: true })
    for (const address of addresses) net.addAddress(ownEnd, address)
    for (const gateway of gateways) net.addRoute({ destination: gateway.includes(':') ? '::/0' : '0.0.0.0/0', gateway, ifindex: ownEnd })
    const workload = new Workload(name, mac, addresses, netns, net, ownEnd, hostEnd, card)
    workload.wire = await Wire.at(netns, ownEnd)
    return workload
  }

  /** Its addresses without their lengths. */
  get ips(): string[] {
    return this.addresses.map(address => address.split('/')[0]!)
  }

  /** What the command prints. Throws when it fails. */
  run(...command: string[]): string {
    return execFileSync('ip', ['netns', 'exec', this.name, ...command], { encoding: 'utf8', timeout: COMMAND_LIMIT_MS, stdio: 'pipe' })
  }

  /** As run(), beside whatever else goes on. */
  async start(...command: string[]): Promise<string> {
    const { stdout } = await promisify(execFile)('ip', ['netns', 'exec', this.name, ...command], { timeout: COMMAND_LIMIT_MS })
    return stdout
  }

  /** How many of `count` pings are answered; `options` as ping has them. */
  ping(address: string, { count = 2, options = [] }: { count?: number; options?: string[] } = {}): number {
    try {
      const printed = this.run('ping', '-c', `${count}`, '-i', '0.05', '-W', '1', ...options, address)
      return Number(/(\d+) received/.exec(printed)![1])
    } catch (error) {
      return Number(/(\d+) received/.exec(String((error as { stdout?: string }).stdout))?.[1] ?? 0)
    }
  }

  close(): void {
    this.wire.close()
    this.net.close()
    this.netns.close()
    native.net.deleteNetns(this.name)
    this.card?.close()
  }
}
