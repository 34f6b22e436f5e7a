// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Where copies made by flooding go on: tcx ingress of the far end of the replica device.
#include "replica.h"

SEC("tc") int replica(struct __sk_buff *skb)
{
	__u32 mark = skb->mark;

	skb->mark = 0;
	if (!mark)
		return drop(skb, CORE_NO_PORT); /* the kernel's own, such as router solicitations */
	begin(skb, mark >> 24, 0, 0);
	return leave(skb, attachment_of_mark(mark));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
