/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Copies of a packet to ports of this host and to other hosts: the packet itself stays. */
#pragma once

#include "replica.h"

static __always_inline void copy_to_device(struct __sk_buff *skb, ifindex_t ifindex, __u32 mark)
{
	skb->mark = mark;
	if (bpf_clone_redirect(skb, ifindex, 0))
		count(CORE_NO_ROOM);
}

/*
 * A copy to a workload port: straight into its device, or by way of the replica device where
 * functions stand before it.
 */
static __always_inline void copy_to_workload(struct __sk_buff *skb, const struct host *self,
					     __u32 workload_id)
{
	struct workload *workload = bpf_map_lookup_elem(&workloads, &workload_id);

	if (!workload || !workload->ifindex)
		return;
	if (workload->chain_length)
		copy_to_device(skb, self->replica, mark_of_workload(skb, workload_id));
	else
		copy_to_device(skb, workload->ifindex, 0);
}

/* A copy to what an attachment names. */
static __always_inline void copy_to(struct __sk_buff *skb, const struct host *self,
				    union attachment to)
{
	switch (to.kind) {
	case ATTACHED_FUNCTION:
		copy_to_device(skb, self->replica, mark_of_function(skb, to));
		break;
	case ATTACHED_WORKLOAD:
		copy_to_workload(skb, self, to.target);
		break;
	case ATTACHED_DEVICE:
	case ATTACHED_VETH:
		copy_to_device(skb, to.target, 0);
		break;
	default:
		break;
	}
}

/*
 * Sends a copy out of one of this function's ports; the packet keeps its mark. False: nothing is
 * stitched there.
 */
static __always_inline bool send_copy(struct __sk_buff *skb, __u32 port)
{
	union attachment to = stitch_at(port);
	const struct host *self = lookup_host();
	__u32 mark = skb->mark;

	if (!self || to.kind == ATTACHED_NOTHING)
		return false;
	copy_to(skb, self, to);
	skb->mark = mark;
	return true;
}
