/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A stateful firewall: rules judge the packet that opens a session, and the session admits all
 * others. */

#include "firewall.gen.h"
#include "graph.h"
#include "fastpath.h"
#include "judge.h"

INKEV_FUNCTION(firewall, skb)
{
	__u32 port = arrived_at(skb) & 1;
	int verdict = likely(passes_at_once(skb, port)) ? PASS : judge_packet(skb, port);

	if (verdict == REJECT) {
		count(FIREWALL_REJECTED);
		port = !port;
	} else if (verdict != PASS) {
		return drop(skb, verdict);
	}
	return pass_through(skb, port);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
