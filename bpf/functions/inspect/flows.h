/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Flows that have a verdict: in one of their packets a pattern was found, and its rule follows the
 * rest. */
#pragma once

#include "inspect.gen.h"

struct flow_verdict {
	enum inspect_rules_action action;
	__u8 reserved[7];
};

#define SESSION_DATA struct flow_verdict

#include "session.h"

/* A SYN begins another connection between the same ends. */
static __always_inline bool begins_anew(const struct packet *packet)
{
	return packet->protocol == IPPROTO_TCP &&
	       (packet->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* The session of a packet's flow, if the flow has a verdict; NULL else. `key` is made of a packet
 * from behind the port `sender`. */
static __always_inline struct session *lookup_flow(const struct packet *packet,
						   const union session_key *key, __u32 sender)
{
	const struct inspect_config *config = lookup_config();
	time_t_ns now = bpf_ktime_get_coarse_ns();
	struct session *session = lookup_session(packet, key);

	if (!session || !config || is_forgotten(config, session, packet->protocol, now))
		return NULL;
	track_talk(session, sender);
	touch_session(session, now);
	return session;
}

/* From now on the packet's flow has a verdict. False: there is no room to remember it. */
static __always_inline bool learn_flow(const struct packet *packet, const union session_key *key,
				       __u32 sender, enum inspect_rules_action action)
{
	struct session session = {
		.last_seen = bpf_ktime_get_coarse_ns(),
		.tick = read_tick(),
		.opener = sender,
		.data.action = action,
	};

	return store_session(packet, key, &session);
}
