// SPDX-License-Identifier: Apache-2.0
// The contract of the native addon: handles over kernel objects, and bytes in and out of them. No policy.

/**
 * A handle owns one kernel descriptor. It may be closed twice; any other use after `close()` throws
 * `NativeError` with code `CLOSED`. A handle that is garbage collected is closed.
 */
export interface Handle {
  close(): void
  readonly closed: boolean
}

/**
 * Every failure of the addon. `code` is the errno name (`ENOENT`, `EPERM`, …), also `EINVAL` for wrong arguments, or `CLOSED`;
 * `operation` says what was tried and on what; `message` is `cannot <operation>: <reason> (<code>)`; `log` holds the words of libbpf
 * and the verifier where loading was refused.
 */
export interface NativeError extends Error {
  code: string
  errno: number
  operation: string
  log?: string
}

export type MapType =
  | 'hash'
  | 'array'
  | 'prog_array'
  | 'percpu_hash'
  | 'percpu_array'
  | 'lru_hash'
  | 'lru_percpu_hash'
  | 'lpm_trie'
  | 'ringbuf'
  | 'array_of_maps'
  | 'hash_of_maps'
  | 'other'

export interface MapInfo {
  id: number
  type: MapType
  /** At most 15 characters: the kernel cuts the rest. */
  name: string
  keySize: number
  /** Size of one value in bytes; a per-CPU map returns `cpus` values, each padded to 8 bytes, one after the other. */
  valueSize: number
  maxEntries: number
  /** BPF_F_ flags. */
  flags: number
  cpus: number
}

/** The C types of a map's keys and values, by their numbers in `btf`, which is as an object's section .BTF. */
export interface MapTypes {
  btf: Buffer
  key: number
  value: number
}

export interface BpfMap extends Handle {
  readonly info: MapInfo
  get(key: Uint8Array): Buffer | undefined
  /** `ifAbsent` is BPF_NOEXIST, `ifPresent` is BPF_EXIST. */
  put(key: Uint8Array, value: Uint8Array, mode?: 'any' | 'ifAbsent' | 'ifPresent'): void
  /** False when there was no such key. */
  delete(key: Uint8Array): boolean
  /** All entries, by batch where the map type can; safe while others write. */
  entries(): Array<[Buffer, Buffer]>
  /** The same in two buffers, all keys and all values one after the other: for maps too large to make an object of every entry. */
  dump(): { count: number; keys: Buffer; values: Buffer }
  keys(): Buffer[]
  /** Writes many entries, by batch where the map type can. */
  putAll(entries: Array<[Uint8Array, Uint8Array]>): void
  /**
   * Puts all entries into another map of the same type and key size: of each value the first `bytes`, then zeros. An array's elements for which the other has no
   * place are left out; other entries for which it has none are an error (E2BIG), and some may have been put then.
   */
  copyTo(target: BpfMap, bytes: number): void
  /** Undefined where the map was made without them. */
  types(): MapTypes | undefined
  /** Puts a program into a prog array slot. */
  putProgram(slot: number, program: Program): void
  /** False when the slot was empty. */
  deleteProgram(slot: number): boolean
  /** Puts a map into an array or hash of maps. */
  putMap(key: Uint8Array, map: BpfMap): void
  /** Replaces nothing: fails with EEXIST when the path is taken. */
  pin(path: string): void
}

export interface ProgramInfo {
  id: number
  name: string
  /** Hex of the kernel's tag of the instructions. */
  tag: string
  type: number
  mapIds: number[]
  loadTimeNs: bigint
  jitedSize: number
}

export interface TestRun {
  /** The packet, from the Ethernet header on. */
  data: Uint8Array
  /** How often to run; the same packet each time. Default 1. */
  repeat?: number
  /** struct __sk_buff as bytes (mark, priority, ifindex, cb, wire_len, gso_size …), as BPF_PROG_TEST_RUN takes it. */
  context?: Uint8Array
  /** A device has summed the packet up (CHECKSUM_COMPLETE): EBADMSG where that sum is wrong afterwards. Linux 6.11. */
  summed?: boolean
  /** Whose loopback the packet comes from, and whose devices it may be redirected to; default: that of the calling thread. */
  netns?: Netns
}

export interface TestResult {
  /** What the program returned. */
  verdict: number
  /** The packet afterwards. */
  data: Buffer
  context: Buffer
  /** Nanoseconds per run, averaged by the kernel. */
  durationNs: number
}

export interface Program extends Handle {
  readonly info: ProgramInfo
  /** BPF_PROG_TEST_RUN. */
  testRun(run: TestRun): TestResult
  pin(path: string): void
  /**
   * Attaches by a tcx link (the attach type given at link creation, the program being plain SEC("tc")), in the network
   * namespace given or that of the calling thread. ENOTSUP-like errors are passed up: choosing clsact instead is the caller's decision.
   */
  attachTcx(ifindex: number, direction: 'ingress' | 'egress', netns?: Netns): Link
}

export interface LinkInfo {
  id: number
  programId: number
  /** 0 when the device is gone. */
  ifindex: number
  direction: 'ingress' | 'egress' | 'other'
}

export interface Link extends Handle {
  readonly info: LinkInfo
  /** Replaces the running program atomically. */
  update(program: Program): void
  pin(path: string): void
  /** Detaches now, whoever else holds the link; no error when the device is already gone. */
  detach(): void
}

export interface ElfOptions {
  /** The ELF object: a path or the bytes. */
  elf: string | Uint8Array
  /** Prefix of the names of its data sections' maps in the kernel (`router.rodata`). Default: the path's last part. */
  name?: string
}

/** What may differ from one load of an object to the next. */
export interface InstanceOptions {
  /** Initial contents of global variables (of `.rodata`, `.data`, `.bss`): variable name → bytes. Layout comes from BTF: see bpf/catalogue/btf.ts. */
  rodata?: Record<string, Uint8Array>
  /** Maps that exist already: map name in the ELF → an open map. EINVAL names both layouts (type, key and value size) when they differ. */
  reuse?: Record<string, BpfMap>
  /** Map name → number of entries, before creation. */
  maxEntries?: Record<string, number>
  /** Numbers in the code: every move of the immediate that is the key becomes one of the value. */
  immediates?: Record<number, number>
}

export type LoadOptions = ElfOptions & InstanceOptions

/**
 * An object that is to be loaded often. libbpf resolves it against the running kernel at the first load; the further ones cost only what the kernel does. Objects
 * live on when it is closed.
 */
export interface BpfTemplate extends Handle {
  /** As `Bpf.load`. */
  load(options: InstanceOptions): Promise<BpfObject>
}

/**
 * A loaded ELF: its programs and maps by their full ELF names (not cut at 15 characters); data sections are maps too (`.rodata`).
 * Closing it closes them all; being collected it does not, as they are handles of their own.
 */
export interface BpfObject extends Handle {
  readonly programs: ReadonlyMap<string, Program>
  readonly maps: ReadonlyMap<string, BpfMap>
}

/** A filter's place on a device's clsact qdisc: one program per priority. */
export interface ClsactPlace {
  ifindex: number
  direction: 'ingress' | 'egress'
  /** 1 … 65535; the lowest runs first. */
  priority: number
}

export interface Bpf {
  /** Opens, sets constants, reuses maps and loads, off the event loop. Rejects with `NativeError`, the verifier's log in `log`. */
  load(options: LoadOptions): Promise<BpfObject>
  /** Looks at nothing yet: what is wrong with the ELF is said by its loads. */
  template(options: ElfOptions): BpfTemplate
  /** `inner` is the pattern of the maps that a map of maps may hold. */
  createMap(options: {
    name: string
    type: MapType
    keySize: number
    valueSize: number
    maxEntries: number
    flags?: number
    inner?: BpfMap
  }): BpfMap
  openMap(path: string): BpfMap
  openMapById(id: number): BpfMap
  openProgram(path: string): Program
  openProgramById(id: number): Program
  openLink(path: string): Link
  /** Ids of everything in the kernel, for leak checks and adoption. */
  programIds(): number[]
  mapIds(): number[]
  linkIds(): number[]
  linkInfo(id: number): LinkInfo
  /** The links on one device in order, by BPF_PROG_QUERY. */
  queryTcx(ifindex: number, direction: 'ingress' | 'egress'): Array<{ linkId: number; programId: number }>
  /**
   * For kernels without tcx (before 6.6). Unlike a link, a filter has no descriptor: it runs until it is detached or the device is gone.
   * Replaces the filter of that place atomically; true when the qdisc had to be created, so that the caller may delete it later.
   */
  attachClsact(program: Program, place: ClsactPlace): boolean
  /** False when there was none. */
  detachClsact(place: ClsactPlace): boolean
  /** Id of the program there. */
  queryClsact(place: ClsactPlace): number | undefined
  /** Deletes the qdisc with all its filters, whoever made them. False when there was none. */
  deleteClsact(ifindex: number): boolean
  /** Of the kernel's clock: CONFIG_HZ. */
  readonly ticksInSecond: number
  /** Returns when every program that ran on a packet when it was called has ended. */
  settle(): void
  /** Calls back with each record until closed. Keeps the process alive until then. */
  ringBuffer(map: BpfMap, onRecord: (record: Buffer) => void): Handle
}

export interface LinkState {
  ifindex: number
  name: string
  /** As in `ip -d link`: veth, vxlan, bridge, tun (of a tap too) …; empty for loopback and hardware. */
  kind: string
  mac: string
  mtu: number
  up: boolean
  carrier: boolean
  /** Interface index of the veth peer, or of the parent; 0 when there is none. */
  peer: number
  /** Id of the namespace the peer lives in as the kernel numbers it from here; -1 when it is this one. */
  peerNetnsId: number
  master: number
  alias: string
}

export interface AddressState {
  ifindex: number
  /** CIDR form, as `10.0.0.1/24` or `fd00::1/64`. */
  address: string
}

export interface RouteState {
  /** CIDR form; the default routes are `0.0.0.0/0` and `::/0`. */
  destination: string
  gateway?: string
  ifindex: number
  table: number
  protocol: number
}

export interface NeighbourState {
  ifindex: number
  address: string
  mac?: string
  state: number
}

/**
 * A netlink socket bound to one network namespace for its whole life, which it also keeps alive. All calls are synchronous and short
 * (one request, one answer, a limit of 5 s: ETIMEDOUT). Addresses are strings, as in `ip`. Errors carry the kernel's own sentence
 * where it gives one.
 */
export interface Netlink extends Handle {
  links(): LinkState[]
  /** Undefined when there is none. */
  link(nameOrIndex: string | number): LinkState | undefined
  /** A veth pair; `peerNetns` is an open namespace in which the peer is born. Returns the near end's index. */
  createVeth(options: { name: string; peerName: string; peerNetns?: Netns; mac?: string; peerMac?: string; mtu?: number }): number
  /**
   * A vxlan device in external (collect metadata) mode, nolearning. As RFC 7348 has it, it sends from dynamic ports (49152 and up), and takes
   * packets without a UDP checksum over IPv6 too.
   */
  createVxlan(options: { name: string; port: number; mtu?: number }): number
  /** A persistent tap without packet information; its user decides on the vnet header. */
  createTap(options: { name: string }): number
  createBridge(options: { name: string }): number
  /** False when there was none. */
  deleteLink(nameOrIndex: string | number): boolean
  /** Many at once costs the kernel hardly more than one. Those that are gone already are no error. */
  deleteLinks(ifindexes: number[]): void
  /** Changes only what is given; `master: 0` frees the interface from its bridge. */
  setLink(
    ifindex: number,
    change: { up?: boolean; mtu?: number; mac?: string; name?: string; netns?: Netns; master?: number; alias?: string; arp?: boolean }
  ): void
  addresses(ifindex?: number): AddressState[]
  /** IPv6 addresses are usable at once (no duplicate address detection). EEXIST when it is there. */
  addAddress(ifindex: number, address: string): void
  /** False when it was not there. */
  deleteAddress(ifindex: number, address: string): boolean
  /** One entry per next hop, of all tables. */
  routes(ifindex?: number): RouteState[]
  /** Replaces an equal route of the main table. */
  addRoute(route: { destination: string; gateway?: string; ifindex: number; onlink?: boolean; mtu?: number }): void
  /** False when there was none; whoever made it. */
  deleteRoute(route: { destination: string; gateway?: string; ifindex: number }): boolean
  neighbours(ifindex?: number): NeighbourState[]
  /** Permanent; replaces what was known of the address. */
  addNeighbour(neighbour: { ifindex: number; address: string; mac: string }): void
  /** False when there was none. */
  deleteNeighbour(neighbour: { ifindex: number; address: string }): boolean
  /** Reads, or writes and reads, below /proc/sys/net as seen in this namespace, e.g. `ipv6/conf/eth0/accept_dad`. */
  sysctl(name: string, value?: string): string
  /**
   * Calls back once per change of links (RTM_NEWLINK/RTM_DELLINK) until closed. `lost` (ifindex 0): there were more changes than the
   * kernel could keep, read `links()` again. Keeps the process alive until closed.
   */
  watch(onChange: (event: { type: 'link' | 'link_gone' | 'lost'; ifindex: number; name: string }) => void): Handle
}

/** An open network namespace. */
export interface Netns extends Handle {
  readonly inode: bigint
}

export interface Net {
  /** Opens a namespace by path (`/var/run/netns/web1`, `/proc/123/ns/net`). */
  openNetns(path: string): Netns
  /** As `ip netns add`: creates and mounts the name. EEXIST when taken. */
  createNetns(name: string): Netns
  /** As `ip netns del`. False when there was none. */
  deleteNetns(name: string): boolean
  /** A netlink socket in the given namespace, or in that of the calling thread. */
  open(netns?: Netns): Netlink
}

export interface Native {
  bpf: Bpf
  net: Net
  /** Whether a path lies on a bpffs. ENOENT when there is no such path. */
  isBpffs(path: string): boolean
  mountBpffs(path: string): void
  umount(path: string): void
}
