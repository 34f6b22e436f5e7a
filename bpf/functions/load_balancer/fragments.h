/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Fragments: only the first has ports, and the others of its packet go its way. */
#pragma once

#include "tables.h"
#include "translation.h"

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

struct fragment_way {
	time_t_ns since;
	struct translation translation;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FRAGMENTS_MAX);
	__type(key, struct fragment_key);
	__type(value, struct fragment_way);
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

/* A first fragment is translated: those that come after it shall be. False: there is no room to
 * remember it. */
__noinline bool learn_fragment(struct __sk_buff *skb, const struct packet *packet,
			       const struct translation *translation)
{
	struct fragment_way way = {.since = bpf_ktime_get_coarse_ns()};
	struct fragment_key key;

	if (!packet || !translation)
		return false;
	key = fragment_key_of(skb, packet);
	way.translation = *translation;
	return bpf_map_update_elem(&fragments, &key, &way, BPF_ANY) == 0;
}

/* A later fragment: its packet's first one, if it was translated, says what becomes of it. */
__noinline int follow_fragment(struct __sk_buff *skb, const struct packet *packet, __u32 port)
{
	const struct fragment_way *way;
	struct fragment_key key;

	if (!packet)
		return CORE_MALFORMED;
	key = fragment_key_of(skb, packet);
	way = bpf_map_lookup_elem(&fragments, &key);
	if (way && bpf_ktime_get_coarse_ns() - way->since < FRAGMENT_LIFETIME)
		return translate(skb, packet, &way->translation, port);
	return lookup_virtual(&packet->destination) ? LOAD_BALANCER_FRAGMENT : let_pass(port);
}
