/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The way of a copy: cb[] does not survive it, so skb->mark says where the copy goes and how many
 * functions it has passed. It leaves by the replica device and comes in again at replica.bpf.c,
 * with the EtherType that its bytes have.
 */
#pragma once

#include "road.h"

/* mark: hops << 24 | to a workload port << 23 | slot of a function, or port id */
#define MARK_WORKLOAD (1 << 23)
#define MARK_TARGET   0xfffff

_Static_assert(SLOTS_MAX - 1 <= MARK_TARGET && WORKLOADS_MAX - 1 <= MARK_TARGET, "fits the mark");

static __always_inline __u32 mark_of_function(const struct __sk_buff *skb, union attachment to)
{
	return hops_of(skb) << 24 | to.target << PORT_BITS | to.port;
}

static __always_inline __u32 mark_of_workload(const struct __sk_buff *skb, __u32 workload_id)
{
	return hops_of(skb) << 24 | MARK_WORKLOAD | workload_id;
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
