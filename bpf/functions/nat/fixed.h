/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Addresses that always become the same other one: floating addresses, and prefixes (RFC 6296). */
#pragma once

#include "tables.h"

static __always_inline __u32 add_words(__u32 word, __u32 addend)
{
	word += addend;
	word = (word & 0xffff) + (word >> 16);
	return word == 0xffff ? 0 : word;
}

/*
 * RFC 6296 3.4 and 3.5: the new prefix, and what its sum is more or less is made up for in the
 * subnet's word or, where the prefix is longer than 48 bits, in the first of the interface
 * identifier that can change. False: none can.
 */
static __always_inline bool change_prefix(ip_t *address, const struct new_prefix *to)
{
	__be64 host = to->length < 64 ? bpf_cpu_to_be64(~0ULL >> (to->length & 63)) : 0;
	__u32 first = to->length <= 48 ? 3 : 4;
	__be16 *words = (__be16 *)address->byte;

	address->half[0] = (address->half[0] & host) | to->prefix.half[0];
#pragma unroll
	for (__u32 i = 3; i < 8; i++) {
		if (i < first || words[i] == 0xffff)
			continue;
		words[i] = bpf_htons(add_words(bpf_ntohs(words[i]), to->adjustment));
		return true;
	}
	return false;
}

/* What an address always becomes: at `to`. `arrived`: the port by which the packet came. */
__noinline bool lookup_fixed(const ip_t *address, __u32 arrived, ip_t *to)
{
	struct floating_key key = {.arrived = arrived};
	prefix_t prefix = {.length = 128};
	const struct new_prefix *new_prefix;
	const ip_t *other;

	if (!address || !to)
		return false;
	key.address = *address;
	other = bpf_map_lookup_elem(&floating, &key);
	if (other) {
		*to = *other;
		return true;
	}
	prefix.address = *address;
	if (ip_is_ipv4(address))
		return false;
	new_prefix = arrived == INSIDE ? bpf_map_lookup_elem(&prefixes_in, &prefix)
				       : bpf_map_lookup_elem(&prefixes_out, &prefix);
	if (!new_prefix)
		return false;
	*to = *address;
	return change_prefix(to, new_prefix);
}
