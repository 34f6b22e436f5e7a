// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Stands behind every port of a function under test, and before every workload: its verdict is
// where the packet came.
#include "graph.h"

SEC("tc") int probe(struct __sk_buff *skb)
{
	return skb->cb[0];
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
