/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Suppression: who asks for a known address gets his answer at once, and the others are not
 * bothered. */
#pragma once

#include "bridge.gen.h"
#include "graph.h"
#include "nd.h"

#define NEIGHBOURS_MAX 32768

struct neighbour {
	mac_t mac;
	bool_t is_router;
	__u8 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, NEIGHBOURS_MAX);
	__type(key, ip_t);
	__type(value, struct neighbour);
} neighbours SEC(".maps");

/* Who has the address, unless it is the asker himself: he announces it, or looks for others that
 * have it too. */
static __always_inline const struct neighbour *lookup_neighbour(const ip_t *ip, const mac_t *asker)
{
	const struct neighbour *neighbour = bpf_map_lookup_elem(&neighbours, ip);

	return neighbour && !mac_equals(&neighbour->mac, asker) ? neighbour : NULL;
}

static __always_inline bool answer_arp(struct __sk_buff *skb)
{
	const struct neighbour *neighbour;
	struct arp_packet arp;
	ip_t target;

	if (!parse_arp(skb, &arp) || arp.operation != bpf_htons(ARP_REQUEST) ||
	    arp.sender_ip == arp.target_ip)
		return false;
	target = ip_of_ipv4(arp.target_ip);
	neighbour = lookup_neighbour(&target, &arp.sender_mac);
	return neighbour && rewrite_to_arp_reply(skb, &arp, &neighbour->mac);
}

/* A solicitation as it is sent: with no header between IPv6's and its own. */
static __always_inline bool load_solicitation(struct __sk_buff *skb, struct nd_packet *nd)
{
	return !bpf_skb_load_bytes(skb, 0, nd, offsetof(struct nd_packet, option)) &&
	       nd->ip.nexthdr == IPPROTO_ICMPV6 && nd->ip.hop_limit == ND_HOP_LIMIT &&
	       nd->type == ICMPV6_NEIGHBOUR_SOLICITATION && nd->code == 0;
}

static __always_inline bool answer_solicitation(struct __sk_buff *skb)
{
	const struct neighbour *neighbour;
	struct nd_packet nd;
	ip_t target, asker;

	if (!load_solicitation(skb, &nd))
		return false;
	target = nd.target;
	__builtin_memcpy(&asker, &nd.ip.saddr, sizeof(asker));
	neighbour = lookup_neighbour(&target, &nd.source);
	return neighbour &&
	       rewrite_to_nd_reply(skb, &asker, &target, &neighbour->mac,
				   ND_OVERRIDE | (neighbour->is_router ? ND_ROUTER : 0));
}

/*
 * Turns a multicast question after a known address into its answer. A function of its own, to keep
 * the way of other packets short.
 */
static __noinline bool answer_discovery(struct __sk_buff *skb)
{
	struct ethernet ethernet;

	if (skb->vlan_present || bpf_skb_load_bytes(skb, 0, &ethernet, sizeof(ethernet)))
		return false;
	if (ethernet.type == bpf_htons(ETH_P_ARP))
		return answer_arp(skb);
	if (ethernet.type == bpf_htons(ETH_P_IPV6) && ethernet.destination.byte[2] == 0xff)
		return answer_solicitation(skb);
	return false;
}
