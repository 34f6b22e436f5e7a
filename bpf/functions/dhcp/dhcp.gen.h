/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Generated from dhcp.ts: its counters, ports and configuration. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "types.h"
#include "core.gen.h"

/* Drop reasons and events; the road's own come before them. */
enum dhcp_counter {
	/* Discoveries answered with an offer. */
	DHCP_OFFERED = CORE_COUNTERS,
	/* Requests granted. */
	DHCP_ACKNOWLEDGED,
	/* Requests for another address than the client's own, answered with a refusal (DHCPNAK). */
	DHCP_REFUSED,
	/*
	 * Clients with an address told everything else: DHCPINFORM, and DHCPv6 information
	 * requests.
	 */
	DHCP_INFORMED,
	/* Addresses that clients have given back. */
	DHCP_RELEASED,
	/* Addresses that clients have found in use by others. */
	DHCP_DECLINED,
	/* Requests by which a client takes the offer of another server. */
	DHCP_NOT_CHOSEN,
	/* Messages of clients that have no address here, or that live on another host. */
	DHCP_UNKNOWN,
	/* Messages for another station than the frame's sender: a relay agent's, or a forger's. */
	DHCP_ON_BEHALF,
	/* Packets that ask nothing of this server: floods of the network among them. */
	DHCP_IGNORED,
	/* ARP requests, neighbour solicitations and pings answered. */
	DHCP_ANSWERED,
};
#define COUNTERS_MAX (CORE_COUNTERS + 11)

#define DHCP_PORT_NETWORK 0

#define DHCP_ROUTES_MAX   32
#define DHCP_OPTIONS_MAX  32
#define DHCP_BINDINGS_MAX 4096

struct dhcp_config {
	/* How long an answer holds. Clients ask again after half of it. */
	duration_t lease_time;
	/* Whether DHCPv6 information requests are answered (stateless DHCPv6). */
	bool_t dhcpv6;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct dhcp_config);
} config SEC(".maps");

/* This instance's configuration; never NULL, though the verifier wants to see it checked. */
static __always_inline const struct dhcp_config *lookup_config(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&config, &zero);
}
