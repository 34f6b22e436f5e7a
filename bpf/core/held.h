/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Packets that wait for a function while its memory is moved: out by the replica device and in
 * again, round after round. Each leaves its own memory, cb[], here, with the ticket in its mark.
 */
#pragma once

#include "replica.h"

/* mark: MARK_HELD | ticket */
#define MARK_HELD (1 << 21)
/* More than wait in all queues of a host (net.core.netdev_max_backlog is 1000 for each CPU). */
#define HELD_MAX 16384

_Static_assert(MARK_HELD > MARK_TARGET && MARK_HELD < MARK_FROM, "no other mark has the bit");

struct held_packet {
	__u32 cb[5];
};

struct held {
	__u32 tickets; /* given so far */
	struct held_packet packets[HELD_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct held);
} held SEC(".maps");

static __always_inline struct held *lookup_held(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&held, &zero);
}

/* Sends the packet on one more round. False: it cannot wait. */
static __always_inline bool send_round(struct __sk_buff *skb, int *verdict)
{
	const struct host *self = lookup_host();
	struct held *held = lookup_held();
	struct held_packet *packet;
	__u32 ticket;

	if (!self || !self->replica || !held)
		return false;
	ticket = __sync_fetch_and_add(&held->tickets, 1) % HELD_MAX;
	packet = &held->packets[ticket];
	for (int i = 0; i < 5; i++)
		packet->cb[i] = skb->cb[i];
	skb->mark = MARK_HELD | ticket;
	*verdict = bpf_redirect(self->replica, 0);
	return true;
}

/* A packet comes back from its round: to whatever stands for its function now. */
static __always_inline int resume(struct __sk_buff *skb, __u32 ticket)
{
	struct held *held = lookup_held();
	struct held_packet *packet;

	if (!held)
		return drop(skb, CORE_MISSING);
	packet = &held->packets[ticket % HELD_MAX];
	for (int i = 0; i < 5; i++)
		skb->cb[i] = packet->cb[i];
	return pass_on(skb);
}
