/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Generated from bridge.ts: its counters, ports and configuration. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "types.h"
#include "core.gen.h"

/* Drop reasons and events; the road's own come before them. */
enum bridge_counter {
	/* Frames whose source is a multicast address. */
	BRIDGE_BAD_SOURCE = CORE_COUNTERS,
	/* Frames to addresses that no bridge passes on (01:80:c2:00:00:00 to 0f). */
	BRIDGE_RESERVED,
	/* Frames whose destination lies where they came from. */
	BRIDGE_FILTERED,
	/* Broadcasts, multicasts and frames to unknown addresses, sent to all. */
	BRIDGE_FLOODED,
	/* ARP requests and neighbour solicitations answered on the spot. */
	BRIDGE_SUPPRESSED,
	/* Learned addresses that were seen at another place. */
	BRIDGE_MOVED,
};
#define COUNTERS_MAX (CORE_COUNTERS + 6)

#define BRIDGE_PORT_WORKLOADS 0
#define BRIDGE_PORT_OVERLAY   1

struct bridge_config {
	/* Names the network in tunnels. */
	vni_t vni;
	/* Time after which a learned address that is silent is forgotten. */
	duration_t aging_time;
	/* Whether addresses that nobody has declared are learned from the frames that they send. */
	bool_t learning;
	/* Whether ARP and neighbour discovery for known addresses are answered on the spot. */
	bool_t suppression;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bridge_config);
} config SEC(".maps");

/* This instance's configuration; never NULL, though the verifier wants to see it checked. */
static __always_inline const struct bridge_config *lookup_config(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&config, &zero);
}
