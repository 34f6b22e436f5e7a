// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The least that a function can be: what comes in by one port leaves by the other. For tests of the
// road, and to measure it.
#include "graph.h"

INKEV_FUNCTION(forwarder, skb)
{
	return arrived_at(skb) == INSIDE ? forward(skb, OUTSIDE) : forward(skb, INSIDE);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
