// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Stands behind every port of a function under test, and tells by its verdict which of them the
// packet left by.
#include "graph.h"

#define LEFT_BY 0x1000

SEC("tc") int probe(struct __sk_buff *skb)
{
	return LEFT_BY + arrived_at(skb);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
