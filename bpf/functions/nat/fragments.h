/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Fragments: only the first has ports, so it decides, and the others of its packet become what it
 * became. */
#pragma once

#include "tables.h"

#define FRAGMENTS_MAX 16384
/* RFC 8200 4.5 gives a packet 60 s to become whole, Linux 30 s. */
#define FRAGMENT_LIFETIME (30 * 1000000000ULL)

/* As the fragments came. */
struct fragment_key {
	ip_t source;
	ip_t destination;
	__u32 id;
	__u16 workload;
	protocol_t protocol; /* IPv4 only: a later fragment of IPv6 need not know the transport's */
	__u8 arrived;	     /* by which port */
};

struct translation {
	time_t_ns since;
	__u32 length; /* of the first fragment's payload: no other may overlap it */
	__u32 leaves; /* by which port */
	ip_t source;
	ip_t destination;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FRAGMENTS_MAX);
	__type(key, struct fragment_key);
	__type(value, struct translation);
} fragments SEC(".maps");

static __always_inline void make_fragment_key(struct __sk_buff *skb, const struct scratch *memory,
					      struct fragment_key *key)
{
	const struct packet *packet = &memory->packet;

	key->source = memory->source;
	key->destination = memory->destination;
	key->id = packet->fragment_id;
	key->workload = session_scope(skb);
	key->protocol = packet->family == 4 ? packet->protocol : 0;
	key->arrived = arrived_at(skb);
}

/* The first fragment in scratch has been translated: those that come after it shall be too. */
__noinline bool learn_fragment(struct __sk_buff *skb, __u32 leaves)
{
	struct translation translation = {.since = bpf_ktime_get_coarse_ns(), .leaves = leaves};
	const struct scratch *memory = lookup_scratch();
	struct fragment_key key = {};

	if (!memory)
		return false;
	make_fragment_key(skb, memory, &key);
	translation.length = memory->packet.l3 + memory->packet.length - memory->packet.l4;
	translation.source = memory->packet.source;
	translation.destination = memory->packet.destination;
	return !bpf_map_update_elem(&fragments, &key, &translation, BPF_ANY);
}

/* What the first fragment of the packet in scratch became, if it was seen and this one lies behind
 * it. */
static __always_inline const struct translation *lookup_translation(struct __sk_buff *skb,
								    const struct scratch *memory)
{
	const struct translation *found;
	struct fragment_key key = {};

	make_fragment_key(skb, memory, &key);
	found = bpf_map_lookup_elem(&fragments, &key);
	if (!found || bpf_ktime_get_coarse_ns() - found->since >= FRAGMENT_LIFETIME ||
	    memory->packet.fragment_offset < found->length)
		return NULL;
	return found;
}
