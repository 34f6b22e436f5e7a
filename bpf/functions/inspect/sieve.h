/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The sieve before an automaton: most places of a payload begin no pattern, and are left out. */
#pragma once

#include "window.h"

#define SIEVE_WORDS 2048
#define SIEVE_HASH  0x9e3779b1

/* A pattern can begin only where the bit of the hash of the next bytes is set. */
struct sieve {
	__u32 bits[SIEVE_WORDS];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct sieve);
} sieves SEC(".maps");

struct sifting {
	const struct sieve *sieve;
	struct window *window;
	__u32 mask;
	__u32 shift;
	__u64 hits;
};

/* Without a branch: most places are no hits. */
static long sift_block(__u32 n, struct sifting *sifting)
{
	const struct sieve *sieve = sifting->sieve;
	const __u32 mask = sifting->mask, shift = sifting->shift;
	const __u8 *bytes = sifting->window->bytes + n % BLOCKS * BLOCK;
	__u64 hits = 0;

#pragma unroll
	for (int i = 0; i < BLOCK; i++) {
		__u32 bit = ((*(const __u32 *)(bytes + i) & mask) * SIEVE_HASH) >> shift;
		__u32 word = sieve->bits[bit / 32 % SIEVE_WORDS];

		hits |= (__u64)(word >> bit % 32 & 1) << i;
		barrier_var(hits); /* else clang keeps all words until the end */
	}
	sifting->window->hits[n % BLOCKS] = hits;
	sifting->hits |= hits;
	return 0;
}

/* Finds the places of the window where patterns may begin, and answers whether there are any. What
 * lies behind its end in the last block may be told to be one. Global, so that the verifier walks
 * it once. */
__noinline int sift(__u32 length, __u32 number, __u32 mask, __u32 shift)
{
	struct scratch *memory = lookup_scratch();
	struct sifting sifting = {
		.sieve = bpf_map_lookup_elem(&sieves, &number), .mask = mask, .shift = shift};

	if (!memory || !sifting.sieve)
		return false;
	sifting.window = &memory->window;
	bpf_loop((length + BLOCK - 1) / BLOCK, sift_block, &sifting, 0);
	return sifting.hits != 0;
}
