/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Questions after a neighbour's link address, written over the packet that waits for it. */
#pragma once

#include "nd.h"
#include "resize.h"

/*
 * Turns any packet into a broadcast request for `target`. The kernel goes on believing in the
 * packet's old EtherType: where that was another one, the request may leave by a clone, a device or
 * the overlay, not by redirect_peer. flood() and the replica device see to that.
 */
__noinline bool rewrite_to_arp_request(struct __sk_buff *skb, const mac_t *mac, ipv4_t ip,
				       ipv4_t target)
{
	struct arp_packet request = {
		.destination = BROADCAST_MAC,
		.ethertype = bpf_htons(ETH_P_ARP),
		.hardware_type = bpf_htons(ARP_ETHERNET),
		.protocol_type = bpf_htons(ETH_P_IP),
		.hardware_length = ETH_ALEN,
		.protocol_length = sizeof(ipv4_t),
		.operation = bpf_htons(ARP_REQUEST),
		.sender_ip = ip,
		.target_ip = target,
	};

	if (!mac)
		return false;
	request.source = *mac;
	request.sender_mac = *mac;
	return resize_packet(skb, sizeof(request)) && store_frame(skb, &request, sizeof(request));
}

/* Turns any packet into a multicast solicitation for `target`; see rewrite_to_arp_request() for
 * where such a packet may go. */
__noinline bool rewrite_to_nd_request(struct __sk_buff *skb, const mac_t *mac, const ip_t *ip,
				      const ip_t *target)
{
	struct nd_packet request = {.type = ICMPV6_NEIGHBOUR_SOLICITATION,
				    .option = ND_SOURCE_LINK_ADDRESS};
	ip_t group = {.byte = {0xff, 0x02, [11] = 1, [12] = 0xff}};

	if (!mac || !ip || !target)
		return false;
	request.source = *mac;
	request.target = *target;
	group.byte[13] = target->byte[13];
	group.byte[14] = target->byte[14];
	group.byte[15] = target->byte[15];
	request.destination = multicast_mac(&group);
	complete_nd(&request, ip, &group);
	return resize_packet(skb, sizeof(request)) && store_frame(skb, &request, sizeof(request));
}
