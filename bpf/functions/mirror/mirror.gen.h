/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Generated from mirror.ts: its counters, ports and configuration. */
#pragma once

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "types.h"
#include "core.gen.h"

/* Drop reasons and events; the road's own come before them. */
enum mirror_counter {
	/* Packets of which a copy was sent off. */
	MIRROR_CHOSEN = CORE_COUNTERS,
	/* Packets that came in by the port `copy`, where none are taken in. */
	MIRROR_CAME_BACK,
};
#define COUNTERS_MAX (CORE_COUNTERS + 2)

#define MIRROR_PORT_INSIDE  0
#define MIRROR_PORT_OUTSIDE 1
#define MIRROR_PORT_COPY    2

/*
 * Where copies go: out by the port `copy`; or to whoever listens to `GET /v1/captures/<function>`
 * of the agent, and nowhere while nobody does.
 */
enum mirror_to {
	MIRROR_TO_PORT,
	MIRROR_TO_CAPTURE,
} __attribute__((packed));

/* Which packets are chosen: `ingress` are those towards the inside, `egress` those from it. */
enum mirror_direction {
	MIRROR_DIRECTION_BOTH,
	MIRROR_DIRECTION_INGRESS,
	MIRROR_DIRECTION_EGRESS,
} __attribute__((packed));

struct mirror_config {
	/* Whether copies are made. */
	bool_t enabled;
	/*
	 * Where copies go: out by the port `copy`; or to whoever listens to `GET
	 * /v1/captures/<function>` of the agent, and nowhere while nobody does.
	 */
	enum mirror_to to;
	/* How many bytes of each packet a capture has, from its Ethernet header on. */
	__u32 snap_length;
	/*
	 * Which packets are chosen: `ingress` are those towards the inside, `egress` those from it.
	 */
	enum mirror_direction direction;
	/* Only packets whose end inside is in this prefix. */
	prefix_t local;
	bool_t has_local;
	/* Only packets whose end outside is in this prefix. */
	prefix_t remote;
	bool_t has_remote;
	/* Only packets of this transport protocol. */
	protocol_t protocol;
	bool_t has_protocol;
	/* Only packets from or to this port of TCP, UDP or SCTP, of either end. */
	port_t port;
	bool_t has_port;
	/* One packet in so many, by chance, of those that are chosen; 1 copies all. */
	__u32 one_in;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct mirror_config);
} config SEC(".maps");

/* This instance's configuration; never NULL, though the verifier wants to see it checked. */
static __always_inline const struct mirror_config *lookup_config(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&config, &zero);
}
