/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the router says itself: answers to those who ask it, questions for neighbours, and ICMP
 * errors. A program of its own, off the fast path. */
#pragma once

#include "way.h"
#include "advertisement.h"
#include "flood.h"
#include "icmp.h"

/*
 * Packets to a neighbour that has been asked make rounds until it answers: together so many, after
 * each question.
 */
#define HOLD_ROUNDS 256
/* From this time on their senders are told when it does not (RFC 4861: after three questions). */
#define GIVE_UP_NS 3000000000ULL
/* When nobody has wanted to reach it for so long, all begins anew. */
#define FORGET_NS 10000000000ULL

/* How far what the router sends itself may run ahead of control_rate. */
#define BURST_NS 100000000ULL

/* The two things that are held to control_rate, each by itself. */
enum limit {
	LIMIT_ERRORS,
	LIMIT_REQUESTS,
	LIMITS,
};

/* Until when the rate is used up (generic cell rate algorithm). */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LIMITS);
	__type(key, __u32);
	__type(value, time_t_ns);
} limits SEC(".maps");

int router_control(struct __sk_buff *skb);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__array(values, int(void *));
} control SEC(".maps") = {.values = {[0] = (void *)&router_control}};

/*
 * Of what follows, functions that are not static are walked by the verifier once, and not anew for
 * every way that leads to them: loading takes half the time.
 */
__noinline bool read_packet(struct __sk_buff *skb, struct packet *packet)
{
	return packet && parse_packet(skb, packet);
}

/* Leaves the packet to router_control() if there is something to say about it; else this is its
 * end. */
static __always_inline int punt(struct __sk_buff *skb, int verdict, __u32 detail)
{
	switch (verdict) {
	case OWN:
	case -ROUTER_UNRESOLVED:
	case -ROUTER_TTL_EXCEEDED:
	case -ROUTER_NO_ROUTE:
	case -ROUTER_UNREACHABLE:
	case -ROUTER_PROHIBITED:
	case -CORE_TOO_BIG:
		skb->cb[4] = verdict << 16 | detail;
		bpf_tail_call(skb, &control, 0);
		return drop(skb, CORE_LOOP);
	}
	return drop(skb, -verdict);
}

static __always_inline int punted_verdict(const struct __sk_buff *skb)
{
	return (__s32)skb->cb[4] >> 16;
}

/* The MTU of CORE_TOO_BIG, the flow's hash of ROUTER_UNRESOLVED. */
static __always_inline __u32 punted_detail(const struct __sk_buff *skb)
{
	return skb->cb[4] & 0xffff;
}

/* Whether control_rate allows one more; if not, it is counted. */
static __always_inline bool within_limit(enum limit limit)
{
	const struct router_config *config = lookup_config();
	__u32 key = limit;
	time_t_ns now = bpf_ktime_get_ns(), *used = bpf_map_lookup_elem(&limits, &key);

	if (!used || !config)
		return false;
	if (*used > now + BURST_NS) {
		count(ROUTER_LIMITED);
		return false;
	}
	*used = (*used > now ? *used : now) + 1000000000 / config->control_rate;
	return true;
}

/* A neighbour of this link: in its subnet and not the router itself, or link-local. */
static __always_inline bool is_on_link(const ip_t *address, __u32 port)
{
	const struct route *route;

	if (!ip_is_ipv4(address) && ip_is_link_local(address))
		return true;
	route = lookup_route(address);
	return route && route->kind == ROUTE_KIND_CONNECTED && route->next_hop.port == port;
}

static __always_inline struct neighbour_key neighbour_key_of(const ip_t *address, __u32 port)
{
	struct neighbour_key key = {.address = *address};

	if (!ip_is_ipv4(address) && ip_is_link_local(address))
		key.scope = port + 1;
	return key;
}

/* Whether this router, on this host, has asked for the neighbour and not been answered. */
static __always_inline bool is_asked(const struct neighbour_key *key)
{
	const struct learned_neighbour *known = bpf_map_lookup_elem(&learned, key);

	return bpf_map_lookup_elem(&pending, key) ||
	       (known && bpf_ktime_get_coarse_ns() - known->asked < ASK_INTERVAL_NS);
}

/* Believes a neighbour that speaks to us or was asked. One who speaks to all can only change what
 * is known already. */
static __always_inline void learn(const struct neighbour_key *key, const mac_t *mac, __u32 port,
				  bool believed)
{
	if (!mac_is_multicast(mac) && is_on_link(&key->address, port) &&
	    (believed || bpf_map_lookup_elem(&learned, key)))
		learn_neighbour(key, mac, port);
}

static __always_inline bool is_broadcast_frame(struct __sk_buff *skb)
{
	__u8 first = 0;

	bpf_skb_load_bytes(skb, 0, &first, sizeof(first));
	return first & 1;
}

/*
 * The gateway is the same on every host: what a neighbour answers to one host's question reaches
 * the gateway of its own. That one has not asked, and tells all.
 */
static __always_inline int relay(struct __sk_buff *skb, const struct router_interface *in, mac_t to)
{
	if (!rewrite_macs(skb, &to, &in->mac))
		return -CORE_MALFORMED;
	count(ROUTER_RELAYED);
	return 0;
}

static __always_inline int answer(bool rewritten)
{
	if (!rewritten)
		return -CORE_NO_ROOM;
	count(ROUTER_ANSWERED);
	return 0;
}

static __always_inline int serve_arp(struct __sk_buff *skb, const struct router_interface *in)
{
	struct neighbour_key sender;
	struct arp_packet arp;
	bool to_us, relayed;
	ip_t address;

	if (!in->has_ipv4)
		return -ROUTER_UNSUPPORTED;
	if (!parse_arp(skb, &arp))
		return -CORE_MALFORMED;
	to_us = arp.target_ip == in->ipv4;
	address = ip_of_ipv4(arp.sender_ip);
	sender = neighbour_key_of(&address, arrived_at(skb));
	relayed = to_us && arp.operation == bpf_htons(ARP_REPLY) &&
		  !mac_is_multicast(&arp.destination) && !is_asked(&sender);
	if (arp.sender_ip)
		learn(&sender, &arp.sender_mac, arrived_at(skb), to_us);
	if (to_us && arp.operation == bpf_htons(ARP_REQUEST))
		return answer(rewrite_to_arp_reply(skb, &arp, &in->mac));
	return relayed ? relay(skb, in, BROADCAST_MAC) : -ROUTER_HEARD;
}

/* The MAC that a message of neighbour discovery gives in its first option. */
static __always_inline bool parse_option(struct __sk_buff *skb, const struct packet *packet,
					 __u8 type, mac_t *mac)
{
	struct {
		__u8 type;
		__u8 length;
		mac_t mac;
	} option;

	if (bpf_skb_load_bytes(skb, packet->payload + sizeof(ip_t), &option, sizeof(option)) ||
	    option.type != type || option.length != 1)
		return false;
	*mac = option.mac;
	return true;
}

static __always_inline int serve_solicitation(struct __sk_buff *skb,
					      const struct router_interface *in,
					      const struct packet *packet)
{
	struct neighbour_key sender = neighbour_key_of(&packet->source, arrived_at(skb));
	ip_t target;
	mac_t mac;

	if (!parse_nd(skb, packet, ICMPV6_NEIGHBOUR_SOLICITATION, &target))
		return -CORE_MALFORMED;
	if (!ip_equals(&target, &in->ipv6) && !ip_equals(&target, &in->link_local))
		return -ROUTER_HEARD;
	if (!ip_is_unspecified(&packet->source) &&
	    parse_option(skb, packet, ND_SOURCE_LINK_ADDRESS, &mac))
		learn(&sender, &mac, arrived_at(skb), true);
	return answer(rewrite_to_nd_reply(skb, packet, &target, &in->mac, ND_ROUTER | ND_OVERRIDE));
}

static __always_inline int serve_advertisement(struct __sk_buff *skb,
					       const struct router_interface *in,
					       const struct packet *packet)
{
	ip_t target, all = ALL_NODES;
	struct neighbour_key sender;
	bool asked;
	mac_t mac;

	if (!parse_nd(skb, packet, ICMPV6_NEIGHBOUR_ADVERTISEMENT, &target))
		return -CORE_MALFORMED;
	sender = neighbour_key_of(&target, arrived_at(skb));
	asked = is_asked(&sender);
	if (parse_option(skb, packet, ND_TARGET_LINK_ADDRESS, &mac))
		learn(&sender, &mac, arrived_at(skb), asked);
	return asked || is_broadcast_frame(skb) ? -ROUTER_HEARD
						: relay(skb, in, multicast_mac(&all));
}

static __always_inline bool solicits_router(const struct packet *packet,
					    const struct router_interface *in)
{
	return in->has_ipv6 && in->advertise && is_router_solicitation(packet);
}

__noinline int advertise(struct __sk_buff *skb, const struct router_interface *in,
			 const struct packet *packet)
{
	if (!in || !packet)
		return -CORE_MALFORMED;
	return answer(rewrite_to_router_advertisement(skb, packet, in));
}

/* Answers, in place of the packet, what is meant for the router itself, or for every station of the
 * link. */
__noinline int serve(struct __sk_buff *skb, const struct router_interface *in,
		     const struct packet *packet)
{
	if (!in || !packet)
		return -CORE_MALFORMED;
	if (packet->ethertype == bpf_htons(ETH_P_ARP))
		return serve_arp(skb, in);
	if (packet->protocol == IPPROTO_ICMPV6 && packet->family == 6 && in->has_ipv6) {
		if (packet->icmp_type == ICMPV6_NEIGHBOUR_SOLICITATION)
			return serve_solicitation(skb, in, packet);
		if (packet->icmp_type == ICMPV6_NEIGHBOUR_ADVERTISEMENT)
			return serve_advertisement(skb, in, packet);
	}
	if (is_broadcast_frame(skb))
		return -ROUTER_MULTICAST;
	if (is_echo_request(packet))
		return answer(rewrite_to_echo_reply(skb, packet));
	return -ROUTER_NOT_SERVED;
}

/* The ICMP error that tells a sender why its packet was lost. */
static __always_inline enum problem problem_of(__u32 reason)
{
	switch (reason) {
	case ROUTER_TTL_EXCEEDED:
		return PROBLEM_TIME_EXCEEDED;
	case CORE_TOO_BIG:
		return PROBLEM_TOO_BIG;
	case ROUTER_PROHIBITED:
		return PROBLEM_PROHIBITED;
	case ROUTER_UNREACHABLE:
	case ROUTER_UNRESOLVED:
		return PROBLEM_NO_HOST;
	case ROUTER_NOT_SERVED:
		return PROBLEM_NO_PORT;
	default:
		return PROBLEM_NO_ROUTE;
	}
}

/* Whether the sender is told; else the packet is dropped in silence. */
static __always_inline bool is_told(const struct packet *packet, __u32 reason)
{
	if (reason == ROUTER_NOT_SERVED)
		return packet->protocol == IPPROTO_TCP || packet->protocol == IPPROTO_UDP;
	return reason != ROUTER_HEARD && reason != ROUTER_MULTICAST &&
	       reason != ROUTER_UNSUPPORTED && reason != CORE_MALFORMED && reason != CORE_NO_ROOM;
}

/*
 * The packet is lost for `reason`. Turns it into the error that tells its sender; false where none
 * may be sent.
 */
__noinline bool refuse(struct __sk_buff *skb, const struct router_interface *in,
		       const struct packet *packet, __u32 reason)
{
	__u32 mtu = reason == CORE_TOO_BIG ? punted_detail(skb) : 0;
	ip_t from;

	if (!in || !packet)
		return false;
	from = packet->family == 4 ? ip_of_ipv4(in->ipv4) : in->ipv6;
	if (!is_told(packet, reason) || !draws_errors(packet) || !within_limit(LIMIT_ERRORS) ||
	    !rewrite_to_icmp_error(skb, packet, problem_of(reason), mtu, &from))
		return false;
	count(reason);
	count(ROUTER_ERRORS);
	return true;
}

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
		return STEP_ASK;
	}
	known = bpf_map_lookup_elem(&pending, &way->neighbour);
	if (!known) {
		fresh.since = fresh.asked = now;
		bpf_map_update_elem(&pending, &way->neighbour, &fresh, BPF_ANY);
		return STEP_ASK;
	}
	if (now - known->asked >= ASK_INTERVAL_NS) {
		if (now - known->asked >= FORGET_NS)
			known->since = now;
		known->asked = now;
		known->rounds = 0;
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

	if (!out || !self || !within_limit(LIMIT_REQUESTS))
		return drop(skb, ROUTER_UNRESOLVED);
	copy_to_device(skb, self->replica, mark_of_return(skb));
	if (!rewrite_to_question(skb, out, &way->neighbour))
		return drop(skb, CORE_NO_ROOM);
	count(ROUTER_REQUESTS);
	copy_to(skb, self, read_stitch(instance << PORT_BITS | way->port));
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
