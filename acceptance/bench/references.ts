// SPDX-License-Identifier: Apache-2.0
// What inkev is measured against: bare links, a Linux bridge, and what Neutron's reference implementation builds (bridges, router namespace, kernel vxlan, conntrack).

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const execute = promisify(execFile)

/** A client and a server that reach each other over what is to be measured. */
export interface Scenario {
  /** Namespaces of the two ends. */
  client: string
  server: string
  /** Address of the server. */
  address: string
  down(): Promise<void>
}

/** Runs one command of iproute2 and its kin; its arguments are separated by blanks. */
export async function run(command: string): Promise<string> {
  const [program, ...args] = command.split(' ')
  const { stdout } = await execute(program!, args, { timeout: 10_000 })
  return stdout
}

async function inside(namespace: string, ...commands: string[]): Promise<void> {
  for (const command of commands) await run(`ip netns exec ${namespace} ${command}`)
}

/** Namespaces of one scenario, removed together. */
class Namespaces {
  private readonly made: string[] = []

  constructor(private readonly prefix: string) {}

  async make(name: string): Promise<string> {
    const namespace = `${this.prefix}-${name}`
    await run(`ip netns add ${namespace}`)
    this.made.push(namespace)
    await inside(namespace, 'ip link set lo up')
    return namespace
  }

  readonly down = async (): Promise<void> => {
    for (const namespace of this.made.splice(0)) await run(`ip netns del ${namespace}`)
  }
}

/** Joins two namespaces by a veth pair; an end with no address is left for a bridge. */
async function link(
  a: { namespace: string; device: string; address?: string },
  b: { namespace: string; device: string; address?: string }
): Promise<void> {
  await run(`ip link add ${a.device} netns ${a.namespace} type veth peer name ${b.device} netns ${b.namespace}`)
  for (const { namespace, device, address } of [a, b]) {
    if (address) await inside(namespace, `ip address add ${address} dev ${device}`)
    await inside(namespace, `ip link set ${device} up`)
  }
}

async function bridge(namespace: string, name: string, ...members: string[]): Promise<void> {
  await inside(namespace, `ip link add ${name} type bridge`, `ip link set ${name} up`)
  for (const member of members) await inside(namespace, `ip link set ${member} master ${name} up`)
}

/** Security groups as Neutron's hybrid driver writes them: bridged packets pass iptables, known connections first. */
async function securityGroups(namespace: string, ...ports: string[]): Promise<void> {
  await inside(
    namespace,
    'sysctl -qw net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1',
    'iptables -P FORWARD DROP'
  )
  for (const port of ports) {
    for (const direction of ['--physdev-in', '--physdev-out']) {
      const match = `iptables -A FORWARD -m physdev ${direction} ${port} --physdev-is-bridged`
      await inside(
        namespace,
        `${match} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
        `${match} -m conntrack --ctstate INVALID -j DROP`,
        `${match} -p tcp -m conntrack --ctstate NEW -j ACCEPT`,
        `${match} -p icmp -m conntrack --ctstate NEW -j ACCEPT`
      )
    }
  }
}

/** The router namespace of Neutron's L3 agent; its NAT table keeps conntrack busy there as well. */
async function routerNamespace(namespace: string): Promise<void> {
  await inside(
    namespace,
    'sysctl -qw net.ipv4.ip_forward=1',
    'iptables -t nat -A POSTROUTING -o external -j MASQUERADE',
    'iptables -A FORWARD -m conntrack --ctstate INVALID -j DROP'
  )
}

async function veth(prefix: string): Promise<Scenario> {
  const { make, down } = scope(prefix)
  const [client, server] = [await make('c'), await make('s')]
  await link({ namespace: client, device: 'eth0', address: '10.9.1.1/24' }, { namespace: server, device: 'eth0', address: '10.9.1.2/24' })
  return { client, server, address: '10.9.1.2', down }
}

async function linuxBridge(prefix: string): Promise<Scenario> {
  const { make, down } = scope(prefix)
  const [client, server, host] = [await make('c'), await make('s'), await make('h')]
  await link({ namespace: client, device: 'eth0', address: '10.9.1.1/24' }, { namespace: host, device: 'tap-c' })
  await link({ namespace: server, device: 'eth0', address: '10.9.1.2/24' }, { namespace: host, device: 'tap-s' })
  await bridge(host, 'br0', 'tap-c', 'tap-s')
  return { client, server, address: '10.9.1.2', down }
}

async function neutronRouted(prefix: string): Promise<Scenario> {
  const { make, down } = scope(prefix)
  const [client, server, host, router] = [await make('c'), await make('s'), await make('h'), await make('r')]
  await link({ namespace: client, device: 'eth0', address: '10.9.1.2/24' }, { namespace: host, device: 'tap-c' })
  await link({ namespace: server, device: 'eth0', address: '10.9.2.2/24' }, { namespace: host, device: 'tap-s' })
  await link({ namespace: router, device: 'qr-1', address: '10.9.1.1/24' }, { namespace: host, device: 'qr-1' })
  await link({ namespace: router, device: 'qr-2', address: '10.9.2.1/24' }, { namespace: host, device: 'qr-2' })
  await bridge(host, 'br1', 'tap-c', 'qr-1')
  await bridge(host, 'br2', 'tap-s', 'qr-2')
  await securityGroups(host, 'tap-c', 'tap-s')
  await routerNamespace(router)
  await inside(client, 'ip route add default via 10.9.1.1')
  await inside(server, 'ip route add default via 10.9.2.1')
  return { client, server, address: '10.9.2.2', down }
}

async function neutronOverlay(prefix: string): Promise<Scenario> {
  const { make, down } = scope(prefix)
  const ends: string[] = []
  const hosts = [await make('h1'), await make('h2')]
  await link(
    { namespace: hosts[0]!, device: 'uplink', address: '192.168.9.1/24' },
    { namespace: hosts[1]!, device: 'uplink', address: '192.168.9.2/24' }
  )
  for (const [index, host] of hosts.entries()) {
    const end = await make(`w${index}`)
    ends.push(end)
    await link({ namespace: end, device: 'eth0', address: `10.9.1.${index + 1}/24` }, { namespace: host, device: 'tap' })
    await inside(end, 'ip link set eth0 mtu 1450')
    await inside(
      host,
      `ip link add vxlan0 type vxlan id 100 local 192.168.9.${index + 1} remote 192.168.9.${2 - index} dstport 4789 dev uplink`
    )
    await bridge(host, 'br0', 'tap', 'vxlan0')
    await securityGroups(host, 'tap')
  }
  return { client: ends[0]!, server: ends[1]!, address: '10.9.1.2', down }
}

function scope(prefix: string) {
  const namespaces = new Namespaces(prefix)
  return { make: (name: string) => namespaces.make(name), down: namespaces.down }
}

/** Builders by name; each gets a prefix of its own for its namespaces. */
export const references: Record<string, (prefix: string) => Promise<Scenario>> = {
  'bare veth': veth,
  'bare underlay': veth,
  'Linux bridge': linuxBridge,
  'Neutron-like, routed': neutronRouted,
  'Neutron-like, two hosts': neutronOverlay
}
