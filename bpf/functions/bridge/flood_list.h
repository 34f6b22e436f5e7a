/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Copies of one frame to all of the network: workloads and functions of this host, and every other
 * host. */
#pragma once

#include "bridge.gen.h"
#include "flood.h"
#include "stations.h"
#include "tunnel.h"

#define FLOOD_MAX 8192

/* Room for two lists, which take turns: `edition` says which one counts. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * FLOOD_MAX);
	__type(key, __u32);
	__type(value, struct location);
} copies SEC(".maps");

struct flood {
	struct __sk_buff *skb;
	const struct host *self;
	struct location origin;
	__u32 start;
	vni_t vni;
};

static __always_inline void copy_to_peer(struct flood *flood, __u32 number)
{
	struct peer *peer = bpf_map_lookup_elem(&peers, &number);

	if (peer && set_tunnel(flood->skb, flood->self, peer, flood->vni))
		copy_to_device(flood->skb, flood->self->vxlan, 0);
}

/* One step of the loop: nothing goes back where it came from, and nothing from one host to the
 * next. */
static long copy_to_location(__u32 n, struct flood *flood)
{
	__u32 index = flood->start + n;
	struct location *to = bpf_map_lookup_elem(&copies, &index);

	if (!to || same_location(*to, flood->origin))
		return 0;
	switch (to->place) {
	case PLACE_WORKLOAD:
		copy_to_workload(flood->skb, flood->self, to->target);
		break;
	case PLACE_PORT:
		copy_to(flood->skb, flood->self, stitch_at(to->target));
		break;
	case PLACE_PEER:
		if (flood->origin.place != PLACE_PEER)
			copy_to_peer(flood, to->target);
		break;
	default:
		break;
	}
	return 0;
}

static __noinline int send_to_all(struct __sk_buff *skb, struct location origin, vni_t vni)
{
	struct flood flood = {.skb = skb, .self = lookup_host(), .origin = origin, .vni = vni};
	union edition current = read_edition();

	if (!flood.self)
		return drop(skb, CORE_UNSTITCHED);
	flood.start = current.start;
	count(BRIDGE_FLOODED);
	bpf_loop(current.count, copy_to_location, &flood, 0);
	return consume(skb);
}
