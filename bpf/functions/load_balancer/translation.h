/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What becomes of the packets of a session, and how a packet leaves the balancer. */
#pragma once

#include "load_balancer.gen.h"
#include "graph.h"
#include "translate.h"

enum role {
	ROLE_TO_BACKEND,	/* of the client: gets another destination */
	ROLE_TO_DIRECT_BACKEND, /* of the client: the destination stays, the MAC does not */
	ROLE_FROM_BACKEND,	/* of the backend: gets another source */
} __attribute__((packed));

/* Kept in each session. A session in mode `nat` has two entries: under the addresses that the
 * client sees, and under those that the backend sees. */
struct translation {
	ip_t address; /* the backend's; of the backend's packets: the virtual one */
	mac_t mac;    /* the backend's, if has_mac */
	port_t port;
	__u32 shared; /* the kernel's tick when both entries were last known to be alike */
	enum role role;
	bool_t has_mac;
	__u8 out; /* with has_mac: the port by which to leave */
	__u8 reserved;
};

#define SESSION_DATA struct translation
#include "session.h"

/* What is said of a packet: one of these, or the counter under which it is dropped. */
enum verdict {
	LEAVE_INSIDE = -1,
	LEAVE_OUTSIDE = -2,
	CARRY_ON = -3, /* its session is there now, and says what becomes of it */
};

static __always_inline int leave_by(__u32 port)
{
	return port == INSIDE ? LEAVE_INSIDE : LEAVE_OUTSIDE;
}

/* What is nothing to the balancer goes on as it came. */
static __always_inline int let_pass(__u32 port)
{
	return leave_by(port ^ 1);
}

/* Whether a packet is of the client, by what its session says. */
static __always_inline bool is_to_backend(const struct translation *translation)
{
	return translation->role != ROLE_FROM_BACKEND;
}

static __always_inline bool rewrite_destination_mac(struct __sk_buff *skb, const mac_t *mac)
{
	struct ethernet *ethernet = frame_start(skb);

	if ((void *)(ethernet + 1) > frame_end(skb))
		return false;
	ethernet->destination = *mac;
	return true;
}

/* The way of a packet to the backend, whose addresses are right already. */
static __always_inline int leave_to_backend(struct __sk_buff *skb,
					    const struct translation *translation, __u32 port)
{
	if (!translation->has_mac)
		return let_pass(port);
	if (!rewrite_destination_mac(skb, &translation->mac))
		return CORE_NO_ROOM;
	return leave_by(translation->out);
}

/* The end that takes the place of a packet's destination; of the backend's packets, of their
 * source. */
static __always_inline struct endpoint end_of_translation(const struct translation *translation)
{
	struct endpoint end = {.address = translation->address, .port = translation->port};

	return end;
}

static __always_inline int translate(struct __sk_buff *skb, struct packet *packet,
				     const struct translation *translation, __u32 port)
{
	enum packet_end end = is_to_backend(translation) ? DESTINATION : SOURCE;
	struct endpoint to = end_of_translation(translation);

	if (translation->role != ROLE_TO_DIRECT_BACKEND && !rewrite_end(skb, packet, end, &to))
		return CORE_NO_ROOM;
	return end == SOURCE ? let_pass(port) : leave_to_backend(skb, translation, port);
}
