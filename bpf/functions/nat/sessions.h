/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sessions: how one begins, is found from either side, and learns from its packets. */
#pragma once

#include "claims.h"

/* What becomes of a packet: one of these, or the counter under which it is dropped. */
enum verdict {
	PASS = -1,
	BACK = -2,	 /* it leaves by the port by which it came */
	LED = -3,	 /* it goes to scratch.gateway */
	LATE = -4,	 /* another CPU has just begun its session: it is a packet of that */
	TRANSLATED = -5, /* one of its ends becomes scratch.to */
};

/*
 * The functions below that are not inline are global: the verifier walks them once and not for
 * every caller. The packet is in scratch, and says afterwards what it has become.
 */

/* Whether a packet has what sessions go by: ports, or an echo's identifier. */
static __always_inline bool is_tracked(const struct packet *packet)
{
	return has_session(packet) && (packet->protocol == IPPROTO_TCP ||
				       packet->protocol == IPPROTO_UDP || is_icmp(packet));
}

/* PASS if a packet can be the first of a session, else `refusal` or why not. */
static __always_inline int can_open(const struct packet *packet, int refusal)
{
	if (packet->fragment == LATER_FRAGMENT)
		return NAT_FRAGMENT;
	if (!is_tracked(packet))
		return NAT_UNSUPPORTED;
	if (is_icmp(packet))
		return is_ping(packet) ? PASS : refusal;
	if (!packet->source_port || !packet->destination_port)
		return NAT_INVALID;
	if (packet->protocol != IPPROTO_TCP)
		return PASS;
	if (!are_possible(packet->tcp_flags))
		return NAT_INVALID;
	return (packet->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN ? PASS : refusal;
}

/* The fields that sessions of all protocols begin with. */
static __always_inline void begin_session(struct session *session, const struct packet *packet,
					  __u32 sender, const struct outside *outside)
{
	__builtin_memset(session, 0, sizeof(*session));
	session->last_seen = bpf_ktime_get_coarse_ns();
	session->tick = read_tick();
	session->opener = sender;
	session->state = SESSION_STATE_OPENED;
	session->flags = packet->fragment ? SESSION_UNCHECKED : 0;
	session->data = *outside;
}

/* Begins the session scratch.key by the packet; its outside end is claimed. TRANSLATED, LATE, or
 * why not. */
__noinline int open_session(struct __sk_buff *skb, __u32 sender, const struct outside *outside)
{
	const struct nat_config *config = lookup_config();
	struct scratch *memory = lookup_scratch();
	struct tcp_segment segment = {};
	struct session session;

	if (!config || !memory || !outside)
		return CORE_MALFORMED;
	begin_session(&session, &memory->packet, sender, outside);
	if (memory->packet.protocol == IPPROTO_TCP) {
		if (!parse_segment(skb, &memory->packet, &segment))
			return CORE_MALFORMED;
		open_tcp(&session, sender, &segment);
	}
	if (!add_session(config, &memory->packet, &memory->key, &session))
		return LATE;
	count(NAT_SESSIONS_OPENED);
	return TRANSLATED;
}

/* The key under which all sessions of a local end share their outside end. */
static __always_inline void make_binding_key(__u32 family, const union session_key *key,
					     union session_key *binding)
{
	*binding = *key;
	if (family == 4) {
		binding->v4.remote = 0;
		binding->v4.remote_port = 0;
	} else {
		__builtin_memset(&binding->v6.remote, 0, sizeof(ipv6_t));
		binding->v6.remote_port = 0;
	}
}

/*
 * Claims the outside end that is the same to everybody: that of the living binding, or a free one,
 * which becomes it unless another CPU's does. A binding is kept as a session with no remote end.
 */
__noinline bool claim_binding(struct outside *outside)
{
	const struct nat_config *config = lookup_config();
	time_t_ns now = bpf_ktime_get_coarse_ns();
	struct scratch *memory = lookup_scratch();
	union session_key binding;
	struct session *bound, fresh;

	if (!config || !memory || !outside)
		return false;
	make_binding_key(memory->packet.family, &memory->key, &binding);
	bound = lookup_session(&memory->packet, &binding);
	if (!bound || is_forgotten(config, bound, memory->packet.protocol, now)) {
		if (!claim_port(&memory->packet, &binding, outside))
			return false;
		begin_session(&fresh, &memory->packet, INSIDE, outside);
		fresh.state = SESSION_STATE_ESTABLISHED;
		add_session(config, &memory->packet, &binding, &fresh);
		bound = lookup_session(&memory->packet, &binding);
		if (!bound)
			return false;
	}
	outside->address = bound->data.address;
	outside->port = bound->data.port;
	touch_session(bound, now);
	make_claim_key(memory->packet.family, &memory->key, outside, &memory->claim);
	return take_claim(memory->packet.family, &memory->claim, &memory->key);
}

/* A session is heard of: so are its claim, and the binding that it shares. False: the claim has
 * gone to another. */
__noinline bool refresh_session(struct session *session)
{
	time_t_ns now = bpf_ktime_get_coarse_ns();
	struct scratch *memory = lookup_scratch();
	union session_key binding;
	struct session *bound;

	if (!memory || !session)
		return false;
	touch_session(session, now);
	make_claim_key(memory->packet.family, &memory->key, &session->data, &memory->claim);
	if (!take_claim(memory->packet.family, &memory->claim, &memory->key)) {
		forget_session(&memory->packet, &memory->key);
		return false;
	}
	if (session->data.endpoint_independent) {
		make_binding_key(memory->packet.family, &memory->key, &binding);
		bound = lookup_session(&memory->packet, &binding);
		if (bound)
			touch_session(bound, now);
	}
	return true;
}

/* A connection that is closed begins anew between the same ends. */
static __always_inline void reopen_session(struct session *session, const struct packet *packet,
					   __u32 sender, const struct tcp_segment *segment)
{
	struct outside outside = session->data;

	begin_session(session, packet, sender, &outside);
	open_tcp(session, sender, segment);
}

/* The packet is of the living session scratch.key, which learns from it: TRANSLATED, or why not. */
__noinline int follow_session(struct __sk_buff *skb, struct session *session, __u32 sender)
{
	struct scratch *memory = lookup_scratch();
	struct tcp_segment segment = {};
	enum relation relation;

	if (!memory || !session)
		return CORE_MALFORMED;
	if (memory->packet.protocol == IPPROTO_TCP) {
		if (memory->packet.fragment)
			session->flags |= SESSION_UNCHECKED;
		if (!parse_segment(skb, &memory->packet, &segment))
			return NAT_INVALID;
		relation = track_tcp(session, sender, &segment, true);
		if (relation == CONTRADICTS)
			return NAT_INVALID;
		if (relation == OPENS) {
			if (sender == OUTSIDE && session->opener == INSIDE)
				return NAT_NO_MAPPING;
			reopen_session(session, &memory->packet, sender, &segment);
		}
	} else {
		track_talk(session, sender);
	}
	if (session->tick != read_tick() && !refresh_session(session))
		return NAT_NO_SESSION;
	return TRANSLATED;
}

static __always_inline struct session *lookup_living(const struct packet *packet,
						     const union session_key *key)
{
	const struct nat_config *config = lookup_config();
	struct session *session = lookup_session(packet, key);

	if (!config || !session ||
	    is_forgotten(config, session, packet->protocol, bpf_ktime_get_coarse_ns()))
		return NULL;
	return session;
}

static __always_inline void drop_workload(__u32 family, union session_key *claim)
{
	if (family == 4)
		claim->v4.workload = 0;
	else
		claim->v6.workload = 0;
}

/* The session that has claimed scratch.claim, and lives; its key is put into scratch. */
static __always_inline struct session *
lookup_claimed(struct __sk_buff *skb, const struct packet *packet, struct scratch *memory)
{
	struct session *session;
	__u16 workload;

	if (!lookup_claim(packet->family, &memory->claim, &memory->key))
		return NULL;
	workload = packet->family == 4 ? memory->key.v4.workload : memory->key.v6.workload;
	if (workload != session_scope(skb))
		return NULL;
	session = lookup_living(packet, &memory->key);
	return session && is_known_as(packet->family, session, &memory->claim) ? session : NULL;
}

/*
 * The living session of a packet by `sender`, whose ends are named as the side has them from which
 * it `arrived`. Puts its key into scratch, and that of its claim where it arrived OUTSIDE.
 */
static __always_inline struct session *lookup_known(struct __sk_buff *skb, struct scratch *memory,
						    const struct packet *packet, __u32 sender,
						    __u32 arrived)
{
	if (!is_tracked(packet))
		return NULL;
	if (arrived == INSIDE) {
		make_session_key(skb, packet, sender, &memory->key);
		return lookup_living(packet, &memory->key);
	}
	make_session_key(skb, packet, sender, &memory->claim);
	drop_workload(packet->family, &memory->claim);
	return lookup_claimed(skb, packet, memory);
}

/* Puts into scratch what the session's end on the side from which a packet `arrived` is on the
 * other; `port` is what stands in the packet. */
static __always_inline void take_end(struct scratch *memory, const struct session *session,
				     __u32 family, __u32 arrived, port_t port)
{
	memory->to.port = port;
	if (arrived == INSIDE) {
		memory->to.address = session->data.address;
		if (session->data.port)
			memory->to.port = session->data.port;
	} else if (family == 4) {
		memory->to.address = ip_of_ipv4(memory->key.v4.local);
		if (session->data.port)
			memory->to.port = memory->key.v4.local_port;
	} else {
		memory->to.address = memory->key.v6.local;
		if (session->data.port)
			memory->to.port = memory->key.v6.local_port;
	}
}
