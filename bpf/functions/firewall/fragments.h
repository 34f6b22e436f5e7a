/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Fragments: only the first has ports, so it decides, and the others of its packet follow it. */
#pragma once

#include "graph.h"
#include "packet.h"
#include "session.h"

#define FRAGMENTS_MAX 16384
/* RFC 8200 4.5 gives a packet 60 s to become whole, Linux 30 s. */
#define FRAGMENT_LIFETIME (30 * 1000000000ULL)

struct fragment_key {
	ip_t source;
	ip_t destination;
	__u32 id;
	__u16 workload;
	protocol_t protocol; /* IPv4 only: a later fragment of IPv6 need not know the transport's */
	__u8 arrived;	     /* by which port */
};

struct fragment_pass {
	time_t_ns since;
	__u32 length; /* of the first fragment's payload: no other may overlap it */
	__u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FRAGMENTS_MAX);
	__type(key, struct fragment_key);
	__type(value, struct fragment_pass);
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

/* A first fragment passes: those that come after it shall. False: there is no room to remember it.
 */
__noinline bool learn_fragment(struct __sk_buff *skb, const struct packet *packet)
{
	struct fragment_pass pass = {.since = bpf_ktime_get_coarse_ns()};
	struct fragment_key key;

	if (!packet)
		return false;
	key = fragment_key_of(skb, packet);
	pass.length = packet->l3 + packet->length - packet->l4;
	return bpf_map_update_elem(&fragments, &key, &pass, BPF_ANY) == 0;
}

/* Whether a later fragment follows one that passed, and lies behind it. */
__noinline bool follows_fragment(struct __sk_buff *skb, const struct packet *packet)
{
	const struct fragment_pass *pass;
	struct fragment_key key;

	if (!packet)
		return false;
	key = fragment_key_of(skb, packet);
	pass = bpf_map_lookup_elem(&fragments, &key);
	return pass && bpf_ktime_get_coarse_ns() - pass->since < FRAGMENT_LIFETIME &&
	       packet->fragment_offset >= pass->length;
}
