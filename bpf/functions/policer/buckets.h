/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Token buckets: where they are kept, and how packets take from them. */
#pragma once

#include "policer.gen.h"
#include "graph.h"
#include "limits.h"
#include "packet.h"

/*
 * A bucket is one number: when it will be full if nothing more is taken. What is missing is worth
 * the time until then, and never more than a burst when a packet is let through; that packet may be
 * larger than what is left (a train of segments is larger than many a bucket) and leaves a debt,
 * which is paid before the next one passes. So in any time t no more passes than
 * rate * (burst + t) and one packet.
 */
struct bucket {
	__u64 full_at; /* in ticks */
};

struct port_bucket_key {
	__u64 buckets;	/* of struct limit */
	__u32 workload; /* 0 where the policer is stitched */
	__u32 port;	/* by which packets come; 0 for both */
};

/* Fragments but the first have no ports: all between two addresses are one flow. */
struct flow_bucket_key {
	__u64 buckets; /* of struct limit */
	ip_t source;
	ip_t destination;
	port_t source_port;
	port_t destination_port;
	__u16 workload;
	protocol_t protocol;
	__u8 port; /* by which packets come */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024); /* image.ts says how many */
	__type(key, struct port_bucket_key);
	__type(value, struct bucket);
} port_buckets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024); /* image.ts says how many */
	__type(key, struct flow_bucket_key);
	__type(value, struct bucket);
} flow_buckets SEC(".maps");

/* The bucket under a key, which is full if it is new. NULL: there is no memory. */
static __always_inline struct bucket *lookup_bucket(void *map, const void *key)
{
	struct bucket *bucket = bpf_map_lookup_elem(map, key), full = {};

	if (likely(bucket))
		return bucket;
	full.full_at = bpf_ktime_get_ns() * TICKS_PER_NS;
	bpf_map_update_elem(map, key, &full, BPF_NOEXIST); /* another CPU may have made it */
	return bpf_map_lookup_elem(map, key);
}

static __always_inline struct bucket *lookup_port_bucket(struct __sk_buff *skb,
							 const struct limit *limit)
{
	struct port_bucket_key key = {.buckets = limit->buckets, .workload = chained_workload(skb)};

	if (limit->per != POLICER_LIMITS_PER_PORT)
		key.port = arrived_at(skb);
	return lookup_bucket(&port_buckets, &key);
}

static __always_inline struct bucket *
lookup_flow_bucket(struct __sk_buff *skb, const struct limit *limit, const struct packet *packet)
{
	struct flow_bucket_key key = {
		.buckets = limit->buckets,
		.source = packet->source,
		.destination = packet->destination,
		.source_port = packet->source_port,
		.destination_port = packet->destination_port,
		.workload = chained_workload(skb),
		.protocol = packet->protocol,
		.port = arrived_at(skb),
	};

	return lookup_bucket(&flow_buckets, &key);
}

/* What a load takes from a bucket, in ticks. */
static __always_inline __u64 cost_of(const struct limit *limit, const struct load *load)
{
	__u64 amount = limit->unit == LIMIT_UNIT_BYTES ? load->bytes : load->packets;

	return amount * limit->cost >> FRACTION_BITS;
}

/*
 * How far behind a bucket is, in ticks of which one burst is allowed; takes `cost` from it where
 * that is less than `allowed`. No lock: what passes is added in one access, so every CPU's packets
 * are paid for. CPUs that ask in the same moment may all find the last of it, and leave it in debt
 * by a packet each.
 */
static __always_inline __u64 take(struct bucket *bucket, __u64 cost, __u64 allowed)
{
	__u64 now = bpf_ktime_get_ns() * TICKS_PER_NS,
	      full_at = *(volatile __u64 *)&bucket->full_at;
	__s64 missing = full_at - now;

	if (missing < 0) {
		if (__sync_val_compare_and_swap(&bucket->full_at, full_at, now + cost) == full_at)
			return 0;
		missing = 0; /* another CPU has just written a later time */
	}
	if (missing < allowed)
		__sync_fetch_and_add(&bucket->full_at, cost);
	return missing;
}
