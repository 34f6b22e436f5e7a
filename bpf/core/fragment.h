/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Fragments: only the first of a packet has ports, so it is judged, and the others follow it. */
#pragma once

#include "graph.h"
#include "packet.h"
#include "session.h"

#define FRAGMENTS_MAX 16384
/* RFC 8200 4.5 gives a packet 60 s to become whole, Linux 30 s. */
#define FRAGMENT_LIFETIME (30 * 1000000000ULL)

/* Names all fragments of a packet, as they came. */
struct fragment_key {
	ip_t source;
	ip_t destination;
	__u32 id;
	__u16 workload;
	protocol_t protocol; /* IPv4 only: a later fragment of IPv6 need not know the transport's */
	__u8 arrived;	     /* by which port */
};

/* What is remembered of a first fragment. */
struct first_fragment {
	time_t_ns since;
	__u32 length; /* of its payload: no other may overlap it */
	__u32 reserved;
#ifdef FRAGMENT_DATA
	FRAGMENT_DATA data; /* what the kind itself keeps: what becomes of the others */
#endif
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FRAGMENTS_MAX);
	__type(key, struct fragment_key);
	__type(value, struct first_fragment);
} fragments SEC(".maps");

static __always_inline struct fragment_key fragment_key_of(struct __sk_buff *skb,
							   const struct packet *packet)
{
	struct fragment_key key = {
		.source = packet->source,
		.destination = packet->destination,
		.id = packet->fragment_id,
		.workload = session_scope(skb),
		.protocol = packet->family == 4 ? packet->protocol : 0,
		.arrived = arrived_at(skb),
	};

	return key;
}

/* Remembers a first fragment, of which `first` says what the kind itself keeps. False: there is
 * no room. */
static __always_inline bool learn_fragment(const struct fragment_key *key,
					   const struct packet *packet,
					   struct first_fragment *first)
{
	first->since = bpf_ktime_get_coarse_ns();
	first->length = packet->l3 + packet->length - packet->l4;
	bpf_map_update_elem(&fragments, key, first, BPF_ANY);
	return bpf_map_lookup_elem(&fragments, key); /* as store_session() has it */
}

/* The first fragment that a later one follows; NULL if it is not known, or is overlapped. */
static __always_inline const struct first_fragment *lookup_fragment(const struct fragment_key *key,
								    const struct packet *packet)
{
	const struct first_fragment *first = bpf_map_lookup_elem(&fragments, key);

	if (!first || bpf_ktime_get_coarse_ns() - first->since >= FRAGMENT_LIFETIME ||
	    packet->fragment_offset < first->length)
		return NULL;
	return first;
}
