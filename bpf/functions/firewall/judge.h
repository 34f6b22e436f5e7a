/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What becomes of a packet: its session says so, or the rules do. */
#pragma once

#include "firewall.gen.h"
#include "graph.h"
#include "icmp.h"
#include "packet.h"
#include "session.h"
#include "tcp.h"
#include "fragment.h"
#include "rules.h"

/* What becomes of a packet: one of these, or the counter under which it is dropped. */
enum verdict {
	PASS = -1,
	REJECT = -2,
};

enum multicast_listener_message {
	MLD_QUERY = 130,
	MLD_REPORT = 131,
	MLD_DONE = 132,
	MLDV2_REPORT = 143,
};

enum sctp_chunk {
	SCTP_INIT = 1,
	SCTP_HEARTBEAT = 4,
	SCTP_ABORT = 6,
	SCTP_SHUTDOWN_COMPLETE = 14,
};

/* ICMPv6 by which neighbours, routers and groups are found. Only the inside is told of routers:
 * none may pose as one there. */
static __always_inline bool is_discovery(const struct packet *packet, __u32 port)
{
	if (packet->family != 6 || packet->fragment || !is_icmp(packet))
		return false;
	switch (packet->icmp_type) {
	case ICMPV6_ROUTER_ADVERTISEMENT:
		return packet->ttl == 255 && port == OUTSIDE;
	case ICMPV6_ROUTER_SOLICITATION:
	case ICMPV6_NEIGHBOUR_SOLICITATION:
	case ICMPV6_NEIGHBOUR_ADVERTISEMENT:
		return packet->ttl == 255;
	case MLD_QUERY:
	case MLD_REPORT:
	case MLD_DONE:
	case MLDV2_REPORT:
		return true;
	}
	return false;
}

/* The inside as DHCP client. */
static __always_inline bool is_dhcp(const struct packet *packet, __u32 port)
{
	port_t client = bpf_htons(packet->family == 4 ? BOOTP_CLIENT : DHCPV6_CLIENT);
	port_t server = bpf_htons(packet->family == 4 ? BOOTP_SERVER : DHCPV6_SERVER);

	if (packet->protocol != IPPROTO_UDP)
		return false;
	if (port == INSIDE)
		return packet->source_port == client && packet->destination_port == server;
	return packet->source_port == server && packet->destination_port == client;
}

/* The type of an SCTP packet's first chunk; 0, which is data, if there is none. */
static __always_inline __u8 first_chunk(struct __sk_buff *skb, const struct packet *packet)
{
	__u8 buffer, *type = read_bytes(skb, packet->payload, &buffer, sizeof(buffer));

	return type ? *type : 0;
}

/* What judging keeps in memory: the stack has 512 bytes for all functions together. One for each
 * CPU, as none is left halfway. */
struct scratch {
	struct packet packet;
	struct packet quoted;
	union session_key key; /* of the packet's or the quoted packet's session */
	struct search search;
};

#include "scratch.h"

/*
 * The functions below that are not inline are global: the verifier walks them once and not for
 * every caller.
 */

/* Asks the rules about a session by any of its packets; `opener` is the port behind which the end
 * lies that opened it. */
__noinline int judge(const struct packet *packet, __u32 sender, __u32 opener)
{
	struct scratch *memory = lookup_scratch();
	bool reply = sender != opener;
	struct opening *opening;

	if (!packet || !memory)
		return CORE_MALFORMED;
	opening = &memory->search.opening;
	opening->source = reply ? packet->destination : packet->source;
	opening->destination = reply ? packet->source : packet->destination;
	opening->source_port = reply ? packet->destination_port : packet->source_port;
	opening->destination_port = reply ? packet->source_port : packet->destination_port;
	opening->protocol = packet->protocol;
	opening->ipv6 = packet->family == 6;
	opening->direction = opener == INSIDE ? FIREWALL_RULES_DIRECTION_EGRESS
					      : FIREWALL_RULES_DIRECTION_INGRESS;
	if (is_icmp(packet)) {
		__u32 ping = packet->family == 4 ? ICMP_ECHO_REQUEST : ICMPV6_ECHO_REQUEST;

		opening->source_port = 0;
		opening->destination_port =
			bpf_htons(reply ? ping << 8 : packet->icmp_type << 8 | packet->icmp_code);
	}
	switch (decide(&memory->search, packet->length)) {
	case FIREWALL_RULES_ACTION_ALLOW:
		return PASS;
	case FIREWALL_RULES_ACTION_REJECT:
		return REJECT;
	default:
		return FIREWALL_DENIED;
	}
}

/* Whether a packet can be the first of a session: PASS, or why not. */
static __always_inline int can_open(struct __sk_buff *skb, const struct packet *packet,
				    bool pick_up)
{
	if (packet->protocol == IPPROTO_TCP) {
		if (!are_possible(packet->tcp_flags))
			return FIREWALL_INVALID;
		if ((packet->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
			return PASS;
		return pick_up && !(packet->tcp_flags & TCP_TURNS) ? PASS : FIREWALL_NO_SESSION;
	}
	if (packet->protocol == IPPROTO_SCTP && !pick_up) {
		__u8 chunk = first_chunk(skb, packet);

		return chunk == SCTP_INIT || chunk == SCTP_HEARTBEAT ? PASS : FIREWALL_NO_SESSION;
	}
	return is_icmp(packet) && is_pong(packet) ? FIREWALL_NO_SESSION : PASS;
}

/* judge_by_session() has made the key. */
__noinline int open_session(struct __sk_buff *skb, const struct packet *packet, __u32 sender)
{
	struct session session = {
		.last_seen = bpf_ktime_get_coarse_ns(),
		.tick = read_tick(),
		.state = SESSION_STATE_OPENED,
		.opener = sender,
	};
	const struct scratch *memory = lookup_scratch();

	if (!packet || !memory)
		return CORE_MALFORMED;
	session.generation = decided_by(&memory->search);
	if (packet->protocol == IPPROTO_TCP) {
		struct tcp_segment segment = {};

		if (!parse_segment(skb, packet, &segment))
			return CORE_MALFORMED;
		open_tcp(&session, sender, &segment);
	}
	if (packet->fragment)
		session.flags |= SESSION_UNCHECKED;
	if (!store_session(packet, &memory->key, &session))
		return CORE_NO_ROOM;
	count(FIREWALL_SESSIONS_OPENED);
	return PASS;
}

/* Judges a packet that belongs to no living session. */
__noinline int judge_opening(struct __sk_buff *skb, const struct packet *packet, __u32 sender)
{
	const struct firewall_config *config = lookup_config();
	int verdict;

	if (!config || !packet)
		return CORE_MALFORMED;
	if (config->allow_dhcp && is_dhcp(packet, sender))
		return PASS;
	verdict = can_open(skb, packet, config->pick_up);
	if (verdict == PASS)
		verdict = judge(packet, sender, sender);
	if (verdict == PASS)
		verdict = open_session(skb, packet, sender);
	return verdict;
}

/* Judges a known session by changed rules; `packet` is any of its packets, of which
 * judge_by_session() has made the key. */
__noinline int judge_again(const struct packet *packet, __u32 sender)
{
	const struct scratch *memory = lookup_scratch();
	struct session *session;
	int verdict;

	if (!packet || !memory)
		return CORE_MALFORMED;
	session = lookup_session(packet, &memory->key);
	if (!session)
		return FIREWALL_NO_SESSION;
	verdict = judge(packet, sender, session->opener);
	if (verdict == PASS) {
		session->generation = decided_by(&memory->search);
		return PASS;
	}
	forget_session(packet, &memory->key);
	count(FIREWALL_SESSIONS_ENDED);
	return verdict;
}

/* An ICMP error passes if the packet that it quotes is of a living session, and was sent by the one
 * to whom it goes. */
__noinline int judge_error(struct __sk_buff *skb, const struct packet *error, __u32 port)
{
	const struct firewall_config *config = lookup_config();
	__u32 sender = port == INSIDE ? OUTSIDE : INSIDE;
	struct scratch *memory = lookup_scratch();
	const struct session *session;
	struct packet *quoted;

	if (!config || !error || !memory)
		return CORE_MALFORMED;
	quoted = &memory->quoted;
	if (!parse_quoted(skb, error, quoted))
		return CORE_MALFORMED;
	if (!has_session(quoted) || !ip_equals(&quoted->source, &error->destination))
		return FIREWALL_NO_SESSION;
	make_session_key(skb, quoted, sender, &memory->key);
	session = lookup_session(quoted, &memory->key);
	if (!session || is_forgotten(config, session, quoted->protocol, bpf_ktime_get_coarse_ns()))
		return FIREWALL_NO_SESSION;
	return PASS;
}

static __always_inline enum relation track_sctp(struct __sk_buff *skb, const struct packet *packet,
						struct session *session, __u32 sender)
{
	__u8 chunk = first_chunk(skb, packet);

	if (chunk == SCTP_INIT && session->state == SESSION_STATE_CLOSED)
		return OPENS;
	if (chunk == SCTP_ABORT || chunk == SCTP_SHUTDOWN_COMPLETE)
		session->state = SESSION_STATE_CLOSED;
	return track_talk(session, sender);
}

/* What the packet is to a living session, which learns from it. */
static __always_inline enum relation track(struct __sk_buff *skb, const struct packet *packet,
					   struct session *session, __u32 sender, bool strict)
{
	struct tcp_segment segment = {};

	if (packet->protocol == IPPROTO_SCTP)
		return track_sctp(skb, packet, session, sender);
	if (packet->protocol != IPPROTO_TCP)
		return track_talk(session, sender);
	if (packet->fragment)
		session->flags |= SESSION_UNCHECKED;
	if (!parse_segment(skb, packet, &segment))
		return CONTRADICTS;
	return track_tcp(session, sender, &segment, strict);
}

/* Judges a packet of a kind that has sessions. */
__noinline int judge_by_session(struct __sk_buff *skb, const struct packet *packet, __u32 sender)
{
	const struct firewall_config *config = lookup_config();
	time_t_ns now = bpf_ktime_get_coarse_ns();
	struct scratch *memory = lookup_scratch();
	struct session *session;

	if (!config || !packet || !memory)
		return CORE_MALFORMED;
	make_session_key(skb, packet, sender, &memory->key);
	session = lookup_session(packet, &memory->key);
	if (!session || is_forgotten(config, session, packet->protocol, now))
		return judge_opening(skb, packet, sender);
	switch (track(skb, packet, session, sender, config->tcp_window_check)) {
	case OPENS:
		return judge_opening(skb, packet, sender);
	case CONTRADICTS:
		return FIREWALL_INVALID;
	case BELONGS:
		break;
	}
	touch_session(session, now);
	if (config->rejudge && session->generation != read_generation())
		return judge_again(packet, sender);
	return PASS;
}

/* A first fragment passes: those that come after it shall. False: there is no room to remember it.
 */
__noinline bool admit_fragments(struct __sk_buff *skb, const struct packet *packet)
{
	struct first_fragment first = {};
	struct fragment_key key;

	if (!packet)
		return false;
	key = fragment_key_of(skb, packet);
	return learn_fragment(&key, packet, &first);
}

/* Whether a later fragment follows one that passed. */
__noinline bool follows_fragment(struct __sk_buff *skb, const struct packet *packet)
{
	struct fragment_key key;

	if (!packet)
		return false;
	key = fragment_key_of(skb, packet);
	return lookup_fragment(&key, packet);
}

/* Judges what has no session of its own: frames that are not IP, later fragments, ICMP other than
 * the echo. */
__noinline int judge_apart(struct __sk_buff *skb, const struct packet *packet, __u32 port)
{
	const struct firewall_config *config = lookup_config();

	if (!config || !packet)
		return CORE_MALFORMED;
	if (!packet->family)
		return packet->ethertype == bpf_htons(ETH_P_ARP) && config->allow_discovery
			       ? PASS
			       : FIREWALL_NOT_IP;
	if (packet->fragment == LATER_FRAGMENT)
		return follows_fragment(skb, packet) ? PASS : FIREWALL_FRAGMENT;
	if (is_icmp_error(packet))
		return judge_error(skb, packet, port);
	if (config->allow_discovery && is_discovery(packet, port))
		return PASS;
	return judge(packet, port, port);
}

/* Makes an answer of a refused packet. */
static __always_inline bool rewrite_to_refusal(struct __sk_buff *skb, const struct packet *packet)
{
	if (packet->protocol == IPPROTO_TCP)
		return rewrite_to_tcp_reset(skb, packet);
	return rewrite_to_icmp_error(skb, packet, PROBLEM_PROHIBITED, 0, &packet->destination);
}

/* Judges any packet that arrived at `port`. One that is refused with an answer is that answer when
 * this returns. */
__noinline int judge_packet(struct __sk_buff *skb, __u32 port)
{
	struct scratch *memory = lookup_scratch();
	struct packet *packet;
	int verdict;

	if (!memory)
		return CORE_MALFORMED;
	packet = &memory->packet;
	if (!parse_packet_apart(skb, packet))
		return CORE_MALFORMED;
	verdict = has_session(packet) ? judge_by_session(skb, packet, port)
				      : judge_apart(skb, packet, port);
	if (verdict == PASS && packet->fragment == FIRST_FRAGMENT)
		return admit_fragments(skb, packet) ? PASS : CORE_NO_ROOM;
	if (verdict == REJECT && !rewrite_to_refusal(skb, packet))
		return FIREWALL_DENIED;
	return verdict;
}
