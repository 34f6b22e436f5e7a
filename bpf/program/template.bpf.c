// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A template: counts the packets that pass, and drops those that are too long.
#include <inkev/function.h>

INKEV_ABOUT("Counts packets, and drops those that are too long.");
INKEV_PORTS
{
	inkev_port inside;
	inkev_port outside;
};
INKEV_COUNTERS
{
	inkev_counter passed INKEV_DOC("Packets that passed.");
	inkev_counter too_long INKEV_DOC("Packets that were longer than allowed.");
};
INKEV_CONFIG
{
	__u32 longest INKEV_DOC("Longest frame that passes, in bytes.") INKEV_DEFAULT("1514");
};

INKEV_FUNCTION(limiter, skb)
{
	const struct inkev_config *config = lookup_config();

	if (!config || skb->len > config->longest)
		return drop(skb, COUNTER(too_long));
	count(COUNTER(passed));
	return pass_through(skb, arrived_at(skb));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
