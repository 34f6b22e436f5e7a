/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* All that a network function of one's own includes: how it declares itself, reads packets and lets
 * go of them. */
#pragma once

#include <stddef.h>

/*
 * A function declares itself by structures, whose members the agent reads from the object's BTF. A
 * sentence behind a member, by INKEV_DOC, is its documentation.
 *
 *	INKEV_PORTS { inkev_port inside; inkev_port outside; };
 *	INKEV_COUNTERS { inkev_counter too_long INKEV_DOC("Packets that were too long."); };
 *	INKEV_CONFIG { __u32 longest INKEV_DEFAULT("1500"); };
 *
 * Ports have the numbers of their order. A function whose first two are `inside` and `outside` can
 * stand in the chain of a workload's port. Counters and configuration may be left out.
 */
typedef __UINT8_TYPE__ inkev_port;
typedef __UINT64_TYPE__ inkev_counter;

#define INKEV_DOC(text) __attribute__((btf_decl_tag("inkev:doc:" text)))
/* What a member of the configuration is where the operator says nothing; written as he would. */
#define INKEV_DEFAULT(text) __attribute__((btf_decl_tag("inkev:default:" text)))

/* What the function does to packets: one sentence, before all else. */
#define INKEV_ABOUT(text) __UINT8_TYPE__ inkev_about INKEV_DOC(text) SEC(".inkev")

#define INKEV_PORTS                                   \
	struct inkev_ports inkev_ports SEC(".inkev"); \
	struct inkev_ports
#define INKEV_COUNTERS                                      \
	struct inkev_counters inkev_counters SEC(".inkev"); \
	struct inkev_counters

/*
 * The types of members say what the operator may write: bool_t, integers, ipv4_t, ipv6_t, ip_t,
 * prefix_t, mac_t, port_t, protocol_t, duration_t ("30s"), bitrate_t ("10mbit"), enums by their
 * words. lookup_config() answers it; never NULL, though the verifier wants to see it checked.
 */
#define INKEV_CONFIG                                                          \
	struct inkev_config;                                                  \
	struct {                                                              \
		__uint(type, BPF_MAP_TYPE_ARRAY);                             \
		__uint(max_entries, 1);                                       \
		__type(key, __u32);                                           \
		__type(value, struct inkev_config);                           \
	} config SEC(".maps");                                                \
	static __always_inline const struct inkev_config *lookup_config(void) \
	{                                                                     \
		__u32 zero = 0;                                               \
                                                                              \
		return bpf_map_lookup_elem(&config, &zero);                   \
	}                                                                     \
	struct inkev_config

/*
 * A map that the operator fills, and the agent writes: `map_type` is BPF_MAP_TYPE_HASH, _LPM_TRIE
 * (keys of prefix_t) or _ARRAY. Any other map is the program's own memory: its next version takes
 * it over where its layout is equal. The agent shows the records of both.
 */
#define INKEV_TABLE(name, map_type, key_type, value_type, size)                         \
	struct {                                                                        \
		__uint(type, map_type);                                                 \
		__uint(max_entries, size);                                              \
		__uint(map_flags, BPF_F_NO_PREALLOC *(map_type != BPF_MAP_TYPE_ARRAY)); \
		__type(key, key_type);                                                  \
		__type(value, value_type);                                              \
	} name SEC(".maps") __attribute__((btf_decl_tag("inkev:table")))

/* The number of a port, as forward() takes it and arrived_at() answers it. */
#define PORT(name) (offsetof(struct inkev_ports, name) / sizeof(inkev_port))
/* The number of a counter, as count() and drop() take it. */
#define COUNTER(name) \
	(CORE_COUNTERS + offsetof(struct inkev_counters, name) / sizeof(inkev_counter))

/* So many counters a function may have. One size for all: a new one keeps what was counted. */
#define PROGRAM_COUNTERS_MAX 64
#define COUNTERS_MAX	     (CORE_COUNTERS + PROGRAM_COUNTERS_MAX)

#include "core.gen.h"
#include "graph.h"
#include "packet.h"
#include "rewrite.h"
