// SPDX-License-Identifier: Apache-2.0
// What inkev is measured against: bare links, a Linux bridge, and what Neutron's reference implementation builds (bridges, router namespace, kernel vxlan, conntrack).

import { LoadedObject } from '@inkev/bpf/testing/instance'
import { native } from '@inkev/native'
import { Namespace } from '../lab/namespace'
import { type RunningProgram, run } from '../lab/process'

/** A client and a server that reach each other over what is to be measured. */
export interface Scenario {
  client: Namespace
  server: Namespace
  /** Address of the server. */
  address: string
  /** A program in user space stands on the way: part of what a connection takes is on its account. */
  userSpace?: true
}

/** A namespace of a reference, known to `ip netns` by its name. */
export class NamedNamespace extends Namespace {
  constructor(readonly name: string) {
    super(['nsenter', `--net=/run/netns/${name}`, '--'])
  }

  /** Runs commands one after the other; their arguments are separated by blanks. */
  async each(...commands: string[]): Promise<void> {
    for (const command of commands) await this.run(command.split(' '))
  }
}

/** The namespaces of the references, removed together. */
export class Scope {
  private readonly made: string[] = []
  private readonly attached: { close(): void }[] = []
  private readonly running: RunningProgram[] = []

  constructor(private readonly prefix: string) {}

  async make(name: string): Promise<NamedNamespace> {
    const namespace = `${this.prefix}-${name}`
    await run(['ip', 'netns', 'add', namespace])
    this.made.push(namespace)
    await run(['ip', '-n', namespace, 'link', 'set', 'lo', 'up'])
    return new NamedNamespace(namespace)
  }

  /** Puts programs of an object at the tcx ingress of devices. */
  attach(object: LoadedObject, namespace: string, ...hooks: [ifindex: number, program: string][]): void {
    const netns = native.net.openNetns(`/run/netns/${namespace}`)
    const links = hooks.map(([ifindex, program]) => object.program(program).attachTcx(ifindex, 'ingress', netns))
    this.attached.push(netns, ...links, object)
  }

  /** Starts a program that runs until the references are removed, and waits until it says that it is ready. */
  async start(namespace: NamedNamespace, command: string[]): Promise<void> {
    const program = namespace.start(command)
    this.running.push(program)
    await program.says('ready')
  }

  async down(): Promise<void> {
    for (const program of this.running.splice(0)) await program.stop('SIGKILL')
    for (const each of this.attached.splice(0)) each.close()
    for (const namespace of this.made.splice(0)) await run(['ip', 'netns', 'del', namespace])
  }
}

interface End {
  namespace: NamedNamespace
  device: string
  /** In CIDR form; an end without one is left for a bridge. */
  address?: string
}

export async function link(a: End, b: End): Promise<void> {
  const pair = `ip link add ${a.device} netns ${a.namespace.name} type veth peer name ${b.device} netns ${b.namespace.name}`
  await run(pair.split(' '))
  for (const { namespace, device, address } of [a, b]) {
    if (address) await namespace.each(`ip address add ${address} dev ${device}`)
    await namespace.each(`ip link set ${device} up`)
  }
}

async function bridge(namespace: NamedNamespace, name: string, ...members: string[]): Promise<void> {
  await namespace.each(`ip link add ${name} type bridge`, `ip link set ${name} up`)
  for (const member of members) await namespace.each(`ip link set ${member} master ${name} up`)
}

/** Security groups as Neutron's hybrid driver writes them: bridged packets pass iptables, known connections first. */
async function securityGroups(namespace: NamedNamespace, ...ports: string[]): Promise<void> {
  await namespace.each('sysctl -qw net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1', 'iptables -P FORWARD DROP')
  for (const port of ports) {
    for (const direction of ['--physdev-in', '--physdev-out']) {
      const match = `iptables -A FORWARD -m physdev ${direction} ${port} --physdev-is-bridged`
      await namespace.each(
        `${match} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
        `${match} -m conntrack --ctstate INVALID -j DROP`,
        `${match} -p tcp -m conntrack --ctstate NEW -j ACCEPT`,
        `${match} -p icmp -m conntrack --ctstate NEW -j ACCEPT`
      )
    }
  }
}

/** The router namespace of Neutron's L3 agent; its NAT table keeps conntrack busy there as well. */
async function routerNamespace(namespace: NamedNamespace): Promise<void> {
  await namespace.each(
    'sysctl -qw net.ipv4.ip_forward=1',
    'iptables -t nat -A POSTROUTING -o external -j MASQUERADE',
    'iptables -A FORWARD -m conntrack --ctstate INVALID -j DROP'
  )
}

export async function veth(scope: Scope): Promise<Scenario> {
  const [client, server] = [await scope.make('c'), await scope.make('s')]
  await link({ namespace: client, device: 'eth0', address: '10.9.1.1/24' }, { namespace: server, device: 'eth0', address: '10.9.1.2/24' })
  return { client, server, address: '10.9.1.2' }
}

async function linuxBridge(scope: Scope): Promise<Scenario> {
  const [client, server, host] = [await scope.make('c'), await scope.make('s'), await scope.make('h')]
  await link({ namespace: client, device: 'eth0', address: '10.9.1.1/24' }, { namespace: host, device: 'tap-c' })
  await link({ namespace: server, device: 'eth0', address: '10.9.1.2/24' }, { namespace: host, device: 'tap-s' })
  await bridge(host, 'br0', 'tap-c', 'tap-s')
  return { client, server, address: '10.9.1.2' }
}

async function neutronRouted(scope: Scope): Promise<Scenario> {
  const [client, server, host, router] = [await scope.make('c'), await scope.make('s'), await scope.make('h'), await scope.make('r')]
  await link({ namespace: client, device: 'eth0', address: '10.9.1.2/24' }, { namespace: host, device: 'tap-c' })
  await link({ namespace: server, device: 'eth0', address: '10.9.2.2/24' }, { namespace: host, device: 'tap-s' })
  await link({ namespace: router, device: 'qr-1', address: '10.9.1.1/24' }, { namespace: host, device: 'qr-1' })
  await link({ namespace: router, device: 'qr-2', address: '10.9.2.1/24' }, { namespace: host, device: 'qr-2' })
  await bridge(host, 'br1', 'tap-c', 'qr-1')
  await bridge(host, 'br2', 'tap-s', 'qr-2')
  await securityGroups(host, 'tap-c', 'tap-s')
  await routerNamespace(router)
  await client.each('ip route add default via 10.9.1.1')
  await server.each('ip route add default via 10.9.2.1')
  return { client, server, address: '10.9.2.2' }
}

async function neutronOverlay(scope: Scope): Promise<Scenario> {
  const ends: NamedNamespace[] = []
  const hosts = [await scope.make('h1'), await scope.make('h2')]
  await link(
    { namespace: hosts[0]!, device: 'uplink', address: '192.168.9.1/24' },
    { namespace: hosts[1]!, device: 'uplink', address: '192.168.9.2/24' }
  )
  for (const [index, host] of hosts.entries()) {
    const end = await scope.make(`w${index}`)
    ends.push(end)
    await link({ namespace: end, device: 'eth0', address: `10.9.1.${index + 1}/24` }, { namespace: host, device: 'tap' })
    await end.each('ip link set eth0 mtu 1450')
    await host.each(
      `ip link add vxlan0 type vxlan id 100 local 192.168.9.${index + 1} remote 192.168.9.${2 - index} dstport 4789 dev uplink`
    )
    await bridge(host, 'br0', 'tap', 'vxlan0')
    await securityGroups(host, 'tap')
  }
  return { client: ends[0]!, server: ends[1]!, address: '10.9.1.2' }
}

/** A device's index and MAC address, as `ip` tells them. */
async function device(namespace: NamedNamespace, name: string): Promise<{ ifindex: number; address: string }> {
  const [found] = JSON.parse(await namespace.run(['ip', '-j', 'link', 'show', name])) as { ifindex: number; address: string }[]
  return found!
}

/** Two programs on each host that open and close tunnels (least.bpf.c), and nothing else: what an overlay can reach at best. */
async function leastOverlay(scope: Scope): Promise<Scenario> {
  const hosts = [await scope.make('h1'), await scope.make('h2')]
  const ends = [await scope.make('w1'), await scope.make('w2')]
  const address = (n: number) => `192.168.9.${n + 1}`
  await link(
    { namespace: hosts[0]!, device: 'uplink', address: `${address(0)}/24` },
    { namespace: hosts[1]!, device: 'uplink', address: `${address(1)}/24` }
  )
  for (const [n, namespace] of ends.entries()) {
    await link({ namespace, device: 'eth0', address: `10.9.1.${n + 1}/24` }, { namespace: hosts[n]!, device: 'tap' })
    await namespace.each('ip link set eth0 mtu 1450')
  }
  for (const [n, host] of hosts.entries()) {
    const other = ends[1 - n]!
    const [uplink, tap] = [await device(host, 'uplink'), await device(host, 'tap')]
    const nextHop = await device(hosts[1 - n]!, 'uplink')
    await ends[n]!.each(`ip neigh add 10.9.1.${2 - n} dev eth0 lladdr ${(await device(other, 'eth0')).address}`)
    const object = await LoadedObject.load('least', { number: 0 })
    object.table('ends').put(0, {
      local: address(n),
      remote: address(1 - n),
      source: uplink.address,
      next_hop: nextHop.address,
      uplink: uplink.ifindex,
      workload: tap.ifindex
    })
    scope.attach(object, host.name, [tap.ifindex, 'out'], [uplink.ifindex, 'in'])
  }
  return { client: ends[0]!, server: ends[1]!, address: '10.9.1.2' }
}

/** Builds a reference in a scope with a prefix of its own. */
export type Builder = (scope: Scope) => Promise<Scenario>

export const references: Record<string, Builder> = {
  'bare veth': veth,
  'bare underlay': veth,
  'Linux bridge': linuxBridge,
  'Neutron-like, routed': neutronRouted,
  'Neutron-like, two hosts': neutronOverlay,
  'least overlay, two hosts': leastOverlay
}
