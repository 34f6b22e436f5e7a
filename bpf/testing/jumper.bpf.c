// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Does nothing but call the program in a constant slot: what the kernel itself takes for each of a
// row of functions.
#include "graph.h"

SEC("tc") int jumper(struct __sk_buff *skb)
{
	call_slot_of(skb, OUTSIDE);
	return drop(skb, CORE_MISSING);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
