// SPDX-License-Identifier: Apache-2.0
// What a program that a user uploads may be: its size, its maps, and the helpers of the kernel that it may call.

import type { MapType } from './btf'
import type { Elf } from './elf'

export const ELF_MAX = 1 << 20
export const MAP_ENTRIES_MAX = 1 << 20
export const RECORD_MAX = 1 << 14
export const KEY_MAX = 512

/** Maps that hold records. Those that hold programs or other maps lead beyond the function. */
export const MAP_TYPES: readonly MapType[] = ['hash', 'array', 'percpu_hash', 'percpu_array', 'lru_hash', 'lru_percpu_hash', 'lpm_trie']

/** The road's maps that function.h declares; a program shares them with all others. */
export const ROAD_MAPS = ['panel', 'instances', 'stitches', 'workloads']

/** Names of maps that mean the road's own to a loader, and so are no program's. */
export const RESERVED_MAPS = ['host', 'peers', 'tunnels', 'paths', 'workload_ids', 'workload_ips', 'recent_ids', 'held']

/** Helpers by their numbers (enum bpf_func_id): they see the packet, the program's maps and the clock, and nothing else of the host. */
const HELPERS: ReadonlySet<number> = new Set([
  ...[1, 2, 3, 87, 88, 89, 164, 195], // maps
  ...[5, 125, 160], // clocks
  ...[7, 8, 181, 182], // random numbers, the CPU's number, loops, comparison
  ...[9, 26, 38, 39, 43, 50, 68], // bytes of the packet and its size
  ...[10, 11, 28, 40, 135], // checksums
  ...[12, 13, 23, 155, 163], // the way on, as function.h takes it
  ...[18, 19, 31, 32, 97], // tags, protocol and marks of congestion
  ...[34, 41, 48], // the packet's hash
  ...[93, 94, 169, 170, 171, 172] // locks and timers
])

const CALL = 0x85
const INSTRUCTION_SIZE = 8
/** The source register of a call that is none of a helper. */
const [HELPER, FUNCTION] = [0, 1]

/** Why a call in the object is not allowed, as a sentence; undefined where all are. */
export function forbiddenCall({ code }: Pick<Elf, 'code'>): string | undefined {
  for (const section of code)
    for (let at = 0; at + INSTRUCTION_SIZE <= section.length; at += INSTRUCTION_SIZE) {
      if (section[at] !== CALL) continue
      const [kind, number] = [section[at + 1]! >> 4, section.readInt32LE(at + 4)]
      if (kind === HELPER && !HELPERS.has(number)) return `it calls the kernel's helper ${number}, which the policy does not allow`
      if (kind !== HELPER && kind !== FUNCTION) return "it calls a function of the kernel's own, which the policy does not allow"
    }
  return undefined
}
