/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where the network's MAC addresses are: those that have been declared, and those that have been
 * learned. */
#pragma once

#include "bridge.gen.h"
#include "graph.h"
#include "arp.h"
#include "tick.h"

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

/*
 * What the agent wrote last, and how often it wrote: the list of copies that counts (flood_list.h).
 * Read and written whole, in one access.
 */
union edition {
	struct {
		__u16 start;
		__u16 count;
		__u32 generation;
	};
	__u64 whole;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, union edition);
} edition SEC(".maps");

#define RECENT_STATIONS 256
/* A declared address that was found of late. */
struct recent_station {
	struct location location;
	mac_t mac;
	__u16 reserved;
	__u32 generation; /* good as long as the agent has not written again */
	__u32 looked_up;  /* low bits of ticks; believed for a second */
};

/* By the address's last byte. One line of cache, where the hash costs several. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, RECENT_STATIONS);
	__type(key, __u32);
	__type(value, struct recent_station);
} recent_stations SEC(".maps");

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

static __always_inline union edition read_edition(void)
{
	__u32 zero = 0;
	union edition nothing = {}, *current = bpf_map_lookup_elem(&edition, &zero);

	if (current)
		nothing.whole = *(volatile __u64 *)&current->whole;
	return nothing;
}

static __noinline bool look_up_declared(struct recent_station *recent, const mac_t *mac,
					__u32 generation)
{
	struct location *station;

	if (!recent || !mac)
		return false;
	station = bpf_map_lookup_elem(&stations, mac);
	if (!station)
		return false;
	recent->location = *station;
	recent->mac = *mac;
	recent->generation = generation;
	recent->looked_up = bpf_jiffies64();
	return true;
}

/* Where `mac` has been declared to be; NULL if it has not. */
static __always_inline const struct location *lookup_declared(const mac_t *mac)
{
	__u32 slot = mac->byte[5], generation = read_edition().generation;
	struct recent_station *recent = bpf_map_lookup_elem(&recent_stations, &slot);

	if (!recent)
		return NULL;
	if (likely(mac_equals(&recent->mac, mac) && recent->generation == generation &&
		   (__u32)bpf_jiffies64() - recent->looked_up < ticks_in_second()))
		return &recent->location;
	return look_up_declared(recent, mac, generation) ? &recent->location : NULL;
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
	return lookup_declared(mac);
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
	const struct location *station = lookup_declared(mac);
	struct location nowhere = {};
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
