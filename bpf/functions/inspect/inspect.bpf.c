/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Looks into payloads, and lets what it finds there decide which way a packet goes. */

#include "inspect.gen.h"
#include "graph.h"
#include "flood.h"
#include "judge.h"

INKEV_FUNCTION(inspect, skb)
{
	__u32 port = arrived_at(skb);

	if (port == INSPECT_PORT_MATCHED) {
		int way = way_back(skb);

		return way < 0 ? drop(skb, INSPECT_STRAY) : pass_through(skb, !way);
	}
	switch (judge(skb, port)) {
	case BROKEN:
		return drop(skb, CORE_MALFORMED);
	case INSPECT_RULES_ACTION_DROP:
		return drop(skb, INSPECT_DROPPED);
	case INSPECT_RULES_ACTION_DIVERT:
		count(INSPECT_DIVERTED);
		return forward(skb, INSPECT_PORT_MATCHED);
	case INSPECT_RULES_ACTION_MIRROR:
		count(send_copy(skb, INSPECT_PORT_MATCHED) ? INSPECT_MIRRORED : CORE_UNSTITCHED);
		break;
	}
	return pass_through(skb, port & 1);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
