// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Where copies made by flooding go on, and packets that wait: tcx ingress of the far end of the
// replica device.
#include "held.h"

/* A copy of what has come in at a workload port, with the tag that the port is known by. */
static __noinline int go_on_from(struct __sk_buff *skb, __u32 mark)
{
	begin(skb, mark >> 24, mark & MARK_TARGET, 0);
	if (skb->vlan_present && bpf_skb_vlan_pop(skb))
		return drop(skb, CORE_NO_ROOM);
	return leave(skb, next_in_chain(skb, OUTSIDE));
}

SEC("tc") int replica(struct __sk_buff *skb)
{
	__u32 mark = skb->mark;

	skb->mark = 0;
	if (!mark)
		return drop(skb, CORE_NO_PORT); /* the kernel's own, such as router solicitations */
	if (mark & MARK_FROM)
		return go_on_from(skb, mark);
	if (mark & MARK_HELD)
		return resume(skb, mark);
	begin(skb, mark >> 24, 0, 0);
	return leave(skb, attachment_of_mark(mark));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
