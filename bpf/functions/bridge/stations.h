/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where the network's MAC addresses are: those that have been declared, and those that have been
 * learned. */
#pragma once

#include "bridge.gen.h"
#include "graph.h"
#include "arp.h"

#define STATIONS_MAX 16384
#define LEARNED_MAX  8192

/* A learned address that keeps sending is noted so often, so that the table is not written by every
 * packet. */
#define SEEN_RESOLUTION 1000000000ULL

enum place {
	PLACE_NOWHERE,
	PLACE_WORKLOAD, /* target: port id */
	PLACE_PEER,	/* target: index into peers */
	PLACE_PORT,	/* target: the bridge's port towards a function */
} __attribute__((packed));

struct location {
	__u32 target;
	enum place place;
	__u8 reserved[3];
};

struct learned_station {
	struct location location;
	time_t_ns seen;
};

/* Declared addresses. Written by the agent; no frame moves them, whoever claims to be the gateway.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, STATIONS_MAX);
	__type(key, mac_t);
	__type(value, struct location);
} stations SEC(".maps");

/* Learned addresses. The agent may empty it at any time. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, LEARNED_MAX);
	__type(key, mac_t);
	__type(value, struct learned_station);
} learned SEC(".maps");

static __always_inline bool same_location(struct location a, struct location b)
{
	return a.place == b.place && a.target == b.target;
}

/* Where the frame entered the network. */
static __always_inline struct location origin_of(const struct __sk_buff *skb)
{
	struct location origin = {.place = PLACE_PORT, .target = arrived_at(skb)};

	if (origin.target == BRIDGE_PORT_WORKLOADS) {
		origin.place = PLACE_WORKLOAD;
		origin.target = workload_of(skb);
	} else if (origin.target == BRIDGE_PORT_OVERLAY) {
		origin.place = PLACE_PEER;
		origin.target = skb->cb[3];
	}
	return origin;
}

/* Whether it is known without learning that `mac` is there. */
static __always_inline bool is_declared(const mac_t *mac, struct location origin)
{
	__u32 id = origin.target;
	struct workload *workload;

	if (origin.place == PLACE_WORKLOAD) {
		workload = bpf_map_lookup_elem(&workloads, &id);
		if (workload && mac_equals(&workload->mac, mac))
			return true;
	}
	return bpf_map_lookup_elem(&stations, mac);
}

/* A frame from `mac` came from `origin`: the next one to it goes there. */
static __always_inline void learn_station(const mac_t *mac, struct location origin)
{
	struct learned_station fresh = {.location = origin}, *known;

	if (is_declared(mac, origin))
		return;
	fresh.seen = bpf_ktime_get_coarse_ns();
	known = bpf_map_lookup_elem(&learned, mac);
	if (known && same_location(known->location, origin)) {
		if (fresh.seen - known->seen > SEEN_RESOLUTION)
			known->seen = fresh.seen;
		return;
	}
	if (known)
		count(BRIDGE_MOVED);
	bpf_map_update_elem(&learned, mac, &fresh, BPF_ANY);
}

/* Where `mac` is; PLACE_NOWHERE if that is not known, or forgotten. */
static __always_inline struct location lookup_station(const mac_t *mac,
						      const struct bridge_config *config)
{
	struct location nowhere = {}, *station = bpf_map_lookup_elem(&stations, mac);
	struct learned_station *known;

	if (station)
		return *station;
	if (!config->learning)
		return nowhere;
	known = bpf_map_lookup_elem(&learned, mac);
	if (!known)
		return nowhere;
	if (bpf_ktime_get_coarse_ns() - known->seen <= config->aging_time)
		return known->location;
	bpf_map_delete_elem(&learned, mac);
	return nowhere;
}
