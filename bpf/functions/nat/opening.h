/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What belongs to no session yet: the tables by which sessions begin. */
#pragma once

#include "sessions.h"
#include "gateways.h"

/* What comes to an outside address and belongs to nothing. */
static __always_inline int judge_unmapped(const ip_t *address, int verdict)
{
	const struct nat_config *config = lookup_config();

	return config && !config->pass_unmapped && is_outside_ip(address) ? verdict : PASS;
}

/* Where a packet's outside end is led inside. */
static __always_inline const struct inside_end *lookup_forward(const ip_t *address, port_t port,
							       protocol_t protocol)
{
	const struct inside_end *to = NULL;

	if (port && (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP))
		to = lookup_port_forward(address, port, protocol);
	return to ?: lookup_port_forward(address, 0, 0);
}

/* Begins a session to the outside by the rule for its sender, if there is one. scratch.key has its
 * key. */
__noinline int open_outward(struct __sk_buff *skb)
{
	struct scratch *memory = lookup_scratch();
	const struct source *rule;
	struct outside outside = {};
	struct packet *packet;
	int verdict;

	if (!memory)
		return CORE_MALFORMED;
	packet = &memory->packet;
	if (leads_outward(memory, &packet->source, session_source_port(packet), packet->protocol))
		return LED;
	rule = lookup_source(&packet->source);
	if (!rule)
		return PASS;
	verdict = can_open(packet, NAT_NO_SESSION);
	if (verdict != PASS)
		return verdict;
	memory->rule = *rule;
	outside.endpoint_independent = rule->endpoint_independent;
	outside.hairpins = memory->hairpins;
	if (!(outside.endpoint_independent ? claim_binding(&outside)
					   : claim_port(packet, &memory->key, &outside)))
		return NAT_EXHAUSTED;
	memory->to.address = outside.address;
	memory->to.port = outside.port;
	return open_session(skb, INSIDE, &outside);
}

/* Writes the inside end into scratch.key, of which all else is as in scratch.claim. */
static __always_inline void lead_inside(struct __sk_buff *skb, struct scratch *memory,
					const struct inside_end *to)
{
	memory->key = memory->claim;
	if (memory->packet.family == 4) {
		memory->key.v4.local = to->address.word[3];
		memory->key.v4.local_port = to->port ?: memory->claim.v4.local_port;
		memory->key.v4.workload = session_scope(skb);
	} else {
		memory->key.v6.local = to->address;
		memory->key.v6.local_port = to->port ?: memory->claim.v6.local_port;
		memory->key.v6.workload = session_scope(skb);
	}
}

/* Begins a session to the inside, if something leads there. scratch.claim has its key. */
__noinline int open_inward(struct __sk_buff *skb)
{
	struct scratch *memory = lookup_scratch();
	const struct inside_end *to;
	struct outside outside = {};
	struct packet *packet;
	int verdict;

	if (!memory)
		return CORE_MALFORMED;
	packet = &memory->packet;
	to = lookup_forward(&packet->destination, packet->destination_port, packet->protocol);
	if (leads_inward(memory, &packet->destination, packet->destination_port, to))
		return LED;
	if (!to)
		return judge_unmapped(&packet->destination, packet->fragment == LATER_FRAGMENT
								    ? NAT_FRAGMENT
								    : NAT_NO_MAPPING);
	verdict = can_open(packet, NAT_NO_MAPPING);
	if (verdict != PASS)
		return verdict;
	lead_inside(skb, memory, to);
	outside.hairpins = is_outside_ip(&packet->source);
	outside.address = packet->destination;
	outside.port = session_destination_port(packet);
	memory->to.address = to->address;
	memory->to.port = to->port ?: packet->destination_port;
	if (lookup_living(packet, &memory->key) ||
	    !take_claim(packet->family, &memory->claim, &memory->key))
		return NAT_COLLISION;
	return open_session(skb, OUTSIDE, &outside);
}
