/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The rules, and the search for the one that decides about a packet: tuple space search. */
#pragma once

#include "firewall.gen.h"
#include "packet.h"
#include "generation.h"

/*
 * Rules that look at the same bits of a packet are of one shape. The packet, masked by the shape,
 * is the key of the only one among them that can match: one lookup for each shape, however many
 * rules. Shapes are numbered by the best priority among their rules, and the search ends where no
 * better can come.
 *
 * Every key begins with a generation. A change of rules puts the new generation beside the old one,
 * then writes its number into `generation`, then removes the old: a packet reads that number once.
 */
struct shape_key {
	__u32 generation;
	__u16 number; /* from 0; the last shape matches everything: the default action */
	enum firewall_rules_direction direction;
	bool_t ipv6;
};

/* Prefix lengths are of mapped addresses: 96 more than written for IPv4. */
struct shape {
	__u32 priority;
	__u8 source_length;
	__u8 destination_length;
	port_t source_port_mask;
	port_t destination_port_mask;
	bool_t any_protocol;
	__u8 reserved;
};

struct rule_key {
	struct shape_key shape;
	ip_t source;
	ip_t destination;
	port_t source_port;
	port_t destination_port; /* of ICMP: type << 8 | code */
	protocol_t protocol;
	__u8 reserved[3];
};

struct rule {
	__u64 id; /* key of rule_hits */
	__u32 priority;
	enum firewall_rules_action action;
	__u8 reserved[3];
};

struct hits {
	__u64 packets;
	__u64 bytes;
};

/* More than there can be shapes. */
#define SEARCH_MAX (1 << 20)

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1); /* firewall.ts says how many */
	__type(key, struct shape_key);
	__type(value, struct shape);
} shapes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1); /* firewall.ts says how many */
	__type(key, struct rule_key);
	__type(value, struct rule);
} rules SEC(".maps");

/*
 * What each rule has decided, by its id: the first packets of allowed sessions, and all packets
 * that were refused. The packets of a known session meet no rule. Entries appear with the first
 * hit.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 2 * FIREWALL_RULES_MAX);
	__type(key, __u64);
	__type(value, struct hits);
} rule_hits SEC(".maps");

/* A packet as rules see it: the one that opens a session. */
struct opening {
	ip_t source;
	ip_t destination;
	port_t source_port;
	port_t destination_port; /* of ICMP: type << 8 | code */
	protocol_t protocol;
	bool_t ipv6;
	enum firewall_rules_direction direction;
};

struct search {
	struct opening opening;
	struct rule_key key;
	struct rule best; /* so far */
};

static __always_inline __be64 leading_bits(__be64 half, __u32 length)
{
	return length ? half & bpf_cpu_to_be64(~0ULL << (64 - length)) : 0;
}

static __always_inline ip_t prefix_of(const ip_t *ip, __u32 length)
{
	ip_t prefix;

	prefix.half[0] = leading_bits(ip->half[0], length < 64 ? length : 64);
	prefix.half[1] = leading_bits(ip->half[1], length < 64 ? 0 : length - 64);
	return prefix;
}

static long try_shape(__u32 number, struct search **context)
{
	struct search *search = *context;
	const struct opening *opening = &search->opening;
	const struct shape *shape;
	const struct rule *rule;

	search->key.shape.number = number;
	shape = bpf_map_lookup_elem(&shapes, &search->key.shape);
	if (!shape || shape->priority >= search->best.priority)
		return 1;
	search->key.source = prefix_of(&opening->source, shape->source_length);
	search->key.destination = prefix_of(&opening->destination, shape->destination_length);
	search->key.source_port = opening->source_port & shape->source_port_mask;
	search->key.destination_port = opening->destination_port & shape->destination_port_mask;
	search->key.protocol = shape->any_protocol ? 0 : opening->protocol;
	rule = bpf_map_lookup_elem(&rules, &search->key);
	if (rule && rule->priority < search->best.priority)
		search->best = *rule;
	return 0;
}

static __always_inline void count_hit(__u64 id, __u32 bytes)
{
	struct hits *hits = bpf_map_lookup_elem(&rule_hits, &id), none = {};

	if (!hits) {
		bpf_map_update_elem(&rule_hits, &id, &none, BPF_NOEXIST);
		hits = bpf_map_lookup_elem(&rule_hits, &id);
	}
	if (!hits)
		return;
	hits->packets += 1;
	hits->bytes += bytes;
}

/* The generation of rules that a search has gone through. */
static __always_inline __u32 decided_by(const struct search *search)
{
	return search->key.shape.generation;
}

static __always_inline void search_rules(struct search *search)
{
	search->key.shape = (struct shape_key){
		.generation = read_generation(),
		.direction = search->opening.direction,
		.ipv6 = search->opening.ipv6,
	};
	search->best = (struct rule){.priority = ~0U, .action = FIREWALL_RULES_ACTION_DENY};
	bpf_loop(SEARCH_MAX, try_shape, &search, 0);
}

/*
 * What the rules in force say of search->opening, whose packet has `bytes`. It is counted as a hit
 * of the rule that decides. Where there are no rules at all, nothing is allowed.
 */
static __always_inline enum firewall_rules_action decide(struct search *search, __u32 bytes)
{
	search_rules(search);
	/* A generation may have been removed while it was searched. The next one lives long enough.
	 */
	if (decided_by(search) != read_generation())
		search_rules(search);
	count_hit(search->best.id, bytes);
	return search->best.action;
}
