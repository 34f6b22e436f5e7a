/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The way of a copy: cb[] does not survive it, so skb->mark says where the copy goes and how many
 * functions it has passed. It leaves by the replica device and comes in again at replica.bpf.c,
 * with the EtherType that its bytes have.
 */
#pragma once

#include "road.h"

/* mark: hops << 24 | to a workload port << 23 | from one << 22 | slot of a function, or port id */
#define MARK_WORKLOAD (1 << 23)
#define MARK_FROM     (1 << 22)
#define MARK_TARGET   0xfffff

_Static_assert(SLOTS_MAX - 1 <= MARK_TARGET && WORKLOADS_MAX - 1 <= MARK_TARGET, "fits the mark");

/*
 * How many functions a packet may have passed to be answered in the same run: the answer has to
 * pass them again before the kernel has counted 33 tail calls.
 */
#define ANSWERED_HOPS_MAX 8

static __always_inline __u32 mark_of_function(const struct __sk_buff *skb, union attachment to)
{
	return hops_of(skb) << 24 | to.target << PORT_BITS | to.port;
}

static __always_inline __u32 mark_of_workload(const struct __sk_buff *skb, __u32 workload_id)
{
	return hops_of(skb) << 24 | MARK_WORKLOAD | workload_id;
}

/* Of a copy that enters the graph as if the port had sent it. */
static __always_inline __u32 mark_of_sender(__u32 workload_id)
{
	return MARK_FROM | workload_id;
}

/* What a mark names: ATTACHED_FUNCTION or ATTACHED_WORKLOAD. */
static __always_inline union attachment attachment_of_mark(__u32 mark)
{
	__u32 target = mark & MARK_TARGET;
	union attachment to = {.target = target, .kind = ATTACHED_WORKLOAD};

	if (!(mark & MARK_WORKLOAD)) {
		to.target = target >> PORT_BITS;
		to.port = target % PORTS_PER_INSTANCE;
		to.kind = ATTACHED_FUNCTION;
	}
	return to;
}

/*
 * Lets the answer that this function has made of a packet leave by one of its ports. Where the
 * packet had come far, the answer begins anew.
 */
static __always_inline int forward_answer(struct __sk_buff *skb, __u32 port)
{
	union attachment to = stitch_at(port);
	const struct host *self = lookup_host();

	if (to.kind != ATTACHED_FUNCTION || hops_of(skb) <= ANSWERED_HOPS_MAX || !self)
		return forward(skb, port);
	skb->mark = to.target << PORT_BITS | to.port; /* hops: none */
	return bpf_redirect(self->replica, 0);
}
