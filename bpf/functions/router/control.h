/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Off the fast path: what is punted to the control program, what it may send of its own accord, and
 * the errors by which it tells senders why their packets are lost.
 */
#pragma once

#include "icmp.h"
#include "way.h"

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
 * The functions of router_control() that are not static are walked by the verifier once, and not
 * anew for every way that leads to them.
 */

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
