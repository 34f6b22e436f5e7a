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

/* Where the search begins, how many bytes it takes, and the rules that want it, as bits. */
struct automaton {
	__u32 root;
	__u32 shallow; /* up to this state no more than one byte of a pattern has been read */
	__u32 reach;
	__u32 rules;
	__u32 sieve; /* its number; names have none */
	__u32 mask;  /* of the next bytes: what is hashed */
	__u32 shift; /* leaves the number of a bit of a hash */
};

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
__noinline int sift(struct window *window, const struct automaton *automaton)
{
	struct sifting sifting = {.window = window};
	__u32 number;

	if (!window || !automaton)
		return false;
	number = automaton->sieve;
	sifting.sieve = bpf_map_lookup_elem(&sieves, &number);
	if (!sifting.sieve)
		return false;
	sifting.mask = automaton->mask;
	sifting.shift = automaton->shift;
	bpf_loop((window->length + BLOCK - 1) / BLOCK, sift_block, &sifting, 0);
	return sifting.hits != 0;
}
