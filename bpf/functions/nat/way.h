/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What becomes of a packet: its session says so, or a fixed address, or the tables by which
 * sessions begin. */
#pragma once

#include "claims.h"
#include "fixed.h"
#include "fragments.h"
#include "gateways.h"

/* What becomes of a packet: one of these, or the counter under which it is dropped. */
enum verdict {
	PASS = -1,
	BACK = -2, /* it leaves by the port by which it came */
	LED = -3,  /* it goes to scratch.gateway */
	LATE = -4, /* another CPU has just begun its session: it is a packet of that */
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

/* Begins the session scratch.key by the packet; its outside end is claimed. PASS, LATE, or why not.
 */
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
	return PASS;
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

/* The packet is of the living session scratch.key, which learns from it: PASS, or why not. */
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
	return PASS;
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

static __always_inline void drop_workload(__u32 family, union session_key *claim)
{
	if (family == 4)
		claim->v4.workload = 0;
	else
		claim->v6.workload = 0;
}

/* The ends that the packet's session has to either side; `port` is what stands in the packet. */
static __always_inline void take_outside_end(struct scratch *memory, const struct session *session,
					     port_t port)
{
	memory->to.address = session->data.address;
	memory->to.port = session->data.port ?: port;
}

static __always_inline void take_inside_end(struct scratch *memory, const struct session *session,
					    __u32 family, port_t port)
{
	if (family == 4) {
		memory->to.address = ip_of_ipv4(memory->key.v4.local);
		memory->to.port = memory->key.v4.local_port;
	} else {
		memory->to.address = memory->key.v6.local;
		memory->to.port = memory->key.v6.local_port;
	}
	if (!session->data.port)
		memory->to.port = port;
}

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

/* Whether a packet from inside is of another gateway, which is put into scratch. */
static __always_inline bool leads_outward(struct scratch *memory, const ip_t *address, port_t port,
					  protocol_t protocol)
{
	memory->gateway = gateway_of_inside(address, port, protocol);
	return memory->gateway;
}

/* The same of one to an outside end. What has been led here is led no further. */
static __always_inline bool leads_inward(struct scratch *memory, const ip_t *address, port_t port,
					 const struct inside_end *to)
{
	if (memory->led == LED_INWARD || (!to && !is_outside_ip(address)))
		return false;
	memory->gateway = gateway_of_outside(to, port);
	return memory->gateway;
}

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

/* An ICMP error is of the session of the packet that it quotes, whose sender it goes to. */
__noinline int translate_error(struct __sk_buff *skb, __u32 arrived)
{
	struct scratch *memory = lookup_scratch();
	struct packet *error, *quoted;
	struct session *session = NULL;
	bool known;

	if (!memory)
		return CORE_MALFORMED;
	error = &memory->packet;
	quoted = &memory->quoted;
	if (!parse_quoted(skb, error, quoted))
		return CORE_MALFORMED;
	known = ip_equals(&quoted->source, &error->destination);
	if (known && is_tracked(quoted)) {
		if (arrived == INSIDE) {
			make_session_key(skb, quoted, OUTSIDE, &memory->key);
			session = lookup_living(quoted, &memory->key);
			if (session)
				take_outside_end(memory, session, quoted->destination_port);
		} else {
			make_session_key(skb, quoted, INSIDE, &memory->claim);
			drop_workload(quoted->family, &memory->claim);
			session = lookup_claimed(skb, quoted, memory);
			if (session)
				take_inside_end(memory, session, quoted->family,
						quoted->source_port);
		}
	}
	if (!session) {
		memory->to.port = arrived == INSIDE ? quoted->destination_port
						    : quoted->source_port;
		known = known &&
			lookup_fixed(arrived == INSIDE ? &quoted->destination : &quoted->source,
				     arrived, &memory->to.address);
	}
	if (!known && ip_equals(&quoted->source, &error->destination) &&
	    leads_error(memory, arrived))
		return LED;
	if (!known && arrived == INSIDE)
		return lookup_source(&error->source) ? NAT_NO_SESSION : PASS;
	if (!known)
		return judge_unmapped(&error->destination, NAT_NO_MAPPING);
	if (!rewrite_error(skb, error, quoted, arrived == INSIDE ? DESTINATION : SOURCE,
			   &memory->to))
		return CORE_MALFORMED;
	return PASS;
}

/* Begins a session to the outside by the rule for its sender, if there is one. */
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
	if (packet->fragment == LATER_FRAGMENT)
		return NAT_FRAGMENT;
	if (!is_tracked(packet))
		return NAT_UNSUPPORTED;
	verdict = can_open(packet, NAT_NO_SESSION);
	if (verdict != PASS)
		return verdict;
	memory->rule = *rule;
	outside.endpoint_independent = rule->endpoint_independent;
	outside.hairpins = is_outside_ip(&packet->destination);
	memory->hairpins = outside.hairpins;
	if (!(outside.endpoint_independent ? claim_binding(&outside)
					   : claim_port(packet, &memory->key, &outside)))
		return NAT_EXHAUSTED;
	verdict = open_session(skb, INSIDE, &outside);
	memory->to.address = outside.address;
	memory->to.port = outside.port;
	if (verdict == PASS && !rewrite_end(skb, packet, SOURCE, &memory->to))
		return CORE_MALFORMED;
	return verdict;
}

/* Translates what the inside sends. */
__noinline int translate_outward(struct __sk_buff *skb)
{
	struct scratch *memory = lookup_scratch();
	struct session *session = NULL;
	struct packet *packet;
	int verdict;

	if (!memory)
		return CORE_MALFORMED;
	packet = &memory->packet;
	if (is_tracked(packet)) {
		make_session_key(skb, packet, INSIDE, &memory->key);
		session = lookup_living(packet, &memory->key);
	}
	memory->hairpins = !session && is_outside_ip(&packet->destination);
	if (!session && lookup_fixed(&packet->source, INSIDE, &memory->to.address)) {
		memory->to.port = packet->source_port;
		return rewrite_end(skb, packet, SOURCE, &memory->to) ? PASS : CORE_MALFORMED;
	}
	if (!session) {
		verdict = open_outward(skb);
		if (verdict != LATE)
			return verdict;
		session = lookup_living(packet, &memory->key);
	}
	if (!session)
		return CORE_NO_ROOM;
	verdict = follow_session(skb, session, INSIDE);
	if (verdict != PASS)
		return verdict;
	memory->hairpins = session->data.hairpins;
	take_outside_end(memory, session, packet->source_port);
	return rewrite_end(skb, packet, SOURCE, &memory->to) ? PASS : CORE_MALFORMED;
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

/* Begins a session to the inside, if something leads there. translate_inward() has made the claim's
 * key. */
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
	if (packet->fragment == LATER_FRAGMENT)
		return NAT_FRAGMENT;
	if (!is_tracked(packet))
		return NAT_UNSUPPORTED;
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
	verdict = open_session(skb, OUTSIDE, &outside);
	if (verdict == PASS && !rewrite_end(skb, packet, DESTINATION, &memory->to))
		return CORE_MALFORMED;
	return verdict;
}

/* Translates what comes to an outside address. */
__noinline int translate_inward(struct __sk_buff *skb)
{
	struct scratch *memory = lookup_scratch();
	struct session *session = NULL;
	struct packet *packet;
	int verdict;

	if (!memory)
		return CORE_MALFORMED;
	packet = &memory->packet;
	if (is_tracked(packet)) {
		make_session_key(skb, packet, OUTSIDE, &memory->claim);
		drop_workload(packet->family, &memory->claim);
		session = lookup_claimed(skb, packet, memory);
	}
	if (!session && lookup_fixed(&packet->destination, OUTSIDE, &memory->to.address)) {
		memory->to.port = packet->destination_port;
		return rewrite_end(skb, packet, DESTINATION, &memory->to) ? PASS : CORE_MALFORMED;
	}
	if (!session) {
		verdict = open_inward(skb);
		if (verdict != LATE)
			return verdict;
		session = lookup_claimed(skb, packet, memory);
	}
	if (!session)
		return NAT_COLLISION;
	verdict = follow_session(skb, session, OUTSIDE);
	if (verdict != PASS)
		return verdict;
	take_inside_end(memory, session, packet->family, packet->destination_port);
	return rewrite_end(skb, packet, DESTINATION, &memory->to) ? PASS : CORE_MALFORMED;
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

static __always_inline int translate_towards(struct __sk_buff *skb, const struct packet *packet,
					     __u32 arrived)
{
	if (is_icmp_error(packet))
		return translate_error(skb, arrived);
	return arrived == INSIDE ? translate_outward(skb) : translate_inward(skb);
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
	verdict = translate_towards(skb, packet, arrived);
	if (verdict == PASS && arrived == INSIDE && memory->hairpins) {
		verdict = translate_towards(skb, packet, OUTSIDE);
		if (verdict == PASS && !ip_equals(&packet->destination, &memory->destination))
			verdict = BACK;
	}
	if (verdict < 0 && packet->fragment == FIRST_FRAGMENT &&
	    !learn_translation(skb, leaving(memory, verdict, arrived)))
		return CORE_NO_ROOM;
	return verdict;
}
