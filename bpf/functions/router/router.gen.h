/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Generated from router.ts: its counters, ports and configuration. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "types.h"
#include "core.gen.h"

/* Drop reasons and events; the road's own come before them. */
enum router_counter {
	/* Frames for another station's MAC. */
	ROUTER_NOT_OURS = CORE_COUNTERS,
	/*
	 * Frames that are neither IP nor ARP, and packets of a family that the interface has no
	 * address of.
	 */
	ROUTER_UNSUPPORTED,
	/* Broadcasts and multicasts that are not meant for a router: not forwarded. */
	ROUTER_MULTICAST,
	/* Packets from or to an address that must not be on this link or beyond it. */
	ROUTER_MARTIAN,
	/* Packets whose TTL or hop limit ran out here. */
	ROUTER_TTL_EXCEEDED,
	/* Packets that no route leads on. */
	ROUTER_NO_ROUTE,
	/* Packets that met a route of type unreachable. */
	ROUTER_UNREACHABLE,
	/* Packets that met a route of type prohibit. */
	ROUTER_PROHIBITED,
	/* Packets that met a route of type blackhole. */
	ROUTER_BLACKHOLED,
	/*
	 * Packets lost because the next hop did not answer ARP or neighbour discovery, or not yet.
	 */
	ROUTER_UNRESOLVED,
	/* Packets to the router's own addresses that nothing here answers. */
	ROUTER_NOT_SERVED,
	/* ARP and neighbour discovery that was read and needed no answer. */
	ROUTER_HEARD,
	/* ICMP errors and address requests that were not sent because of control_rate. */
	ROUTER_LIMITED,
	/* ICMP errors sent. */
	ROUTER_ERRORS,
	/* ARP requests and neighbour solicitations sent. */
	ROUTER_REQUESTS,
	/* Neighbours learned, or learned anew with another MAC. */
	ROUTER_LEARNED,
	/* Neighbours' answers to another host's question, passed on to all hosts. */
	ROUTER_RELAYED,
	/* ARP requests, neighbour and router solicitations and pings answered. */
	ROUTER_ANSWERED,
};
#define COUNTERS_MAX (CORE_COUNTERS + 18)

#define ROUTER_INTERFACES_MAX 248
#define ROUTER_ROUTES_MAX     16384

struct router_config {
	/* How long a neighbour that was learned is believed without hearing from it. */
	duration_t neighbour_timeout;
	/*
	 * ICMP errors per second that the router sends at most; likewise ARP requests and neighbour
	 * solicitations.
	 */
	__u32 control_rate;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct router_config);
} config SEC(".maps");

/* This instance's configuration; never NULL, though the verifier wants to see it checked. */
static __always_inline const struct router_config *lookup_config(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&config, &zero);
}
