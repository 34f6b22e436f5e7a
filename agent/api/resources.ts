// SPDX-License-Identifier: Apache-2.0
// What a client may say to an agent and what it answers: the schema of every REST resource, read by Fastify, OpenAPI and the Terraform provider.

import {
  bool,
  choice,
  cidr,
  duration,
  group,
  interfaceName,
  ip,
  list,
  mac,
  name,
  optional,
  path,
  table,
  text,
  texts,
  u32,
  vni
} from '@inkev/bpf/catalogue/fields'
import { programPolicy } from '@inkev/bpf/catalogue/policy'
import { PROGRAM_KIND } from '@inkev/bpf/catalogue/program'
import { kinds } from '@inkev/bpf/functions/index.gen'
import { type Static, type TObject, type TSchema, Type } from '@sinclair/typebox'

/** Raised with each change that an older client or agent would not understand: a new field too, which Terraform would drop for an older provider without a word. */
export const API_VERSION = 1

/** A tenant's L2 segment (broadcast domain) across hosts. */
export const network = group(
  {
    vni: optional(
      vni({
        doc: 'VXLAN network identifier; every host of the network must use the same. Without it no frame is tunnelled: the hosts meet on their physical segments.',
        example: 100
      })
    ),
    physical: optional(
      table({
        doc: 'Segments of the physical network that the network is extended to, by the name of the host. One that has a vni may have one of them.',
        max: 4096,
        fields: {
          interface: interfaceName({ doc: 'Device of that host, which the host may go on to use; the uplink also.', example: 'eth1' }),
          vlan: optional(
            u32({ doc: 'Tag of the network’s frames there (IEEE 802.1Q); without tag if left out.', min: 1, max: 4094, example: 42 })
          )
        }
      })
    ),
    subnets: table({
      doc: 'Address ranges of the network, IPv4 and IPv6, by a key of your own.',
      max: 16,
      fields: {
        cidr: cidr({ doc: 'Address range.', example: '10.0.1.0/24' }),
        gateway: ip({ doc: 'Default gateway told to workloads; the first address of the range if left out.', computed: true })
      }
    }),
    mtu: u32({
      doc: 'Largest IP packet of the network in bytes; what the underlay carries less the encapsulation if left out.',
      min: 576,
      max: 9216,
      computed: true
    }),
    learning: bool({ doc: 'Whether addresses that no port declares are learned from traffic.', default: true }),
    aging_time: duration({ doc: 'Idle time after which a learned address is forgotten.', default: '300s' }),
    suppression: bool({ doc: 'Whether ARP and ND for known addresses are answered on the spot rather than flooded.', default: true }),
    static_entries: optional(
      table({
        doc: 'Fixed places of MAC addresses that are neither learned nor moved.',
        max: 1024,
        fields: {
          mac: mac({ doc: 'The address.', example: '02:00:00:00:00:01' }),
          port: optional(name({ doc: 'The workload port behind which it lives, where that is on the same host.' })),
          host: optional(name({ doc: 'The remote host behind which it lives.' }))
        }
      })
    )
  },
  { doc: 'A tenant’s L2 segment (broadcast domain) across hosts.' }
)

/** A remote host of a network. Named `<network>.<host>`. */
export const peer = group(
  {
    network: name({ doc: 'The network.' }),
    host: name({ doc: 'The remote host.' }),
    vtep: ip({ doc: 'Underlay address of the remote host’s tunnel end.' })
  },
  { doc: 'A remote host which a network spans.' }
)

/** Where an address of a network lives, when that is on another host. Named `<network>.<port>`. */
export const endpoint = group(
  {
    network: name({ doc: 'The network.' }),
    host: name({ doc: 'The host on which it lives.' }),
    mac: mac({ doc: 'Its Ethernet address.' }),
    addresses: list(ip({ doc: 'Address.' }), { doc: 'Its IP addresses.' })
  },
  { doc: 'Where an address of a network lives, on another host.' }
)

/** Where one workload joins a network on one host. */
export const workloadPort = group(
  {
    network: optional(name({ doc: 'The network that the workload joins; none where a stitch leads elsewhere.' })),
    vlans: optional(
      table({
        doc: 'Further networks that the workload joins by the tags of its frames (IEEE 802.1Q), by tag: the port is a trunk. Devices for the tags are the workload’s own. Without it tags are nothing to the port.',
        max: 256,
        fields: {
          network: name({ doc: 'The network.' }),
          ip_addresses: list(ip({ doc: 'Address.' }), {
            doc: 'Addresses of the workload there, each inside a subnet of the network; they are not configured.',
            max: 32,
            default: []
          })
        }
      })
    ),
    netns: optional(
      path({
        doc: 'Network namespace of the workload: a name as of `ip netns`, or an absolute path. A veth pair is made into it.',
        example: 'web1'
      })
    ),
    create_netns: bool({ doc: 'Whether a named namespace that is missing is created, and deleted with the port.', default: false }),
    interface: optional(interfaceName({ doc: 'Existing device of the host (a tap, a physical port) instead of a namespace.' })),
    ifname: interfaceName({ doc: 'Name of the device inside the namespace.', default: 'eth0' }),
    ip_addresses: list(ip({ doc: 'Address.' }), {
      doc: 'Addresses of the workload, each inside a subnet of the network.',
      max: 32,
      default: []
    }),
    configure_addresses: bool({
      doc: 'Whether the namespace is given the addresses and the routes; not where the workload asks for them itself (DHCP).',
      default: true
    }),
    mac: mac({ doc: 'Ethernet address of the workload; derived from the names of network and port if left out.', computed: true }),
    mtu: u32({ doc: 'MTU of the device; that of the network if left out.', min: 576, max: 9216, computed: true }),
    default_route: bool({ doc: 'Whether the namespace gets default routes to the gateways of its subnets.', default: true }),
    routes: optional(
      table({
        doc: 'Further routes inside the namespace.',
        max: 64,
        fields: { destination: cidr({ doc: 'Destination.' }), via: ip({ doc: 'Next hop.' }) }
      })
    ),
    chain: list(name({ doc: 'Function.' }), {
      doc: 'Functions between the workload and its network, from the workload outwards.',
      max: 8,
      default: []
    }),
    pin_addresses: bool({
      doc: 'Whether only packets from the port’s own MAC and addresses pass (no spoofing, ARP and ND included).',
      default: false
    })
  },
  { doc: 'Where one workload joins a network on one host.' }
)

/** One end of a stitch: exactly one of function (with its port), network, port, interface. */
export const stitchEnd = group(
  {
    function: optional(name({ doc: 'A function; `port` names which of its ports.' })),
    network: optional(name({ doc: 'A network.' })),
    port: optional(text({ doc: 'With `function`: a port of it. Alone: a workload port that joins no network.', maxLength: 64 })),
    interface: optional(interfaceName({ doc: 'A network device of the host.' }))
  },
  { doc: 'One end: a port of a function, a network, a workload port, or a device of the host; exactly one of them.' }
)

/** An edge of the graph. */
export const stitch = group({ a: stitchEnd, b: stitchEnd }, { doc: 'An edge of the graph: joins two attachment points.' })

/** A program of a user's own. */
export const program = group(
  {
    sha256: Type.Unsafe<string>({ ...text({ doc: 'SHA-256 of the ELF, hex.', maxLength: 64 }), pattern: '^[0-9a-f]{64}$' }),
    elf: Type.Unsafe<string>({ ...text({ doc: 'The compiled ELF, base64.', maxLength: 32 * 1024 * 1024 }), writeOnly: true }),
    signature: optional(
      Type.Unsafe<string>({
        ...text({ doc: 'Ed25519 signature of the ELF, base64; agents whose policy names keys demand it.', maxLength: 88 }),
        pattern: '^[A-Za-z0-9+/]{86}==$'
      })
    )
  },
  { doc: 'An eBPF object that a user compiled with inkev/function.h. Functions are made of it; a new one replaces what runs in place.' }
)

const programFunction = group(
  {
    name: name({ doc: 'The program.' }),
    config: optional(
      texts({ doc: 'Its configuration: the fields that the program declares, as text; the program’s types say what is allowed.', max: 256 })
    ),
    tables: optional(
      table({
        doc: 'Its tables, by the names that the program declares.',
        max: 32,
        fields: {
          rows: texts({
            doc: 'Values by keys, each written as its type wants; a structure as JSON (`jsonencode`).',
            max: 1024,
            keys: '^.{1,255}$'
          })
        }
      })
    )
  },
  { doc: 'A function of the user’s own: an uploaded program, with its configuration.' }
)

/** A function: exactly one attribute, the kind, with its configuration. */
export const networkFunction: TObject = group(
  Object.fromEntries(
    [...Object.values(kinds).filter(kind => !kind.internal), { kind: PROGRAM_KIND, schema: programFunction }].map(({ kind, schema }) => [
      kind,
      optional(schema as TSchema)
    ])
  ),
  { doc: 'An instance of one kind of network function, with its configuration.' }
)

/** How a resource fares, told apart from its configuration. */
export const status = group({
  state: choice(['active', 'idle', 'degraded', 'pending'], {
    doc: 'active: in the kernel; idle: nothing on this host reaches it, so nothing is loaded; pending: waits for another resource; degraded: see the reason.'
  }),
  reason: optional(text({ doc: 'Why it is not active, or what is amiss though it is.', maxLength: 2048 })),
  code: optional(text({ doc: 'SHA-256 of the object that runs, of functions and networks; none while nothing does.', maxLength: 64 }))
})

/** An agent’s own host. */
export const host = Type.Object(
  {
    name: name({ doc: 'Name of the host.' }),
    vtep: optional(ip({ doc: 'Underlay address of its tunnel end; none on a host without uplink.' })),
    uplink: optional(interfaceName({ doc: 'Device towards the other hosts; the first of `uplinks`.' })),
    uplinks: Type.Array(Type.String(), { description: 'Devices towards the other hosts.' }),
    mtu: optional(u32({ doc: 'Least MTU of the uplinks in bytes.' })),
    version: text({ doc: 'Version of the agent.' }),
    api: u32({ doc: 'Version of the REST interface.' }),
    kernel: text({ doc: 'Release of the kernel.' }),
    features: Type.Record(Type.String(), Type.Boolean(), { description: 'What the kernel offers.' }),
    kinds: Type.Array(Type.String(), { description: 'Kinds of function in the catalogue.' }),
    programs: programPolicy
  },
  { description: 'The host that an agent runs.' }
)

export const errorBody = Type.Object({
  error: Type.Object({
    code: Type.String({ description: 'INKEV_ERR_…' }),
    message: Type.String({ description: 'What happened, to which object.' }),
    path: Type.Optional(Type.String({ description: 'The field, dotted, as subnets.v4.cidr.' })),
    hint: Type.Optional(Type.String({ description: 'What to do.' }))
  })
})

/** Every resource that a client writes, by its REST name. */
export const resources = {
  networks: network,
  peers: peer,
  endpoints: endpoint,
  ports: workloadPort,
  programs: program,
  functions: networkFunction,
  stitches: stitch
} as const

export type ResourceType = keyof typeof resources
export type Program = Static<typeof program>
export type Network = Static<typeof network>
export type Peer = Static<typeof peer>
export type Endpoint = Static<typeof endpoint>
export type WorkloadPort = Static<typeof workloadPort>
export type StitchEnd = Static<typeof stitchEnd>
export type Stitch = Static<typeof stitch>
export type NetworkFunction = Record<string, Record<string, unknown>>
export type Status = Static<typeof status>
export type Host = Static<typeof host>
export type ErrorBody = Static<typeof errorBody>
