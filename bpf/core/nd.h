/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* IPv6 neighbour discovery (RFC 4861): solicitations and advertisements, read, and answered in
 * place. */
#pragma once

#include "arp.h"

#define ND_SOURCE_LINK_ADDRESS 1
#define ND_TARGET_LINK_ADDRESS 2
/* A packet with less has come through a router: a forgery. */
#define ND_HOP_LIMIT 255

#define ND_ROUTER    0x80000000U
#define ND_SOLICITED 0x40000000U
#define ND_OVERRIDE  0x20000000U

#define ALL_NODES ((ip_t){.byte = {0xff, 0x02, [15] = 1}})

/* The frame from its first byte on, of a solicitation or advertisement with one link address. */
struct nd_packet {
	mac_t destination;
	mac_t source;
	__be16 ethertype;
	struct ipv6hdr ip;
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be32 flags;
	ip_t target;
	__u8 option;
	__u8 option_length; /* in units of 8 bytes */
	mac_t link_address;
} __attribute__((packed, aligned(2)));

#define ND_MESSAGE_OFFSET offsetof(struct nd_packet, type)
#define ND_MESSAGE_LENGTH (sizeof(struct nd_packet) - ND_MESSAGE_OFFSET)

/* The target of a neighbour solicitation or advertisement (`type`); false if the packet is none, or
 * no valid one. */
static __always_inline bool parse_nd(struct __sk_buff *skb, const struct packet *packet, __u8 type,
				     ip_t *target)
{
	if (packet->family != 6 || packet->fragment != WHOLE ||
	    packet->protocol != IPPROTO_ICMPV6 || packet->icmp_type != type || packet->icmp_code ||
	    packet->ttl != ND_HOP_LIMIT)
		return false;
	return !bpf_skb_load_bytes(skb, packet->payload, target, sizeof(*target)) &&
	       target->byte[0] != 0xff;
}

/* The Ethernet address of an IPv6 multicast address. */
static __always_inline mac_t multicast_mac(const ip_t *group)
{
	mac_t mac = {
		{0x33, 0x33, group->byte[12], group->byte[13], group->byte[14], group->byte[15]}};

	return mac;
}

/* What every message with one link address has in common; `nd` is all zero where nothing is said of
 * it. */
static __always_inline void complete_nd(struct nd_packet *nd, const ip_t *from, const ip_t *to)
{
	nd->ethertype = bpf_htons(ETH_P_IPV6);
	nd->ip.version = 6;
	nd->ip.payload_len = bpf_htons(ND_MESSAGE_LENGTH);
	nd->ip.nexthdr = IPPROTO_ICMPV6;
	nd->ip.hop_limit = ND_HOP_LIMIT;
	__builtin_memcpy(&nd->ip.saddr, from, sizeof(ip_t));
	__builtin_memcpy(&nd->ip.daddr, to, sizeof(ip_t));
	nd->option_length = 1;
	nd->link_address = nd->source;
	nd->checksum = ~fold_sum(sum_pseudo_header(from, to, IPPROTO_ICMPV6, ND_MESSAGE_LENGTH) +
				 sum_words((__u8 *)nd + ND_MESSAGE_OFFSET, ND_MESSAGE_LENGTH));
}

/*
 * Turns a solicitation into the answer that its `target` is at `mac`. `flags`: ND_ROUTER,
 * ND_OVERRIDE. An asker without an address of its own, who only wants to know whether `target` is
 * free, is answered by multicast.
 */
__noinline bool rewrite_to_nd_reply(struct __sk_buff *skb, const ip_t *asker, const ip_t *target,
				    const mac_t *mac, __u32 flags)
{
	struct nd_packet reply = {.type = ICMPV6_NEIGHBOUR_ADVERTISEMENT,
				  .option = ND_TARGET_LINK_ADDRESS};
	ip_t to;

	if (!asker || !target || !mac)
		return false;
	reply.source = *mac;
	reply.target = *target;
	to = *asker;
	if (ip_is_unspecified(&to)) {
		to = ALL_NODES;
		reply.destination = multicast_mac(&to);
	} else {
		flags |= ND_SOLICITED;
		if (bpf_skb_load_bytes(skb, offsetof(struct ethernet, source), &reply.destination,
				       ETH_ALEN))
			return false;
	}
	reply.flags = bpf_htonl(flags);
	complete_nd(&reply, target, &to);
	return store_answer(skb, &reply, sizeof(reply));
}
