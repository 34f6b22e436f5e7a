/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Generated from policer.ts: its counters, ports and configuration. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "types.h"
#include "core.gen.h"

/* Drop reasons and events; the road's own come before them. */
enum policer_counter {
	/* Packets beyond the rate that were dropped. */
	POLICER_DROPPED = CORE_COUNTERS,
	/* Packets that passed with a congestion mark, as less than half of the burst was left. */
	POLICER_MARKED,
};
#define COUNTERS_MAX (CORE_COUNTERS + 2)

#define POLICER_PORT_INSIDE  0
#define POLICER_PORT_OUTSIDE 1

#define POLICER_LIMITS_MAX 128

/* Packets of this direction only: `ingress` is towards the inside, `egress` from it. */
enum policer_limits_direction {
	POLICER_LIMITS_DIRECTION_INGRESS,
	POLICER_LIMITS_DIRECTION_EGRESS,
} __attribute__((packed));

/*
 * What has a rate of its own: each workload port, each direction of a port, or each flow
 * (addresses, protocol and ports of one direction). Stitched between functions, a policer is one
 * port.
 */
enum policer_limits_per {
	POLICER_LIMITS_PER_PORT,
	POLICER_LIMITS_PER_DIRECTION,
	POLICER_LIMITS_PER_FLOW,
} __attribute__((packed));

/*
 * What becomes of packets beyond the rate: `drop`, or `mark`, which also writes a congestion mark
 * (ECN CE) into those whose ends understand it as soon as less than half of the burst is left, so
 * that senders slow down before anything is dropped.
 */
enum policer_limits_exceed {
	POLICER_LIMITS_EXCEED_DROP,
	POLICER_LIMITS_EXCEED_MARK,
} __attribute__((packed));
