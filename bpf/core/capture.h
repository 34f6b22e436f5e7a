/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Captures: packets written down for those who listen at the agent. A kind that includes this, and
 * says in its declaration what it `captures`, can be captured. */
#pragma once

#include "graph.h"

/* Packets that nobody has read yet: of each a struct captured_packet, and its bytes. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536); /* capture.ts says how many bytes */
} captured SEC(".maps");

/* Written by the agent when the first listener comes and when the last one goes. */
struct capture {
	bool_t wanted;
	__u8 reserved[7];
	/* Packets for which there was no room, by the port at which they had arrived. */
	__u64 lost[PORTS_PER_INSTANCE];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct capture);
} capture SEC(".maps");

struct captured_packet {
	__u64 time;   /* bpf_ktime_get_ns() */
	__u32 length; /* of the frame; of a train of segments (GSO), of the whole train */
	__u32 kept;   /* how many of these bytes follow */
	__u16 port;   /* at which it arrived */
	__u16 tag;    /* of 802.1Q, where the kernel keeps one beside the frame */
	__be16 tag_protocol;
	bool_t tagged;
	__u8 reserved;
};

/* Whether anybody listens. While nobody does, this line of cache is all that a capture costs. */
static __always_inline bool is_captured(void)
{
	__u32 zero = 0;
	const struct capture *state = bpf_map_lookup_elem(&capture, &zero);

	return state && state->wanted;
}

/* Apart, so that BTF has the structure: it keeps those that functions take. */
static __noinline void describe(struct captured_packet *record, struct __sk_buff *skb, __u32 port,
				__u32 kept)
{
	record->time = bpf_ktime_get_ns();
	record->length = skb->len;
	record->kept = kept;
	record->port = port;
	record->tag = skb->vlan_tci;
	record->tag_protocol = skb->vlan_proto;
	record->tagged = skb->vlan_present;
	record->reserved = 0;
}

/* False: there is no room. */
static __always_inline bool write_record(struct __sk_buff *skb, __u32 port, __u32 kept,
					 const __u32 room)
{
	struct captured_packet *record = bpf_ringbuf_reserve(&captured, sizeof(*record) + room, 0);

	if (!record)
		return false;
	describe(record, skb, port, kept);
	barrier_var(kept); /* else clang drops what the verifier wants to see */
	if (!kept || kept > room || bpf_skb_load_bytes(skb, 0, record + 1, kept))
		bpf_ringbuf_discard(record, 0);
	else
		bpf_ringbuf_submit(record, 0);
	return true;
}

/* The verifier wants to know how much room is taken: one of these. */
static __always_inline bool write_in_step(struct __sk_buff *skb, __u32 port, __u32 kept)
{
#define STEP(total)                                           \
	if (kept <= (total) - sizeof(struct captured_packet)) \
	return write_record(skb, port, kept, (total) - sizeof(struct captured_packet))
	STEP(128);
	STEP(256);
	STEP(512);
	STEP(1024);
	STEP(2048);
	STEP(4096);
	STEP(8192);
	STEP(16384);
	STEP(32768);
	STEP(65536);
	STEP(131072);
#undef STEP
	return false;
}

static __always_inline void count_lost(__u32 port)
{
	__u32 zero = 0;
	struct capture *state = bpf_map_lookup_elem(&capture, &zero);

	if (state)
		__sync_fetch_and_add(&state->lost[port % PORTS_PER_INSTANCE], 1);
	count(CORE_NO_ROOM);
}

/*
 * Writes the packet down, which arrived at `port`, or no more than its first `snap_length` bytes;
 * where there is no room it counts that. For those that have seen is_captured().
 */
static __noinline int write_down(struct __sk_buff *skb, __u32 port, __u32 snap_length)
{
	__u32 kept = skb->len < snap_length ? skb->len : snap_length;

	if (!write_in_step(skb, port, kept))
		count_lost(port);
	return 0;
}
