// SPDX-License-Identifier: Apache-2.0
// What a program that a user uploads may be: its size, its maps, the helpers of the kernel that it may call, and who must have signed it.

import type { Static } from '@sinclair/typebox'
import type { CodeObject } from './define'
import { type Elf, readElf } from './elf'
import { bool, choice, group, list, text, u32 } from './fields'
import { validate } from './validate'

export const RECORD_MAX = 1 << 14
export const KEY_MAX = 512

/** Maps that hold records. Those that hold programs or other maps lead beyond the function. */
export const MAP_TYPES = ['hash', 'array', 'percpu_hash', 'percpu_array', 'lru_hash', 'lru_percpu_hash', 'lpm_trie'] as const

/** The road's maps that function.h declares; a program shares them with all others. */
export const ROAD_MAPS = ['panel', 'instances', 'stitches', 'workloads']

/** Maps that function.h makes of what a program declares; the agent alone writes them. */
export const OWN_MAPS = ['counters', 'config']

/** Names of maps that mean the road's own to a loader, and so are no program's. */
export const RESERVED_MAPS = [
  ...['host', 'peers', 'tunnels', 'paths', 'workload_ids', 'workload_ips', 'recent_ids', 'held', 'veth_stations'],
  ...['vlan_ids', 'vlan_tags', 'residents']
]

/** Helpers with their numbers (enum bpf_func_id): they see the packet, the program's maps and the clock, and nothing else of the host. */
export const HELPERS: Readonly<Record<string, number>> = {
  map_lookup_elem: 1,
  map_update_elem: 2,
  map_delete_elem: 3,
  map_push_elem: 87,
  map_pop_elem: 88,
  map_peek_elem: 89,
  for_each_map_elem: 164,
  map_lookup_percpu_elem: 195,

  ktime_get_ns: 5,
  ktime_get_boot_ns: 125,
  ktime_get_coarse_ns: 160,
  get_prandom_u32: 7,
  get_smp_processor_id: 8,
  loop: 181,
  strncmp: 182,

  skb_store_bytes: 9,
  skb_load_bytes: 26,
  skb_load_bytes_relative: 68,
  skb_change_tail: 38,
  skb_change_head: 43,
  skb_pull_data: 39,
  skb_adjust_room: 50,
  l3_csum_replace: 10,
  l4_csum_replace: 11,
  csum_diff: 28,
  csum_update: 40,
  csum_level: 135,

  tail_call: 12,
  clone_redirect: 13,
  redirect: 23,
  redirect_peer: 155,
  check_mtu: 163,

  skb_vlan_push: 18,
  skb_vlan_pop: 19,
  skb_change_proto: 31,
  skb_change_type: 32,
  skb_ecn_set_ce: 97,
  get_hash_recalc: 34,
  set_hash_invalid: 41,
  set_hash: 48,

  spin_lock: 93,
  spin_unlock: 94,
  timer_init: 169,
  timer_set_callback: 170,
  timer_start: 171,
  timer_cancel: 172
}

/** In a policy: all of them. */
const ALL = 'default'

/** What the operator of a host says of programs. It judges what is uploaded: what runs already runs on. */
export const programPolicy = group(
  {
    uploads: bool({ doc: 'Whether programs are taken at all.', default: true }),
    max_elf_bytes: u32({ doc: 'Largest ELF, in bytes.', min: 1, max: 1 << 24, default: 1 << 20 }),
    max_map_entries: u32({ doc: 'Most entries that each map of a program may have.', min: 1, max: 1 << 24, default: 1 << 20 }),
    map_types: list(choice(MAP_TYPES, { doc: 'Type.' }), { doc: 'Types that maps of a program may have.', default: [...MAP_TYPES] }),
    helpers: list(text({ doc: 'Helper.', maxLength: 40 }), {
      doc: 'Helpers of the kernel that a program may call: names without bpf_, numbers (enum bpf_func_id) of those that inkev has no name for, or default for all that it has a name for.',
      max: 256,
      default: [ALL]
    }),
    keys: list(text({ doc: 'Public key.', maxLength: 120 }), {
      doc: 'Ed25519 public keys (SubjectPublicKeyInfo, base64: the line within a PEM file), by one of which every program must be signed; none: programs need no signature.',
      default: []
    })
  },
  { doc: 'What an uploaded program may be.' }
)

export type ProgramPolicy = Static<typeof programPolicy>

/** Where the operator says nothing. */
export const DEFAULT_POLICY = validate(programPolicy, {}).value as ProgramPolicy

/** The numbers of the helpers that a word of a policy stands for; none where it says nothing to inkev. */
export function helpersNamed(word: string): number[] {
  if (word === ALL) return Object.values(HELPERS)
  if (/^[0-9]{1,4}$/.test(word)) return [Number(word)]
  return Object.hasOwn(HELPERS, word) ? [HELPERS[word]!] : []
}

/** Why the policy does not allow what a program is made of, as a sentence; undefined where it does. */
export function policyFault(policy: ProgramPolicy, { elf, spec }: Pick<CodeObject, 'elf' | 'spec'>): string | undefined {
  const { map_types, max_map_entries, helpers } = policy
  for (const { name, type, maxEntries } of spec.maps.values()) {
    if (ROAD_MAPS.includes(name) || OWN_MAPS.includes(name)) continue
    if (!map_types.some(allowed => allowed === type))
      return `map ${name} is of a type (${type}) that the policy does not allow: ${map_types.join(', ') || 'none'} are`
    if (maxEntries > max_map_entries) return `map ${name} has ${maxEntries} entries: the policy allows 1 to ${max_map_entries}`
  }
  const allowed = new Set(helpers.flatMap(helpersNamed))
  const called = helpersCalled(readElf(elf)).find(number => !allowed.has(number))
  return called === undefined ? undefined : `it calls the kernel's helper ${helperInWords(called)}, which the policy does not allow`
}

/** What the object uses that no policy allows, as a sentence; undefined where it keeps to itself and the kernel's helpers. */
export function foreignUse({ code, externs }: Pick<Elf, 'code' | 'externs'>): string | undefined {
  if (externs.length > 0) return `it uses ${externs.join(', ')} of the kernel's own, and may call helpers only`
  const foreign = [...instructionsOf({ code })].some(
    ({ operation, source }) => (operation === CALL && source !== HELPER && source !== FUNCTION) || (operation === LOAD && source !== PLAIN)
  )
  return foreign ? 'it holds numbers that only its loader may put there: of functions, maps or variables of others' : undefined
}

/** A call, and a load of 64 bits, which a loader makes one of an address. */
const [CALL, LOAD] = [0x85, 0x18]
const INSTRUCTION_SIZE = 8
/** The source register of a call of a helper, and of one of the program's own functions; and of a load that no loader has seen. */
const [HELPER, FUNCTION, PLAIN] = [0, 1, 0]

function* instructionsOf({ code }: Pick<Elf, 'code'>): Generator<{ operation: number; source: number; immediate: number }> {
  for (const section of code)
    for (let at = 0; at + INSTRUCTION_SIZE <= section.length; at += INSTRUCTION_SIZE)
      yield { operation: section[at]!, source: section[at + 1]! >> 4, immediate: section.readInt32LE(at + 4) }
}

function helpersCalled(elf: Pick<Elf, 'code'>): number[] {
  return [...instructionsOf(elf)].flatMap(({ operation, source, immediate }) =>
    operation === CALL && source === HELPER ? [immediate] : []
  )
}

function helperInWords(number: number): string {
  const [name] = Object.entries(HELPERS).find(([, known]) => known === number) ?? []
  return name ? `bpf_${name} (${number})` : String(number)
}
