// SPDX-License-Identifier: Apache-2.0
// The reasons for which the road itself drops a packet; every function counts them before its own.

/** Sentences by name, in the order of their numbers. In C: `CORE_<NAME>`. */
export const coreCounters = {
  unstitched: 'Packets that left by a port with nothing stitched to it.',
  loop: 'Packets that passed more functions than one packet may.',
  missing: 'Packets whose next function was not loaded.',
  no_port: 'Packets for a workload port that does not exist, and frames with a VLAN tag where it names no network.',
  malformed: 'Packets cut short or with a broken header.',
  too_big: 'Packets larger than the MTU of the way ahead.',
  no_room: 'Packets for which the kernel had no memory to grow or clone.',
  spoofed: 'Packets with a MAC or IP address of somebody else: of a pinned workload, or from a physical segment.',
  no_tunnel: 'Packets to or from another host or VNI than those this host has tunnels to.'
} as const
