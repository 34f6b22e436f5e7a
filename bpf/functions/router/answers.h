/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Answers to those who ask the router itself: ARP, neighbour discovery, router solicitations,
 * pings. */
#pragma once

#include "control.h"
#include "advertisement.h"

/* A neighbour of this link: in its subnet and not the router itself, or link-local. */
static __always_inline bool is_on_link(const ip_t *address, __u32 port)
{
	const struct route *route;

	if (!ip_is_ipv4(address) && ip_is_link_local(address))
		return true;
	route = lookup_route(address);
	return route && route->kind == ROUTE_KIND_CONNECTED && route->next_hop.port == port;
}

static __always_inline struct neighbour_key neighbour_key_of(const ip_t *address, __u32 port)
{
	struct neighbour_key key = {.address = *address};

	if (!ip_is_ipv4(address) && ip_is_link_local(address))
		key.scope = port + 1;
	return key;
}

/* Whether this router, on this host, has asked for the neighbour and not been answered. */
static __always_inline bool is_asked(const struct neighbour_key *key)
{
	const struct learned_neighbour *known = bpf_map_lookup_elem(&learned, key);

	return bpf_map_lookup_elem(&pending, key) ||
	       (known && bpf_ktime_get_coarse_ns() - known->asked < ASK_INTERVAL_NS);
}

/* Believes a neighbour that speaks to us or was asked. One who speaks to all can only change what
 * is known already. */
static __always_inline void learn(const struct neighbour_key *key, const mac_t *mac, __u32 port,
				  bool believed)
{
	if (!mac_is_multicast(mac) && is_on_link(&key->address, port) &&
	    (believed || bpf_map_lookup_elem(&learned, key)))
		learn_neighbour(key, mac, port);
}

static __always_inline bool is_broadcast_frame(struct __sk_buff *skb)
{
	__u8 first = 0;

	bpf_skb_load_bytes(skb, 0, &first, sizeof(first));
	return first & 1;
}

/*
 * The gateway is the same on every host: what a neighbour answers to one host's question reaches
 * the gateway of its own. That one has not asked, and tells all.
 */
static __always_inline int relay(struct __sk_buff *skb, const struct router_interface *in, mac_t to)
{
	if (!within_limit(LIMIT_REQUESTS) || !rewrite_macs(skb, &to, &in->mac))
		return -ROUTER_HEARD;
	count(ROUTER_RELAYED);
	return 0;
}

static __always_inline int answer(bool rewritten)
{
	if (!rewritten)
		return -CORE_NO_ROOM;
	count(ROUTER_ANSWERED);
	return 0;
}

static __always_inline int serve_arp(struct __sk_buff *skb, const struct router_interface *in)
{
	struct neighbour_key sender;
	struct arp_packet arp;
	bool to_us, relayed;
	ip_t address;

	if (!in->has_ipv4)
		return -ROUTER_UNSUPPORTED;
	if (!parse_arp(skb, &arp))
		return -CORE_MALFORMED;
	to_us = arp.target_ip == in->ipv4;
	address = ip_of_ipv4(arp.sender_ip);
	sender = neighbour_key_of(&address, arrived_at(skb));
	relayed = to_us && arp.operation == bpf_htons(ARP_REPLY) &&
		  !mac_is_multicast(&arp.destination) && !is_asked(&sender);
	if (arp.sender_ip)
		learn(&sender, &arp.sender_mac, arrived_at(skb), to_us);
	if (to_us && arp.operation == bpf_htons(ARP_REQUEST))
		return answer(rewrite_to_arp_reply(skb, &arp, &in->mac));
	return relayed ? relay(skb, in, BROADCAST_MAC) : -ROUTER_HEARD;
}

/* The MAC that a message of neighbour discovery gives in its first option. */
static __always_inline bool parse_option(struct __sk_buff *skb, const struct packet *packet,
					 __u8 type, mac_t *mac)
{
	struct {
		__u8 type;
		__u8 length;
		mac_t mac;
	} option;

	if (bpf_skb_load_bytes(skb, packet->payload + sizeof(ip_t), &option, sizeof(option)) ||
	    option.type != type || option.length != 1)
		return false;
	*mac = option.mac;
	return true;
}

static __always_inline int serve_solicitation(struct __sk_buff *skb,
					      const struct router_interface *in,
					      const struct packet *packet)
{
	struct neighbour_key sender = neighbour_key_of(&packet->source, arrived_at(skb));
	ip_t target;
	mac_t mac;

	if (!parse_nd(skb, packet, ICMPV6_NEIGHBOUR_SOLICITATION, &target))
		return -CORE_MALFORMED;
	if (!ip_equals(&target, &in->ipv6) && !ip_equals(&target, &in->link_local))
		return -ROUTER_HEARD;
	if (!ip_is_unspecified(&packet->source) &&
	    parse_option(skb, packet, ND_SOURCE_LINK_ADDRESS, &mac))
		learn(&sender, &mac, arrived_at(skb), true);
	return answer(rewrite_to_nd_reply(skb, &packet->source, &target, &in->mac,
					  ND_ROUTER | ND_OVERRIDE));
}

static __always_inline int serve_advertisement(struct __sk_buff *skb,
					       const struct router_interface *in,
					       const struct packet *packet)
{
	ip_t target, all = ALL_NODES;
	struct neighbour_key sender;
	bool asked;
	mac_t mac;

	if (!parse_nd(skb, packet, ICMPV6_NEIGHBOUR_ADVERTISEMENT, &target))
		return -CORE_MALFORMED;
	sender = neighbour_key_of(&target, arrived_at(skb));
	asked = is_asked(&sender);
	if (parse_option(skb, packet, ND_TARGET_LINK_ADDRESS, &mac))
		learn(&sender, &mac, arrived_at(skb), asked);
	return asked || is_broadcast_frame(skb) ? -ROUTER_HEARD
						: relay(skb, in, multicast_mac(&all));
}

static __always_inline bool solicits_router(const struct packet *packet,
					    const struct router_interface *in)
{
	return in->has_ipv6 && in->advertise && is_router_solicitation(packet);
}

__noinline int advertise(struct __sk_buff *skb, const struct router_interface *in,
			 const struct packet *packet)
{
	if (!in || !packet)
		return -CORE_MALFORMED;
	return answer(rewrite_to_router_advertisement(skb, packet, in));
}

/* Answers, in place of the packet, what is meant for the router itself, or for every station of the
 * link. */
__noinline int serve(struct __sk_buff *skb, const struct router_interface *in,
		     const struct packet *packet)
{
	if (!in || !packet)
		return -CORE_MALFORMED;
	if (packet->ethertype == bpf_htons(ETH_P_ARP))
		return serve_arp(skb, in);
	if (packet->protocol == IPPROTO_ICMPV6 && packet->family == 6 && in->has_ipv6) {
		if (packet->icmp_type == ICMPV6_NEIGHBOUR_SOLICITATION)
			return serve_solicitation(skb, in, packet);
		if (packet->icmp_type == ICMPV6_NEIGHBOUR_ADVERTISEMENT)
			return serve_advertisement(skb, in, packet);
	}
	if (is_broadcast_frame(skb))
		return -ROUTER_MULTICAST;
	if (is_echo_request(packet))
		return answer(rewrite_to_echo_reply(skb, packet));
	return -ROUTER_NOT_SERVED;
}
