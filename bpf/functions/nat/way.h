/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What becomes of a packet: its session says so, or a fixed address, or the tables by which
 * sessions begin. */
#pragma once

#include "errors.h"
#include "fixed.h"
#include "fragments.h"
#include "opening.h"

/* Whether the end of the packet in scratch that is to be translated has a fixed other name. */
static __always_inline bool is_fixed(struct scratch *memory, __u32 arrived)
{
	const struct packet *packet = &memory->packet;

	memory->to.port = arrived == INSIDE ? packet->source_port : packet->destination_port;
	return lookup_fixed(arrived == INSIDE ? &packet->source : &packet->destination, arrived,
			    &memory->to.address);
}

/* What becomes of the packet in scratch, of the inside's sender or the outside's receiver. */
__noinline int find_end(struct __sk_buff *skb, __u32 arrived)
{
	struct scratch *memory = lookup_scratch();
	struct session *session;
	struct packet *packet;
	int verdict;

	if (!memory)
		return CORE_MALFORMED;
	packet = &memory->packet;
	session = lookup_known(skb, memory, packet, arrived, arrived);
	if (arrived == INSIDE)
		memory->hairpins = session ? session->data.hairpins
					   : is_outside_ip(&packet->destination);
	if (!session && is_fixed(memory, arrived))
		return TRANSLATED;
	if (!session) {
		verdict = arrived == INSIDE ? open_outward(skb) : open_inward(skb);
		if (verdict != LATE)
			return verdict;
		session = lookup_known(skb, memory, packet, arrived, arrived);
	}
	if (!session)
		return arrived == INSIDE ? CORE_NO_ROOM : NAT_COLLISION;
	take_end(memory, session, packet->family, arrived,
		 arrived == INSIDE ? packet->source_port : packet->destination_port);
	return follow_session(skb, session, arrived);
}

/* What later fragments do where the first was led to a gateway. */
#define LEAVES_TO 2

/* Translates a later fragment as the first of its packet was. PASS, BACK, LED, or NAT_FRAGMENT:
 * that is not known. */
__noinline int follow_fragment(struct __sk_buff *skb)
{
	struct scratch *memory = lookup_scratch();
	const struct translation *known;
	struct endpoint source = {}, destination = {};
	__u32 leaves;

	if (!memory)
		return CORE_MALFORMED;
	known = lookup_translation(skb, memory);
	if (!known)
		return NAT_FRAGMENT;
	source.address = known->source;
	destination.address = known->destination;
	leaves = known->leaves;
	if (!rewrite_end(skb, &memory->packet, SOURCE, &source) ||
	    !rewrite_end(skb, &memory->packet, DESTINATION, &destination))
		return CORE_MALFORMED;
	if (leaves >= LEAVES_TO) {
		memory->gateway = leaves - LEAVES_TO;
		return LED;
	}
	return leaves == arrived_at(skb) ? BACK : PASS;
}

static __always_inline int translate_towards(struct __sk_buff *skb, struct scratch *memory,
					     __u32 arrived)
{
	__u32 end = arrived == INSIDE ? SOURCE : DESTINATION;
	int verdict;

	if (is_icmp_error(&memory->packet))
		return translate_error(skb, arrived);
	verdict = find_end(skb, arrived);
	if (verdict != TRANSLATED)
		return verdict;
	return rewrite_end(skb, &memory->packet, end, &memory->to) ? PASS : CORE_MALFORMED;
}

static __always_inline __u32 leaving(const struct scratch *memory, int verdict, __u32 arrived)
{
	if (verdict == LED)
		return LEAVES_TO + memory->gateway;
	return verdict == BACK ? arrived : !arrived;
}

/* Translates the packet in scratch. */
static __always_inline int translate(struct __sk_buff *skb, struct scratch *memory, __u32 arrived)
{
	struct packet *packet = &memory->packet;
	int verdict;

	if (packet->fragment == LATER_FRAGMENT) {
		verdict = follow_fragment(skb);
		if (verdict != NAT_FRAGMENT)
			return verdict;
	}
	memory->hairpins = is_icmp_error(packet) && is_outside_ip(&packet->destination);
	verdict = translate_towards(skb, memory, arrived);
	if (verdict == PASS && arrived == INSIDE && memory->hairpins) {
		verdict = translate_towards(skb, memory, OUTSIDE);
		if (verdict == PASS && !ip_equals(&packet->destination, &memory->destination))
			verdict = BACK;
	}
	if (verdict < 0 && packet->fragment == FIRST_FRAGMENT &&
	    !learn_translation(skb, leaving(memory, verdict, arrived)))
		return CORE_NO_ROOM;
	return verdict;
}
