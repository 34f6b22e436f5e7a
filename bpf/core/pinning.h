/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whether a workload speaks for itself: its packets, ARP and neighbour discovery name no MAC and no
 * address but its own. */
#pragma once

#include "nd.h"
#include "graph.h"

struct workload_ip {
	ip_t ip;
	__u32 workload;
	__u32 reserved;
};

/* The addresses of pinned workload ports. Their link-local addresses follow from their MACs. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WORKLOADS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct workload_ip);
	__type(value, __u8);
} workload_ips SEC(".maps");

/* RFC 4291, appendix A. */
static __always_inline bool is_link_local_of(const ip_t *ip, const mac_t *mac)
{
	ip_t own = {.byte = {0xfe, 0x80, [8] = mac->byte[0] ^ 2, mac->byte[1], mac->byte[2], 0xff,
			     0xfe, mac->byte[3], mac->byte[4], mac->byte[5]}};

	return ip_equals(ip, &own);
}

static __always_inline bool is_own_ip(__u32 id, const mac_t *mac, const ip_t *ip)
{
	struct workload_ip key = {.ip = *ip, .workload = id};

	return bpf_map_lookup_elem(&workload_ips, &key) || is_link_local_of(ip, mac);
}

/* A probe (RFC 5227) has no sender's address; what it asks for must be its own then. */
static __always_inline bool is_own_arp(struct __sk_buff *skb, __u32 id, const mac_t *mac)
{
	struct arp_packet arp;
	ip_t ip;

	if (!parse_arp(skb, &arp) || !mac_equals(&arp.sender_mac, mac))
		return false;
	ip = ip_of_ipv4(arp.sender_ip ? arp.sender_ip : arp.target_ip);
	return is_own_ip(id, mac, &ip);
}

/* Options that are looked through; a message with more is not believed. */
#define ND_OPTIONS_MAX 4

/* Whether no link address that a neighbour discovery message offers is another's. */
static __always_inline bool offers_own_mac(struct __sk_buff *skb, const struct packet *packet,
					   __u32 offset, const mac_t *mac)
{
	struct {
		__u8 type;
		__u8 length; /* in units of 8 bytes */
		mac_t mac;
	} option;

	for (int i = 0; i < ND_OPTIONS_MAX; i++) {
		if (offset + sizeof(option) > packet->l3 + packet->length)
			return true;
		if (bpf_skb_load_bytes(skb, offset, &option, sizeof(option)) || !option.length)
			return false;
		if ((option.type == ND_SOURCE_LINK_ADDRESS ||
		     option.type == ND_TARGET_LINK_ADDRESS) &&
		    !mac_equals(&option.mac, mac))
			return false;
		offset += option.length * 8;
	}
	return false;
}

/* Solicitations, advertisements, and no router's work: that is the graph's. */
static __always_inline bool is_own_discovery(struct __sk_buff *skb, const struct packet *packet,
					     __u32 id, const mac_t *mac)
{
	__u32 option = packet->payload;
	ip_t target;

	switch (packet->icmp_type) {
	case ICMPV6_NEIGHBOUR_ADVERTISEMENT:
		return parse_nd(skb, packet, packet->icmp_type, &target) &&
		       is_own_ip(id, mac, &target) &&
		       offers_own_mac(skb, packet, option + sizeof(target), mac);
	case ICMPV6_NEIGHBOUR_SOLICITATION:
		if (!parse_nd(skb, packet, packet->icmp_type, &target))
			return false;
		/* Without a source it asks whether the target may become its own. */
		if (ip_is_unspecified(&packet->source))
			return is_own_ip(id, mac, &target);
		return offers_own_mac(skb, packet, option + sizeof(target), mac);
	case ICMPV6_ROUTER_SOLICITATION:
		return offers_own_mac(skb, packet, option, mac);
	case ICMPV6_ROUTER_ADVERTISEMENT:
	case ICMPV6_REDIRECT:
		return false;
	default:
		return true;
	}
}

/* Before it has an address a workload may ask for one, and say which groups it listens to. */
static __always_inline bool speaks_without_address(const struct packet *packet)
{
	if (packet->family == 4)
		return packet->protocol == IPPROTO_UDP &&
		       packet->source_port == bpf_htons(BOOTP_CLIENT) &&
		       packet->destination_port == bpf_htons(BOOTP_SERVER);
	return is_icmp(packet) && ip_is_multicast(&packet->destination);
}

static __always_inline bool is_own_packet(struct __sk_buff *skb, const struct packet *packet,
					  __u32 id, const mac_t *mac)
{
	if (packet->family == 6 && is_icmp(packet) && !is_own_discovery(skb, packet, id, mac))
		return false;
	if (ip_is_unspecified(&packet->source))
		return speaks_without_address(packet);
	return is_own_ip(id, mac, &packet->source);
}

/* Whether the packet is truly from the workload port `id`, whose MAC is `mac`. Frames other than IP
 * and ARP cannot tell, and are not. */
static __always_inline bool is_own(struct __sk_buff *skb, __u32 id, const mac_t *mac)
{
	struct packet packet;
	mac_t source;

	if (bpf_skb_load_bytes(skb, offsetof(struct ethernet, source), &source, sizeof(source)) ||
	    !mac_equals(&source, mac) || !parse_packet(skb, &packet))
		return false;
	if (packet.ethertype == bpf_htons(ETH_P_ARP))
		return is_own_arp(skb, id, mac);
	return packet.family && is_own_packet(skb, &packet, id, mac);
}

/* Apart, as few ports are pinned. */
static __noinline bool is_spoofed(struct __sk_buff *skb, __u32 id, const struct workload *workload)
{
	return !workload || !is_own(skb, id, &workload->mac);
}
