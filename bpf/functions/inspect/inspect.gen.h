/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Generated from inspect.ts: its counters, ports and configuration. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "types.h"
#include "core.gen.h"

/* Drop reasons and events; the road's own come before them. */
enum inspect_counter {
	/* Packets that a rule dropped. */
	INSPECT_DROPPED = CORE_COUNTERS,
	/* Packets that came in by `matched` and belong to no diverted flow. */
	INSPECT_STRAY,
	/* Packets in which a pattern was found. */
	INSPECT_MATCHED,
	/* Packets of which a copy left by `matched`. */
	INSPECT_MIRRORED,
	/* Packets that left by `matched` in place of their way. */
	INSPECT_DIVERTED,
	/* Packets that had the verdict of their flow. */
	INSPECT_FOLLOWED,
	/* Packets that passed unseen, as they are later fragments. */
	INSPECT_FRAGMENT,
};
#define COUNTERS_MAX (CORE_COUNTERS + 7)

#define INSPECT_PORT_INSIDE  0
#define INSPECT_PORT_OUTSIDE 1
#define INSPECT_PORT_MATCHED 2

#define INSPECT_RULES_MAX    32
#define INSPECT_PATTERNS_MAX 1024

/* Way of the packets: `ingress` is towards the inside, `egress` from it; both if left out. */
enum inspect_rules_direction {
	INSPECT_RULES_DIRECTION_INGRESS,
	INSPECT_RULES_DIRECTION_EGRESS,
} __attribute__((packed));

/*
 * What becomes of a packet with a pattern of this rule: `count` lets it pass, `mirror` lets it pass
 * and sends a copy out of the port `matched`, `divert` sends it out of `matched` instead, `drop`
 * drops it. Where several rules find something, the last named of these decides.
 */
enum inspect_rules_action {
	INSPECT_RULES_ACTION_COUNT,
	INSPECT_RULES_ACTION_MIRROR,
	INSPECT_RULES_ACTION_DIVERT,
	INSPECT_RULES_ACTION_DROP,
} __attribute__((packed));

struct inspect_config {
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
	__type(value, struct inspect_config);
} config SEC(".maps");

/* This instance's configuration; never NULL, though the verifier wants to see it checked. */
static __always_inline const struct inspect_config *lookup_config(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&config, &zero);
}
