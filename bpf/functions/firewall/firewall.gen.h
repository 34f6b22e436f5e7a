/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Generated from firewall.ts: its counters, ports and configuration. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "types.h"
#include "core.gen.h"

/* Drop reasons and events; the road's own come before them. */
enum firewall_counter {
	/* Packets that a rule or the default action refused in silence. */
	FIREWALL_DENIED = CORE_COUNTERS,
	/* Packets that a rule or the default action refused with an answer. */
	FIREWALL_REJECTED,
	/*
	 * Replies, segments from the middle of a connection and ICMP errors that belong to no
	 * session.
	 */
	FIREWALL_NO_SESSION,
	/*
	 * Packets that contradict the state of their session, or TCP flags that cannot stand
	 * together.
	 */
	FIREWALL_INVALID,
	/*
	 * Fragments of packets whose first fragment was not seen before, was refused, or overlaps
	 * them.
	 */
	FIREWALL_FRAGMENT,
	/* Frames that are neither IPv4 nor IPv6, nor ARP that may pass. */
	FIREWALL_NOT_IP,
	/* Sessions that rules have let begin. */
	FIREWALL_SESSIONS_OPENED,
	/* Sessions that ended because changed rules no longer allow them. */
	FIREWALL_SESSIONS_ENDED,
};
#define COUNTERS_MAX (CORE_COUNTERS + 8)

#define FIREWALL_PORT_INSIDE  0
#define FIREWALL_PORT_OUTSIDE 1

#define FIREWALL_RULES_MAX 16384

/* Where sessions are opened to: `ingress` is towards the inside, `egress` from it. */
enum firewall_rules_direction {
	FIREWALL_RULES_DIRECTION_INGRESS,
	FIREWALL_RULES_DIRECTION_EGRESS,
} __attribute__((packed));

/*
 * What becomes of the session: `deny` drops silently, `reject` answers with a TCP reset or an ICMP
 * error.
 */
enum firewall_rules_action {
	FIREWALL_RULES_ACTION_ALLOW,
	FIREWALL_RULES_ACTION_DENY,
	FIREWALL_RULES_ACTION_REJECT,
} __attribute__((packed));

struct firewall_config {
	/*
	 * Whether changed rules also end established sessions that they no longer allow; else these
	 * live on to their end.
	 */
	bool_t rejudge;
	/*
	 * Whether a TCP or SCTP session may be entered in its middle, as after a move from another
	 * firewall; rules judge it as a new one.
	 */
	bool_t pick_up;
	/* Whether TCP segments outside the window of their session are dropped. */
	bool_t tcp_window_check;
	/*
	 * Whether ARP, IPv6 neighbour and router discovery and multicast listener reports pass
	 * without a rule.
	 */
	bool_t allow_discovery;
	/* Whether the inside may ask for addresses by DHCP and DHCPv6 without a rule. */
	bool_t allow_dhcp;
	/* Silence after which an established TCP session is forgotten. */
	duration_t tcp_established_timeout;
	/* Silence after which a TCP session that opens, or is closed, is forgotten. */
	duration_t tcp_transient_timeout;
	/* Silence after which a UDP session is forgotten. */
	duration_t udp_timeout;
	/* Silence after which a ping is forgotten. */
	duration_t icmp_timeout;
	/* Silence after which a session of another protocol, SCTP included, is forgotten. */
	duration_t other_timeout;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct firewall_config);
} config SEC(".maps");

/* This instance's configuration; never NULL, though the verifier wants to see it checked. */
static __always_inline const struct firewall_config *lookup_config(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&config, &zero);
}
