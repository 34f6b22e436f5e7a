/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The router's tables: its interfaces, where each prefix leads, and who lives on the links. */
#pragma once

#include "router.gen.h"
#include "graph.h"
#include "packet.h"
#include "arp.h"

#define MARTIANS_MAX   16
#define NEIGHBOURS_MAX 65536
#define LEARNED_MAX    8192
#define PENDING_MAX    1024

/* A neighbour is asked for once in this time. */
#define ASK_INTERVAL_NS 1000000000ULL

_Static_assert(ROUTER_INTERFACES_MAX <= PORT_LIKELY, "every interface is a port");

/* A port of the router. A family of which it has no address is not routed there. */
struct router_interface {
	mac_t mac;
	__u16 mtu;
	ipv4_t ipv4;
	bool_t has_ipv4;
	bool_t has_ipv6;
	bool_t advertise;
	bool_t autonomous;
	ipv6_t ipv6;
	ipv6_t link_local;
	prefix_t ipv6_subnet;
	bool_t stateless_dhcp;
	__u8 reserved[3];
};

/* The name of a neighbour. Link-local addresses are told apart by their link. */
struct neighbour_key {
	ip_t address;
	__u64 scope; /* port + 1 for a link-local address, else 0 */
};

/* A neighbour that the directory knows. */
struct neighbour {
	mac_t mac;
	__u8 port;
	bool_t direct; /* no route leads packets for this very address elsewhere: it needs no look
			  at the routes */
};

struct learned_neighbour {
	time_t_ns confirmed; /* when it last spoke */
	time_t_ns asked;     /* when it was last asked whether it is still there */
	mac_t mac;
	__u8 port;
	__u8 reserved;
};

/* A neighbour that has not answered yet. */
struct pending_neighbour {
	time_t_ns since;
	time_t_ns asked; /* the last time */
	__u64 rounds;	 /* that packets have been held since then */
};

struct next_hop {
	ip_t address; /* unspecified: the destination itself, on the link */
	__u32 scope;
	__u32 port;
};

enum route_kind {
	ROUTE_KIND_LOCAL,     /* to this router itself */
	ROUTE_KIND_CONNECTED, /* on the link of next_hop.port */
	ROUTE_KIND_GATEWAY,   /* to next_hop */
	ROUTE_KIND_MULTIPATH, /* to one of the next_hops of `group` */
	ROUTE_KIND_BLACKHOLE,
	ROUTE_KIND_UNREACHABLE,
	ROUTE_KIND_PROHIBIT,
	ROUTE_KIND_MARTIAN, /* nothing may be sent there */
} __attribute__((packed));

struct route {
	struct next_hop next_hop;
	__u32 group;
	__u16 buckets; /* of the group */
	enum route_kind kind;
	__u8 reserved;
};

struct route4_key {
	__u32 length;
	ipv4_t address;
};

struct route6_key {
	__u32 length;
	ipv6_t address;
} __attribute__((packed, aligned(4)));

struct next_hop_key {
	__u32 group;
	__u32 bucket;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PORTS_PER_INSTANCE);
	__type(key, __u32);
	__type(value, struct router_interface);
} interfaces SEC(".maps");

#define ROUTES_MAX (ROUTER_ROUTES_MAX + 4 * ROUTER_INTERFACES_MAX + MARTIANS_MAX)

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, ROUTES_MAX);
	__type(key, struct route4_key);
	__type(value, struct route);
} routes4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, ROUTES_MAX);
	__type(key, struct route6_key);
	__type(value, struct route);
} routes6 SEC(".maps");

/* Sized by router.ts. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__type(key, struct next_hop_key);
	__type(value, struct next_hop);
} next_hops SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, NEIGHBOURS_MAX);
	__type(key, struct neighbour_key);
	__type(value, struct neighbour);
} neighbours SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, LEARNED_MAX);
	__type(key, struct neighbour_key);
	__type(value, struct learned_neighbour);
} learned SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PENDING_MAX);
	__type(key, struct neighbour_key);
	__type(value, struct pending_neighbour);
} pending SEC(".maps");

static __always_inline const struct router_interface *lookup_interface(__u32 port)
{
	return bpf_map_lookup_elem(&interfaces, &port);
}

static __always_inline const struct route *lookup_route(const ip_t *destination)
{
	if (ip_is_ipv4(destination)) {
		struct route4_key key = {.length = 32, .address = destination->word[3]};

		return bpf_map_lookup_elem(&routes4, &key);
	} else {
		struct route6_key key = {.length = 128, .address = *destination};

		return bpf_map_lookup_elem(&routes6, &key);
	}
}

static __always_inline bool is_own(const ip_t *address)
{
	const struct route *route = lookup_route(address);

	return route && route->kind == ROUTE_KIND_LOCAL;
}

static __always_inline const struct neighbour *lookup_neighbour(const struct neighbour_key *key)
{
	return bpf_map_lookup_elem(&neighbours, key);
}

/* One that has spoken on this link within neighbour_timeout. */
static __always_inline struct learned_neighbour *lookup_learned(const struct neighbour_key *key,
								__u32 port)
{
	struct learned_neighbour *neighbour = bpf_map_lookup_elem(&learned, key);
	const struct router_config *config = lookup_config();

	if (!neighbour || !config || neighbour->port != port ||
	    bpf_ktime_get_coarse_ns() - neighbour->confirmed > config->neighbour_timeout)
		return NULL;
	return neighbour;
}

/* Whether it is time to ask a neighbour again: half of neighbour_timeout has passed in silence, and
 * no question is under way. */
static __always_inline bool is_due(const struct learned_neighbour *neighbour)
{
	const struct router_config *config = lookup_config();
	time_t_ns now = bpf_ktime_get_coarse_ns();

	return config && now - neighbour->confirmed > config->neighbour_timeout / 2 &&
	       now - neighbour->asked > ASK_INTERVAL_NS;
}

static __always_inline void learn_neighbour(const struct neighbour_key *key, const mac_t *mac,
					    __u32 port)
{
	struct learned_neighbour *known = bpf_map_lookup_elem(&learned, key);
	struct learned_neighbour neighbour = {
		.confirmed = bpf_ktime_get_coarse_ns(),
		.mac = *mac,
		.port = port,
	};

	bpf_map_delete_elem(&pending, key);
	if (known && known->port == port && mac_equals(&known->mac, mac)) {
		known->confirmed = neighbour.confirmed;
		return;
	}
	if (!bpf_map_update_elem(&learned, key, &neighbour, BPF_ANY))
		count(ROUTER_LEARNED);
}
