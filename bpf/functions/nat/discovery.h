/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What stays on its link, and the answers to those inside who look for an outside address: what
 * they send there comes back to the inside. */
#pragma once

#include "tables.h"
#include "nd.h"

/* Multicast listener, router and neighbour discovery. */
#define DISCOVERY_FIRST 130
#define DISCOVERY_LAST	137

/* Whether a packet is for the next station only, and so is not translated. */
static __always_inline bool stays_on_link(const struct packet *packet)
{
	if (ip_is_multicast(&packet->destination) || ip_is_unspecified(&packet->source) ||
	    ip_is_link_local(&packet->source) || ip_is_link_local(&packet->destination))
		return true;
	return packet->family == 6 && packet->fragment != LATER_FRAGMENT && is_icmp(packet) &&
	       packet->icmp_type >= DISCOVERY_FIRST && packet->icmp_type <= DISCOVERY_LAST;
}

/* Turns an ARP request for an outside address into its answer. */
__noinline bool answer_arp(struct __sk_buff *skb)
{
	__u32 zero = 0;
	const mac_t *mac = bpf_map_lookup_elem(&identity, &zero);
	struct arp_packet arp;
	ip_t target;

	if (!mac || !parse_arp(skb, &arp) || arp.operation != bpf_htons(ARP_REQUEST) ||
	    !arp.sender_ip || arp.sender_ip == arp.target_ip)
		return false;
	target = ip_of_ipv4(arp.target_ip);
	return is_outside_ip(&target) && rewrite_to_arp_reply(skb, &arp, mac);
}

/* The same of a neighbour solicitation, unless it only asks whether the address is free. */
__noinline bool answer_solicitation(struct __sk_buff *skb, const struct packet *packet)
{
	__u32 zero = 0;
	const mac_t *mac = bpf_map_lookup_elem(&identity, &zero);
	ip_t target;

	if (!mac || !packet || ip_is_unspecified(&packet->source) ||
	    !parse_nd(skb, packet, ICMPV6_NEIGHBOUR_SOLICITATION, &target))
		return false;
	return is_outside_ip(&target) &&
	       rewrite_to_nd_reply(skb, &packet->source, &target, mac, ND_ROUTER | ND_OVERRIDE);
}
