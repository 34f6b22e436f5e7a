/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Generated from nat.ts: its counters, ports and configuration. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "types.h"
#include "core.gen.h"

/* Drop reasons and events; the road's own come before them. */
enum nat_counter {
	/* Packets to an outside address that belong to no session and that nothing leads inside. */
	NAT_NO_MAPPING = CORE_COUNTERS,
	/* Packets from inside that cannot begin a session and belong to none. */
	NAT_NO_SESSION,
	/*
	 * Packets that contradict the state of their session, or have no port where one is needed.
	 */
	NAT_INVALID,
	/*
	 * Fragments of packets whose first fragment was not seen before, was refused, or overlaps
	 * them.
	 */
	NAT_FRAGMENT,
	/* Packets of protocols whose ports or messages cannot be translated, SCTP among them. */
	NAT_UNSUPPORTED,
	/* Packets that found no free outside port; their senders are told. */
	NAT_EXHAUSTED,
	/* Packets from outside whose session inside is another one already. */
	NAT_COLLISION,
	/* Sessions that were begun. */
	NAT_SESSIONS_OPENED,
	/* Packets from the inside to the inside by way of an outside address. */
	NAT_HAIRPINNED,
	/*
	 * ARP requests and neighbour solicitations for outside addresses, asked from inside and
	 * answered.
	 */
	NAT_ANSWERED,
	/* Packets that were led to the gateway that keeps their session. */
	NAT_LED_ON,
};
#define COUNTERS_MAX (CORE_COUNTERS + 11)

#define NAT_PORT_INSIDE  0
#define NAT_PORT_OUTSIDE 1

#define NAT_SOURCES_MAX  1024
#define NAT_FORWARDS_MAX 1024
#define NAT_FLOATING_MAX 16384
#define NAT_PREFIXES_MAX 256
#define NAT_GATEWAYS_MAX 64

/* Transport protocol of `ports`; TCP, UDP and pings on every port if both are left out. */
enum nat_forwards_protocol {
	NAT_FORWARDS_PROTOCOL_TCP,
	NAT_FORWARDS_PROTOCOL_UDP,
} __attribute__((packed));

struct nat_config {
	/*
	 * Whether what comes to an outside address and belongs to nothing passes unchanged, as to a
	 * router behind that has the address itself; else it is dropped.
	 */
	bool_t pass_unmapped;
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
	__type(value, struct nat_config);
} config SEC(".maps");

/* This instance's configuration; never NULL, though the verifier wants to see it checked. */
static __always_inline const struct nat_config *lookup_config(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&config, &zero);
}
