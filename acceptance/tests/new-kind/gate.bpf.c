// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Keeps out what goes to one port. */

#include "gate.gen.h"
#include "graph.h"
#include "packet.h"

INKEV_FUNCTION(gate, skb)
{
	const struct gate_config *config = lookup_config();
	struct packet packet;

	if (!config || !parse_packet(skb, &packet))
		return drop(skb, CORE_MALFORMED);
	if (packet.family && packet.destination_port == config->closed)
		return drop(skb, GATE_SHUT);
	if (arrived_at(skb) == GATE_PORT_INSIDE)
		return forward(skb, GATE_PORT_OUTSIDE);
	return forward(skb, GATE_PORT_INSIDE);
}

char _license[] SEC("license") = "Dual BSD/GPL";
