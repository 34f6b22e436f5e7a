/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The limits, by direction and DSCP, and which of them a packet meets. */
#pragma once

#include "policer.gen.h"
#include "packet.h"
#include "generation.h"
#include "traffic_class.h"

/* Buckets count time in ticks: so fine that the cost of the smallest packet is exact to 1 % at
 * 100 Gbit/s, so coarse that 64 bits hold 9 years. */
#define TICKS_PER_NS  64
#define FRACTION_BITS 10

enum limit_unit {
	LIMIT_UNIT_BYTES,
	LIMIT_UNIT_PACKETS,
} __attribute__((packed));

struct limit {
	__u64 id;      /* key of `exceeded`; 0: there is no limit for this class */
	__u64 buckets; /* names its buckets: a limit of another rate has others, without old debts
			*/
	__u64 cost;    /* of a byte or a packet, in ticks << FRACTION_BITS; 0: no rate */
	__u64 burst;   /* in ticks */
	enum limit_unit unit;
	enum policer_limits_per per;
	enum policer_limits_exceed exceed;
	bool_t sets_dscp;
	__u8 dscp;
	__u8 reserved[3];
};

#define NOT_IP	   64 /* behind the DSCPs */
#define CLASSES	   65
#define DIRECTIONS 2

/*
 * Two banks, of which that of the generation counts. A change fills the other bank, writes the
 * generation's number, and clears the old one.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * DIRECTIONS * CLASSES);
	__type(key, __u32);
	__type(value, struct limit);
} limits SEC(".maps");

static __always_inline bool read_limit(__u32 bank, __u32 class, struct limit *limit)
{
	__u32 key = (bank % 2) * DIRECTIONS * CLASSES + class;
	const struct limit *standing = bpf_map_lookup_elem(&limits, &key);

	if (!standing)
		return false;
	copy_words(limit, standing, sizeof(*limit));
	return true;
}

/* The limit that packets of a class meet when they come by `port`. False: none. */
static __always_inline bool find_limit(const struct traffic_class *class, __u32 port,
				       struct limit *limit)
{
	__u32 number = class->family ? class->bits >> ECN_BITS : NOT_IP;
	__u32 current = read_generation(), later;

	if (port == INSIDE)
		number += CLASSES; /* egress */
	if (!read_limit(current, number, limit))
		return false;
	/* A bank may have been cleared while it was read. The next one lives long enough. */
	later = read_generation();
	if (unlikely(later != current) && !read_limit(later, number, limit))
		return false;
	return limit->id;
}
