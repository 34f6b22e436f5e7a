/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A layer 4 load balancer: a session's first packet is given a backend, and the session remembers
 * it. */

#include "load_balancer.gen.h"
#include "graph.h"
#include "sessions.h"
#include "control.h"

/* What becomes of a packet of a session that stands. */
static __always_inline int carry_on(struct __sk_buff *skb, struct packet *packet,
				    const struct session *session, __u32 port)
{
	if (is_to_backend(&session->data) != (port == session->opener))
		return is_to_backend(&session->data) ? let_pass(port) : LOAD_BALANCER_CLASH;
	if (unlikely(packet->fragment) && !learn_translation(skb, packet, &session->data))
		return CORE_NO_ROOM;
	return translate(skb, packet, &session->data, port);
}

static __always_inline int balance(struct __sk_buff *skb, struct packet *packet, __u32 port)
{
	union session_key key;
	struct session *session;
	int verdict;

	make_session_key(skb, packet, port, &key);
	session = lookup_session(packet, &key);
	if (likely(session && is_usual(session, packet, port)))
		return carry_on(skb, packet, session, port);
	verdict = renew_session(skb, packet, port);
	if (verdict != CARRY_ON)
		return verdict;
	session = lookup_session(packet, &key);
	return session ? carry_on(skb, packet, session, port) : CORE_NO_ROOM;
}

INKEV_FUNCTION(load_balancer, skb)
{
	__u32 port = arrived_at(skb) & 1;
	struct packet packet;
	int verdict;

	if (unlikely(!parse_packet(skb, &packet)))
		return drop(skb, CORE_MALFORMED);
	verdict = is_balanced(&packet) ? balance(skb, &packet, port) : control(skb, &packet, port);
	if (verdict == LOAD_BALANCER_NO_SERVICE || verdict == LOAD_BALANCER_NO_BACKEND)
		verdict = refuse(skb, &packet, port, verdict);
	if (verdict >= 0)
		return drop(skb, verdict);
	return pass_through(skb, verdict == LEAVE_INSIDE ? OUTSIDE : INSIDE);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
