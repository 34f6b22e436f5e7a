/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How a packet goes on: by its destination to a route, by the route to a next hop, by the next hop
 * to a MAC. */
#pragma once

#include "headers.h"

#define TCP_DATA_OFFSET 12

struct way {
	struct neighbour_key neighbour; /* the next hop */
	__u32 port;
	mac_t destination_mac;
	mac_t source_mac;
};

/* Multiplies and folds: every bit of `word` reaches the upper half of the result. */
static __always_inline __u64 mix(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15;
	return hash ^ hash >> 32;
}

/*
 * 16 bits that are the same for all packets of a flow, on every host. The fragments of a packet
 * keep together by their addresses, as only the first of them has ports.
 */
static __always_inline __u32 hash_flow(struct __sk_buff *skb, const struct headers *headers)
{
	protocol_t protocol = headers->protocol;
	bool has_ports = headers->l4 && (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP ||
					 protocol == IPPROTO_SCTP);
	__u32 ports = 0;
	__u64 hash;

	if (has_ports)
		bpf_skb_load_bytes(skb, headers->l4, &ports, sizeof(ports));
	hash = mix(protocol, ports);
	hash = mix(hash, headers->source.half[0]);
	hash = mix(hash, headers->source.half[1]);
	hash = mix(hash, headers->destination.half[0]);
	hash = mix(hash, headers->destination.half[1]);
	return mix(hash, 0) >> 48;
}

/* Follows the route to its next hop. */
static __always_inline int follow_route(const struct route *route, const ip_t *destination,
					__u32 flow_hash, struct way *way)
{
	const struct next_hop *hop = &route->next_hop;

	switch (route->kind) {
	case ROUTE_KIND_LOCAL:
		return OWN;
	case ROUTE_KIND_CONNECTED:
		way->neighbour.address = *destination;
		way->neighbour.scope = 0;
		way->port = hop->port;
		return 0;
	case ROUTE_KIND_MULTIPATH: {
		struct next_hop_key key = {.group = route->group,
					   .bucket = flow_hash * route->buckets >> 16};

		hop = bpf_map_lookup_elem(&next_hops, &key);
		if (!hop)
			return -ROUTER_NO_ROUTE;
		break;
	}
	case ROUTE_KIND_GATEWAY:
		break;
	case ROUTE_KIND_BLACKHOLE:
		return -ROUTER_BLACKHOLED;
	case ROUTE_KIND_UNREACHABLE:
		return -ROUTER_UNREACHABLE;
	case ROUTE_KIND_PROHIBIT:
		return -ROUTER_PROHIBITED;
	default:
		return -ROUTER_MARTIAN;
	}
	way->neighbour.address = hop->address;
	way->neighbour.scope = hop->scope;
	way->port = hop->port;
	return 0;
}

static __always_inline bool resolve_neighbour(struct way *way)
{
	const struct neighbour *neighbour = lookup_neighbour(&way->neighbour);
	const struct learned_neighbour *learned;

	if (neighbour && neighbour->port == way->port) {
		way->destination_mac = neighbour->mac;
		return true;
	}
	learned = lookup_learned(&way->neighbour, way->port);
	if (!learned || is_due(learned))
		return false;
	way->destination_mac = learned->mac;
	return true;
}

/* Whether the packet, or a segment where it is a train of them (GSO), is too long for the MTU. */
static __always_inline bool is_too_big(struct __sk_buff *skb, const struct headers *headers,
				       __u32 mtu)
{
	__u32 transport = sizeof(struct udphdr);
	__u8 offset;

	if (headers->length <= mtu)
		return false;
	if (!skb->gso_size)
		return true;
	if (headers->protocol == IPPROTO_TCP &&
	    !bpf_skb_load_bytes(skb, headers->l4 + TCP_DATA_OFFSET, &offset, 1))
		transport = (offset >> 4) * 4;
	return headers->l4 - L3_OFFSET + transport + skb->gso_size > mtu;
}

/* The routes' word on a destination, and the MAC of the next hop that they name. */
static __always_inline int follow_routes(struct __sk_buff *skb, const struct headers *headers,
					 struct way *way, __u32 *detail)
{
	const struct route *route = lookup_route(&headers->destination);
	int verdict;

	if (!route)
		return -ROUTER_NO_ROUTE;
	if (route->kind == ROUTE_KIND_MULTIPATH)
		*detail = hash_flow(skb, headers);
	verdict = follow_route(route, &headers->destination, *detail, way);
	if (!verdict && headers->ttl > 1 && !resolve_neighbour(way))
		return -ROUTER_UNRESOLVED;
	return verdict;
}

/* The packet's way; `detail` is what punt() has to know where there is none. */
static __always_inline int find_way(struct __sk_buff *skb, const struct headers *headers,
				    struct way *way, __u32 *detail)
{
	const struct neighbour *neighbour;
	const struct router_interface *out;

	way->neighbour.address = headers->destination;
	way->neighbour.scope = 0;
	neighbour = lookup_neighbour(&way->neighbour);
	if (neighbour && neighbour->direct) {
		way->destination_mac = neighbour->mac;
		way->port = neighbour->port;
	} else {
		int verdict = follow_routes(skb, headers, way, detail);

		if (verdict)
			return verdict;
	}
	if (headers->ttl <= 1)
		return -ROUTER_TTL_EXCEEDED;
	out = lookup_interface(way->port);
	if (!out)
		return -ROUTER_NO_ROUTE;
	way->source_mac = out->mac;
	if (is_too_big(skb, headers, out->mtu)) {
		*detail = out->mtu;
		return -CORE_TOO_BIG;
	}
	return 0;
}
