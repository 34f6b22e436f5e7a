/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the road knows of this host and of the others: the maps that its programs share. */
#pragma once

#include "graph.h"

#define PEERS_MAX   4096
#define TUNNELS_MAX 65536

/* This host. Written by the agent. */
struct host {
	ip_t vtep;
	__u32 uplinks;	   /* by how many devices other hosts are reached */
	ifindex_t vxlan;   /* the kernel's vxlan device, in external mode */
	ifindex_t replica; /* where copies are sent in, to come out at replica.bpf.c; forwarding is
			      on there */
	port_t vxlan_port;
	__u16 reserved;
};

/* A remote host, by its number; 0 is none. Written by the agent. */
struct peer {
	ip_t vtep;
};

/* Whose packets come through a tunnel. Keys have no padding. */
struct tunnel_key {
	ip_t remote;
	vni_t vni;
	__u32 reserved;
};

struct tunnel {
	union attachment network; /* the bridge's overlay port */
	__u32 peer;
	/*
	 * The kernel opens its packets, not the program `uplink`, but for those to veth_stations:
	 * in networks from which packets can come to devices of this host that are no veths. What
	 * `uplink` opens stays marked as tunnelled, and who cuts such a train of segments, a tap or
	 * a network card, looks for a tunnel's headers before it. By stations, not by trains: a
	 * flow keeps its order.
	 */
	bool_t by_kernel;
	__u8 reserved[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct host);
} host SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PEERS_MAX);
	__type(key, __u32);
	__type(value, struct peer);
} peers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, TUNNELS_MAX);
	__type(key, struct tunnel_key);
	__type(value, struct tunnel);
} tunnels SEC(".maps");

/* Never NULL, though the verifier wants to see it checked. */
static __always_inline const struct host *lookup_host(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&host, &zero);
}

static __always_inline const struct tunnel *lookup_tunnel(vni_t vni, const ip_t *remote)
{
	struct tunnel_key key = {.remote = *remote, .vni = vni};

	return bpf_map_lookup_elem(&tunnels, &key);
}
