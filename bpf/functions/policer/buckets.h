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
 * which is paid before the next one passes.
 *
 * The time of day is asked for only where it matters: `seen` is a time that has been, so no more is
 * missing than until `full_at` from there. While that is within the leeway, a packet passes. What
 * passes so of a bucket that has long been full again is not missed later: in any time t no more
 * passes than rate * (burst + leeway + t) and one packet.
 */
struct bucket {
	__u64 full_at; /* in ticks */
	__u64 seen;    /* in ticks */
};

/* As a share of the burst: 1/64. */
#define LEEWAY_SHIFT 6

/* Whose a bucket is. Read and written whole, in one access. */
union bucket_owner {
	struct {
		__u32 limit;	/* the low half of `buckets` of struct limit */
		__u16 workload; /* 0 where the policer is stitched */
		__u16 port;	/* by which packets come; 0 for both */
	};
	__u64 whole;
};

/* A place where a bucket is found without a search. One that nobody has had yet is all zeros. */
struct bucket_place {
	__u64 reserved; /* two to a line of cache, neither across two: an array begins 8 bytes
			   before one */
	union bucket_owner owner;
	struct bucket bucket;
};

#define PLACES 1024
struct bucket_places {
	struct bucket_place place[PLACES];
};

/* A bucket that has been full for so long gives its place to another, and nothing is forgotten. */
#define PLACE_HELD (TICKS_PER_NS * 1000000000ULL)

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bucket_places);
} port_buckets SEC(".maps");

/* Buckets of ports whose place another had when they came. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024); /* image.ts says how many */
	__type(key, union bucket_owner);
	__type(value, struct bucket);
} further_buckets SEC(".maps");

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
	__type(key, struct flow_bucket_key);
	__type(value, struct bucket);
} flow_buckets SEC(".maps");

static __always_inline __u64 read_clock(void)
{
	return bpf_ktime_get_ns() * TICKS_PER_NS;
}

/* The bucket under a key, which is full if it is new. NULL: there is no memory. */
static __always_inline struct bucket *lookup_bucket(void *map, const void *key)
{
	struct bucket *bucket = bpf_map_lookup_elem(map, key), full = {};

	if (likely(bucket))
		return bucket;
	full.full_at = full.seen = read_clock();
	bpf_map_update_elem(map, key, &full, BPF_NOEXIST); /* another CPU may have made it */
	return bpf_map_lookup_elem(map, key);
}

/* Gives a place to another owner, unless another CPU has done so. */
static __always_inline bool take_over(struct bucket_place *place, __u64 holder, __u64 owner,
				      __u64 now)
{
	if (__sync_val_compare_and_swap(&place->owner.whole, holder, owner) != holder)
		return false;
	*(volatile __u64 *)&place->bucket.seen = now;
	*(volatile __u64 *)&place->bucket.full_at = now;
	return true;
}

/* The bucket of an owner who has not the place: it stands apart, or the place becomes his. */
static __noinline struct bucket *lookup_further_bucket(struct bucket_place *place, __u64 owner)
{
	__u64 holder = *(volatile __u64 *)&place->owner.whole, now = read_clock();
	struct bucket *bucket = bpf_map_lookup_elem(&further_buckets, &owner);

	if (bucket)
		return bucket;
	if (place->bucket.full_at + PLACE_HELD < now && take_over(place, holder, owner, now))
		return &place->bucket;
	return lookup_bucket(&further_buckets, &owner);
}

static __always_inline struct bucket *lookup_port_bucket(struct __sk_buff *skb,
							 const struct limit *limit)
{
	union bucket_owner owner = {.limit = limit->buckets, .workload = chained_workload(skb)};
	struct bucket_places *places;
	struct bucket_place *place;
	__u32 zero = 0;

	if (limit->per != POLICER_LIMITS_PER_PORT)
		owner.port = arrived_at(skb);
	places = bpf_map_lookup_elem(&port_buckets, &zero);
	if (!places)
		return NULL;
	place = &places->place[(owner.limit * 2 + owner.workload * 2 + owner.port) % PLACES];
	if (likely(*(volatile __u64 *)&place->owner.whole == owner.whole))
		return &place->bucket;
	return lookup_further_bucket(place, owner.whole);
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

/* As take(), at the present time. */
static __noinline __u64 take_now(struct bucket *bucket, __u64 cost, __u64 burst)
{
	__u64 now = read_clock(), full_at = *(volatile __u64 *)&bucket->full_at;
	__s64 missing = full_at - now;

	*(volatile __u64 *)&bucket->seen = now;
	if (missing < 0) {
		if (__sync_val_compare_and_swap(&bucket->full_at, full_at, now + cost) == full_at)
			return 0;
		missing = 0; /* another CPU has just written a later time */
	}
	if (missing < burst)
		__sync_fetch_and_add(&bucket->full_at, cost);
	return missing;
}

/*
 * How far behind a bucket is, in ticks; takes `cost` from it where that is less than `burst`. No
 * lock: what passes is added in one access, so every CPU's packets
 * are paid for. CPUs that ask in the same moment may all find the last of it, and leave it in debt
 * by a packet each.
 */
static __always_inline __u64 take(struct bucket *bucket, __u64 cost, __u64 burst)
{
	__u64 full_at = *(volatile __u64 *)&bucket->full_at,
	      seen = *(volatile __u64 *)&bucket->seen;

	if (unlikely(full_at - seen + cost >= burst >> LEEWAY_SHIFT))
		return take_now(bucket, cost, burst);
	__sync_fetch_and_add(&bucket->full_at, cost);
	return 0;
}
