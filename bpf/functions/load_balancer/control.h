/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is neither TCP nor UDP: ICMP errors about sessions, questions for virtual addresses, later
 * fragments. */
#pragma once

#include "icmp.h"
#include "nd.h"
#include "fragments.h"
#include "sessions.h"

/* An ICMP error that belongs to no session. */
static __always_inline int disown_error(const struct packet *error, __u32 port)
{
	return lookup_virtual(&error->destination) ? LOAD_BALANCER_NO_SESSION : let_pass(port);
}

/* The error is about what the client has sent: it learns of it as if the virtual address served. */
static __always_inline int bring_to_client(struct __sk_buff *skb, struct packet *error,
					   struct packet *quoted, const struct translation *virtual,
					   __u32 port)
{
	bool from_backend = ip_equals(&error->source, &quoted->destination);
	struct endpoint to = end_of_translation(virtual);

	if (!rewrite_quoted_end(skb, error, quoted, DESTINATION, &to) ||
	    (from_backend && !rewrite_error_end(skb, error, SOURCE, &to)))
		return CORE_NO_ROOM;
	return neutralize_pending_checksum(skb) ? let_pass(port) : CORE_NO_ROOM;
}

/* The error is about what the backend has sent. */
static __always_inline int bring_to_backend(struct __sk_buff *skb, struct packet *error,
					    struct packet *quoted,
					    const struct translation *backend, __u32 port)
{
	struct endpoint to = end_of_translation(backend);

	if (backend->role == ROLE_TO_BACKEND && !rewrite_error(skb, error, quoted, SOURCE, &to))
		return CORE_NO_ROOM;
	return leave_to_backend(skb, backend, port);
}

/* Whoever sent the quoted packet lies behind the other port than the one who tells of it. */
__noinline int bring_error(struct __sk_buff *skb, struct packet *error, __u32 port)
{
	const struct load_balancer_config *config = lookup_config();
	struct scratch *memory = lookup_scratch();
	const struct session *session;
	struct packet *quoted;

	if (!config || !memory || !error)
		return CORE_MALFORMED;
	quoted = &memory->quoted;
	if (!parse_quoted(skb, error, quoted))
		return CORE_MALFORMED;
	if (!is_balanced(quoted) || !ip_equals(&quoted->source, &error->destination))
		return disown_error(error, port);
	make_session_key(skb, quoted, port ^ 1, &memory->key);
	session = lookup_session(quoted, &memory->key);
	if (!session ||
	    is_forgotten(config, session, quoted->protocol, bpf_ktime_get_coarse_ns()) ||
	    is_to_backend(&session->data) != (session->opener == port))
		return disown_error(error, port);
	count(LOAD_BALANCER_ERRORS_TRANSLATED);
	if (is_to_backend(&session->data))
		return bring_to_backend(skb, error, quoted, &session->data, port);
	return bring_to_client(skb, error, quoted, &session->data, port);
}

/* An ARP request for a virtual address. */
static __noinline bool answer_arp(struct __sk_buff *skb)
{
	const struct virtual_address *virtual;
	struct arp_packet arp;
	ip_t target;

	if (!parse_arp(skb, &arp) || arp.operation != bpf_htons(ARP_REQUEST) ||
	    arp.sender_ip == arp.target_ip)
		return false;
	target = ip_of_ipv4(arp.target_ip);
	virtual = lookup_virtual(&target);
	return virtual && virtual->on_link && rewrite_to_arp_reply(skb, &arp, &virtual->mac);
}

static __always_inline bool answer_solicitation(struct __sk_buff *skb, const struct packet *packet)
{
	const struct virtual_address *virtual;
	ip_t target;

	if (!parse_nd(skb, packet, ICMPV6_NEIGHBOUR_SOLICITATION, &target))
		return false;
	virtual = lookup_virtual(&target);
	return virtual && virtual->on_link &&
	       rewrite_to_nd_reply(skb, &packet->source, &target, &virtual->mac, ND_OVERRIDE);
}

static __always_inline bool answer_ping(struct __sk_buff *skb, const struct packet *packet)
{
	return is_echo_request(packet) && lookup_virtual(&packet->destination) &&
	       rewrite_to_echo_reply(skb, packet);
}

static __always_inline bool answer(struct __sk_buff *skb, const struct packet *packet)
{
	if (packet->ethertype == bpf_htons(ETH_P_ARP))
		return answer_arp(skb);
	return packet->family && (answer_solicitation(skb, packet) || answer_ping(skb, packet));
}

/* What becomes of a packet that is not balanced by itself. */
__noinline int control(struct __sk_buff *skb, struct packet *packet, __u32 port)
{
	if (!packet)
		return CORE_MALFORMED;
	if (packet->fragment == LATER_FRAGMENT)
		return follow_fragment(skb, packet, port);
	if (is_icmp_error(packet))
		return bring_error(skb, packet, port);
	if (answer(skb, packet)) {
		count(LOAD_BALANCER_ANSWERED);
		return leave_by(port);
	}
	if (!packet->family || !lookup_virtual(&packet->destination))
		return let_pass(port);
	return LOAD_BALANCER_NO_SERVICE;
}

/* Answers what cannot be served for `reason`, in the name of the virtual address. */
__noinline int refuse(struct __sk_buff *skb, const struct packet *packet, __u32 port, __u32 reason)
{
	bool answered;

	if (!packet)
		return CORE_MALFORMED;
	if (packet->protocol == IPPROTO_TCP)
		answered = rewrite_to_tcp_reset(skb, packet);
	else
		answered = rewrite_to_icmp_error(skb, packet, PROBLEM_NO_PORT, 0,
						 &packet->destination);
	if (!answered)
		return reason;
	count(reason);
	return leave_by(port);
}
