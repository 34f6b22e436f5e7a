/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ICMP errors, and the packets that they quote. */
#pragma once

#include "fixed.h"
#include "opening.h"

/* Whether another gateway has the session of the packet that an error quotes. */
static __always_inline bool leads_error(struct scratch *memory, __u32 arrived)
{
	const struct packet *quoted = &memory->quoted;

	if (arrived == INSIDE)
		return leads_outward(memory, &quoted->destination, quoted->destination_port,
				     quoted->protocol);
	return leads_inward(memory, &quoted->source, quoted->source_port,
			    lookup_forward(&quoted->source, quoted->source_port, quoted->protocol));
}

/* Whether the end of the quoted packet that is to be translated has another name, by its session or
 * a fixed one. */
static __always_inline bool knows_quoted(struct __sk_buff *skb, struct scratch *memory,
					 __u32 arrived)
{
	const struct packet *quoted = &memory->quoted;
	port_t port = arrived == INSIDE ? quoted->destination_port : quoted->source_port;
	const struct session *session = lookup_known(skb, memory, quoted, !arrived, arrived);

	if (session) {
		take_end(memory, session, quoted->family, arrived, port);
		return true;
	}
	memory->to.port = port;
	return lookup_fixed(arrived == INSIDE ? &quoted->destination : &quoted->source, arrived,
			    &memory->to.address);
}

/* An ICMP error is of the session of the packet that it quotes, whose sender it goes to. */
__noinline int translate_error(struct __sk_buff *skb, __u32 arrived)
{
	struct scratch *memory = lookup_scratch();
	__u32 end = arrived == INSIDE ? DESTINATION : SOURCE;
	struct packet *error, *quoted;

	if (!memory)
		return CORE_MALFORMED;
	error = &memory->packet;
	quoted = &memory->quoted;
	if (!parse_quoted(skb, error, quoted))
		return CORE_MALFORMED;
	if (ip_equals(&quoted->source, &error->destination)) {
		if (knows_quoted(skb, memory, arrived))
			return rewrite_error(skb, error, quoted, end, &memory->to) ? PASS
										   : CORE_MALFORMED;
		if (leads_error(memory, arrived))
			return LED;
	}
	if (arrived == INSIDE)
		return lookup_source(&error->source) ? NAT_NO_SESSION : PASS;
	return judge_unmapped(&error->destination, NAT_NO_MAPPING);
}
