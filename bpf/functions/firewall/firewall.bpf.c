/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A stateful firewall: rules judge the packet that opens a session, and the session admits all
 * others. */

#include "firewall.gen.h"
#include "graph.h"
#include "fastpath.h"
#include "judge.h"

INKEV_FUNCTION(firewall, skb)
{
	__u32 port = arrived_at(skb);
	int verdict;

	if (port == INSIDE && passes_at_once(skb, INSIDE))
		return forward(skb, OUTSIDE);
	if (port == OUTSIDE && passes_at_once(skb, OUTSIDE))
		return forward(skb, INSIDE);

	verdict = judge_packet(skb, port);
	if (verdict == PASS)
		return forward(skb, port == INSIDE ? OUTSIDE : INSIDE);
	if (verdict != REJECT)
		return drop(skb, verdict);
	count(FIREWALL_REJECTED);
	return forward(skb, port);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
