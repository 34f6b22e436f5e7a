/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Sessions: given a backend once, then kept on it. */
#pragma once

#include "tables.h"
#include "tick.h"
#include "translation.h"

/* Backends that are tried for a new session before it is refused. */
#define TRIES_MAX 4

/* What is kept in memory, as the stack has 512 bytes for all functions together. One for each CPU,
 * as none is left halfway. */
struct scratch {
	struct packet quoted;
	struct packet translated;
	union session_key key;
	union session_key twin;
	struct service_key service;
	struct backend_key backend;
	struct session session;
};

#include "scratch.h"

/* Whether the packet is of a kind that is balanced. */
static __always_inline bool is_balanced(const struct packet *packet)
{
	return packet->family && packet->fragment != LATER_FRAGMENT &&
	       (packet->protocol == IPPROTO_TCP || packet->protocol == IPPROTO_UDP);
}

/* A packet of a session that is known, alive and under way: nothing need be learned from it. */
static __always_inline bool is_usual(struct session *session, const struct packet *packet,
				     __u32 sender)
{
	__u32 tick = read_tick();

	if (packet->protocol == IPPROTO_TCP && (packet->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST) ||
						session->state != SESSION_STATE_ESTABLISHED))
		return false;
	if (sender != session->opener && session->state == SESSION_STATE_OPENED)
		return false;
	/* The two entries of a session tell each other each second that it lives. */
	if (tick - session->data.shared > ticks_in_second() ||
	    (is_to_backend(&session->data) && session->generation != read_generation()))
		return false;
	if (session->tick != tick)
		touch_session(session, bpf_ktime_get_coarse_ns());
	return true;
}

/*
 * The functions below that are not inline are global: the verifier walks them once and not for
 * every caller.
 */

/* The key of a session's other entry, by a packet of the one and what it becomes. */
__noinline bool make_twin_key(struct __sk_buff *skb, const struct packet *packet, __u32 sender,
			      const struct translation *translation)
{
	struct scratch *memory = lookup_scratch();

	if (!memory || !packet || !translation)
		return false;
	memory->translated = *packet;
	if (is_to_backend(translation)) {
		memory->translated.destination = translation->address;
		memory->translated.destination_port = translation->port;
	} else {
		memory->translated.source = translation->address;
		memory->translated.source_port = translation->port;
	}
	return make_session_key(skb, &memory->translated, sender, &memory->twin);
}

/*
 * Whether the backend can be reached by this client from this port: it is not the client itself,
 * and no other session has the place. Leaves the key of the entry for the backend's packets in
 * memory.
 */
__noinline bool is_free(struct __sk_buff *skb, const struct packet *packet, __u32 sender,
			const struct translation *translation)
{
	const struct load_balancer_config *config = lookup_config();
	struct scratch *memory = lookup_scratch();
	const struct session *standing;

	if (!config || !memory || !packet || !translation ||
	    ip_equals(&packet->source, &translation->address))
		return false;
	if (translation->role == ROLE_TO_DIRECT_BACKEND)
		return true;
	if (!make_twin_key(skb, packet, sender, translation))
		return false;
	standing = lookup_session(packet, &memory->twin);
	return !standing ||
	       is_forgotten(config, standing, packet->protocol, bpf_ktime_get_coarse_ns()) ||
	       (standing->data.port == packet->destination_port &&
		ip_equals(&standing->data.address, &packet->destination));
}

/* Stores a session to a backend, and its other entry, whose key is in memory. */
__noinline bool store_entries(struct __sk_buff *skb, const struct packet *packet, __u32 sender,
			      const struct translation *translation)
{
	struct scratch *memory = lookup_scratch();
	struct session *session;

	if (!memory || !packet || !translation)
		return false;
	session = &memory->session;
	__builtin_memset(session, 0, sizeof(*session));
	session->last_seen = bpf_ktime_get_coarse_ns();
	session->tick = read_tick();
	session->generation = read_generation();
	session->opener = sender;
	session->data = *translation;
	session->data.shared = session->tick;
	make_session_key(skb, packet, sender, &memory->key);
	if (!store_session(packet, &memory->key, session))
		return false;
	if (translation->role == ROLE_TO_DIRECT_BACKEND)
		return true;
	session->data.role = ROLE_FROM_BACKEND;
	session->data.address = packet->destination;
	session->data.port = packet->destination_port;
	session->data.has_mac = false;
	return store_session(packet, &memory->twin, session);
}

static __always_inline struct translation translation_to(const struct service *service,
							 const struct member *member)
{
	bool direct = service->mode == LOAD_BALANCER_SERVICES_MODE_DIRECT;
	struct translation translation = {
		.address = member->address,
		.mac = member->mac,
		.port = member->port,
		.role = direct ? ROLE_TO_DIRECT_BACKEND : ROLE_TO_BACKEND,
		.has_mac = member->has_mac,
		.out = member->out & 1,
	};

	return translation;
}

/* Gives a packet of no session a backend, if it is for a service; `counter`: what is counted then.
 */
__noinline int open_session(struct __sk_buff *skb, const struct packet *packet, __u32 sender,
			    __u32 counter)
{
	struct scratch *memory = lookup_scratch();
	const struct service *service;
	__u32 hash;

	if (!memory || !packet)
		return CORE_MALFORMED;
	if (!lookup_virtual(&packet->destination))
		return let_pass(sender);
	memory->service = service_of(packet);
	service = bpf_map_lookup_elem(&services, &memory->service);
	if (!service)
		return LOAD_BALANCER_NO_SERVICE;
	hash = hash_session(packet, service->by_source);
	for (__u32 n = 0; n < TRIES_MAX; n++) {
		const struct member *member = lookup_member(service, hash);
		struct translation translation;

		if (!member)
			return LOAD_BALANCER_NO_BACKEND;
		translation = translation_to(service, member);
		if (is_free(skb, packet, sender, &translation)) {
			if (!store_entries(skb, packet, sender, &translation))
				return CORE_NO_ROOM;
			count(counter);
			return CARRY_ON;
		}
		hash = mix_word(hash, n) >> 32;
	}
	return LOAD_BALANCER_CLASH;
}

/* Whether the backend of a client's packet is still one of its service, be it draining or not. */
static __always_inline bool is_served(const struct packet *packet,
				      const struct translation *translation, __u32 generation)
{
	struct scratch *memory = lookup_scratch();
	const struct backend *backend;

	if (!memory)
		return false;
	__builtin_memset(&memory->backend, 0, sizeof(memory->backend));
	memory->backend.service = service_of(packet);
	memory->backend.address = translation->address;
	memory->backend.port = translation->port;
	backend = bpf_map_lookup_elem(&backends, &memory->backend);
	return backend && (__s32)(backend->generation - generation) >= 0;
}

/* How far the session has come, as its timeouts have to know. */
static __always_inline void learn_state(struct session *session, const struct packet *packet,
					__u32 sender)
{
	__u8 flags = packet->tcp_flags;

	if (session->state == SESSION_STATE_CLOSED)
		return;
	if (flags & TCP_RST) {
		session->state = SESSION_STATE_CLOSED;
	} else if (flags & TCP_FIN) {
		session->flags |= 1 << (sender & 1);
		session->state = (session->flags & SESSION_BOTH_FIN) == SESSION_BOTH_FIN
					 ? SESSION_STATE_CLOSED
					 : SESSION_STATE_CLOSING;
	} else if (session->state == SESSION_STATE_OPENED &&
		   (sender != session->opener || (flags & (TCP_SYN | TCP_ACK)) == TCP_ACK)) {
		session->state = SESSION_STATE_ESTABLISHED;
	}
}

/* Tells the other entry of the session what this one has learned; if it still is of this session.
 */
static __always_inline void share_session(struct __sk_buff *skb, struct session *session,
					  const struct packet *packet, __u32 sender)
{
	bool to_backend = is_to_backend(&session->data);
	const ip_t *address = to_backend ? &packet->destination : &packet->source;
	port_t port = to_backend ? packet->destination_port : packet->source_port;
	struct scratch *memory = lookup_scratch();
	struct session *twin;

	session->data.shared = read_tick();
	if (session->data.role == ROLE_TO_DIRECT_BACKEND ||
	    !make_twin_key(skb, packet, sender, &session->data) || !memory)
		return;
	twin = lookup_session(packet, &memory->twin);
	if (!twin || twin->data.port != port || !ip_equals(&twin->data.address, address))
		return;
	twin->last_seen = session->last_seen;
	twin->tick = session->tick;
	twin->state = session->state;
	twin->flags = session->flags;
	twin->data.shared = session->data.shared;
}

/* A client begins another connection in the place of one that has ended. */
static __always_inline bool begins_again(const struct session *session, const struct packet *packet,
					 __u32 sender)
{
	return packet->protocol == IPPROTO_TCP && sender == session->opener &&
	       (packet->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN &&
	       session->state >= SESSION_STATE_CLOSING;
}

/* Any packet of which is_usual() does not hold: finds or makes its session, which learns from it.
 */
__noinline int renew_session(struct __sk_buff *skb, const struct packet *packet, __u32 sender)
{
	const struct load_balancer_config *config = lookup_config();
	__u32 generation = read_generation();
	struct scratch *memory = lookup_scratch();
	time_t_ns now = bpf_ktime_get_coarse_ns();
	struct session *session;

	if (!config || !memory || !packet)
		return CORE_MALFORMED;
	make_session_key(skb, packet, sender, &memory->key);
	session = lookup_session(packet, &memory->key);
	if (!session || is_forgotten(config, session, packet->protocol, now) ||
	    begins_again(session, packet, sender))
		return open_session(skb, packet, sender, LOAD_BALANCER_SESSIONS_OPENED);
	if (is_to_backend(&session->data) && sender == session->opener &&
	    session->generation != generation) {
		if (!is_served(packet, &session->data, generation))
			return open_session(skb, packet, sender, LOAD_BALANCER_SESSIONS_MOVED);
		session->generation = generation;
	}
	learn_state(session, packet, sender);
	touch_session(session, now);
	share_session(skb, session, packet, sender);
	return CARRY_ON;
}
