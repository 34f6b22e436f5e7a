/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Questions for neighbours whose MAC is not known, while the packets to them are held. */
#pragma once

#include "control.h"
#include "flood.h"
#include "ask.h"

/*
 * Packets to a neighbour that has been asked make rounds until it answers: together so many, after
 * each question.
 */
#define HOLD_ROUNDS 256
/* From this time on their senders are told when it does not (RFC 4861: after three questions). */
#define GIVE_UP_NS 3000000000ULL
/* When nobody has wanted to reach it for so long, all begins anew. */
#define FORGET_NS 10000000000ULL

/* Finds again the next hop that the fast path found. */
static __always_inline bool find_next_hop(const struct __sk_buff *skb, const struct packet *packet,
					  struct way *way)
{
	const struct route *route = lookup_route(&packet->destination);

	return route && !follow_route(route, &packet->destination, punted_detail(skb), way);
}

/* What to do with a packet to a neighbour whose MAC is not known, or not for sure. */
enum step {
	STEP_ASK,
	STEP_HOLD,
	STEP_LOSE,
	STEP_TELL, /* its sender that the neighbour cannot be reached */
};

static __always_inline enum step next_step(const struct way *way)
{
	struct learned_neighbour *silent = lookup_learned(&way->neighbour, way->port);
	struct pending_neighbour *known, fresh = {};
	time_t_ns now = bpf_ktime_get_ns();

	if (silent) {
		silent->asked = bpf_ktime_get_coarse_ns();
		return within_limit(LIMIT_REQUESTS) ? STEP_ASK : STEP_HOLD;
	}
	known = bpf_map_lookup_elem(&pending, &way->neighbour);
	if (!known || now - known->asked >= ASK_INTERVAL_NS) {
		if (!within_limit(LIMIT_REQUESTS))
			return STEP_LOSE;
		fresh.asked = now;
		fresh.since = known && now - known->asked < FORGET_NS ? known->since : now;
		bpf_map_update_elem(&pending, &way->neighbour, &fresh, BPF_ANY);
		return STEP_ASK;
	}
	if (known->rounds++ < HOLD_ROUNDS)
		return STEP_HOLD;
	return now - known->since < GIVE_UP_NS ? STEP_LOSE : STEP_TELL;
}

static __always_inline bool rewrite_to_question(struct __sk_buff *skb,
						const struct router_interface *out,
						const struct neighbour_key *neighbour)
{
	const ip_t *target = &neighbour->address;

	if (ip_is_ipv4(target))
		return rewrite_to_arp_request(skb, &out->mac, out->ipv4, target->word[3]);
	return rewrite_to_nd_request(skb, &out->mac, &out->link_local, target);
}

/*
 * What brings a packet back to this function, at the port where it arrived: out by the replica
 * device and in again, behind all that waits there. It is no hop.
 */
static __always_inline __u32 mark_of_return(struct __sk_buff *skb)
{
	union attachment here = {
		.target = here_instance(skb),
		.port = arrived_at(skb),
		.kind = ATTACHED_FUNCTION,
	};

	skb->cb[1] -= 1 << 8;
	return mark_of_function(skb, here);
}

/* The packet makes rounds until the answer is there. */
static __always_inline int hold(struct __sk_buff *skb)
{
	const struct host *self = lookup_host();

	if (!self)
		return drop(skb, ROUTER_UNRESOLVED);
	skb->mark = mark_of_return(skb);
	return bpf_redirect(self->replica, 0);
}

/* Asks for the next hop's MAC; a copy of the packet is held meanwhile. */
static __always_inline int ask(struct __sk_buff *skb, const struct way *way)
{
	const struct router_interface *out = lookup_interface(way->port);
	const struct host *self = lookup_host();

	if (!out || !self)
		return drop(skb, ROUTER_UNRESOLVED);
	copy_to_device(skb, self->replica, mark_of_return(skb));
	if (!rewrite_to_question(skb, out, &way->neighbour))
		return drop(skb, CORE_NO_ROOM);
	count(ROUTER_REQUESTS);
	copy_to(skb, self, read_stitch(own_slot(way->port)));
	return consume(skb);
}

/*
 * Looks for the next hop's MAC on behalf of the packet. Returns how the program ends; negative: the
 * sender is to be told that there is none.
 */
__noinline int resolve(struct __sk_buff *skb, const struct packet *packet)
{
	struct way way;

	if (!packet || !find_next_hop(skb, packet, &way))
		return drop(skb, ROUTER_UNRESOLVED);
	switch (next_step(&way)) {
	case STEP_ASK:
		return ask(skb, &way);
	case STEP_HOLD:
		return hold(skb);
	case STEP_LOSE:
		return drop(skb, ROUTER_UNRESOLVED);
	default:
		return -ROUTER_UNRESOLVED;
	}
}
