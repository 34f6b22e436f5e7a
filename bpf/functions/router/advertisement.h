/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Router advertisements (RFC 4861 4.2), as answers to solicitations. */
#pragma once

#include "tables.h"
#include "nd.h"
#include "resize.h"

#define ND_MTU		    5
#define ND_PREFIX	    3
#define OTHER_CONFIGURATION 0x40
#define PREFIX_ON_LINK	    0x80
#define PREFIX_AUTONOMOUS   0x40

/* What hosts are told to put into the packets that they send. */
#define HOST_HOP_LIMIT 64
/* Nothing here sends advertisements by the clock, so what is told holds for as long as it can be
 * told: 18 hours (RFC 8319) and for ever. */
#define ROUTER_LIFETIME 65535
#define PREFIX_LIFETIME 0xffffffff

/* The frame from its first byte on. */
struct router_advertisement {
	mac_t destination;
	mac_t source;
	__be16 ethertype;
	struct ipv6hdr ip;
	__u8 type;
	__u8 code;
	__be16 checksum;
	__u8 hop_limit;
	__u8 flags;
	__be16 lifetime; /* seconds */
	__be32 reachable_time;
	__be32 retransmit_time;
	struct {
		__u8 option;
		__u8 length; /* in units of 8 bytes, here and below */
		mac_t address;
	} link;
	struct {
		__u8 option;
		__u8 length;
		__be16 reserved;
		__be32 mtu;
	} mtu;
	struct {
		__u8 option;
		__u8 length;
		__u8 prefix_length;
		__u8 flags;
		__be32 valid;
		__be32 preferred; /* seconds */
		__be32 reserved;
		ip_t prefix;
	} prefix;
} __attribute__((packed));

#define ADVERTISEMENT_OFFSET offsetof(struct router_advertisement, type)
#define ADVERTISEMENT_LENGTH (sizeof(struct router_advertisement) - ADVERTISEMENT_OFFSET)

/* RFC 4861 6.1.1, as far as parse_packet() has not seen to it. */
static __always_inline bool is_router_solicitation(const struct packet *packet)
{
	return packet->family == 6 && packet->protocol == IPPROTO_ICMPV6 &&
	       packet->fragment == WHOLE && packet->icmp_type == ICMPV6_ROUTER_SOLICITATION &&
	       !packet->icmp_code && packet->ttl == ND_HOP_LIMIT;
}

/* Turns a router solicitation into the answer to its sender or, where it has no address yet, to
 * all. */
static __always_inline bool rewrite_to_router_advertisement(struct __sk_buff *skb,
							    const struct packet *packet,
							    const struct router_interface *in)
{
	struct router_advertisement reply = {
		.source = in->mac,
		.ethertype = bpf_htons(ETH_P_IPV6),
		.ip = {.version = 6,
		       .payload_len = bpf_htons(ADVERTISEMENT_LENGTH),
		       .nexthdr = IPPROTO_ICMPV6,
		       .hop_limit = ND_HOP_LIMIT},
		.type = ICMPV6_ROUTER_ADVERTISEMENT,
		.hop_limit = HOST_HOP_LIMIT,
		.flags = in->stateless_dhcp ? OTHER_CONFIGURATION : 0,
		.lifetime = bpf_htons(ROUTER_LIFETIME),
		.link = {.option = ND_SOURCE_LINK_ADDRESS, .length = 1, .address = in->mac},
		.mtu = {.option = ND_MTU, .length = 1, .mtu = bpf_htonl(in->mtu)},
		.prefix =
			{
				.option = ND_PREFIX,
				.length = 4,
				.prefix_length = in->ipv6_subnet.length,
				.flags = PREFIX_ON_LINK | (in->autonomous ? PREFIX_AUTONOMOUS : 0),
				.valid = PREFIX_LIFETIME,
				.preferred = PREFIX_LIFETIME,
				.prefix = in->ipv6_subnet.address,
			},
	};
	ip_t from = in->link_local, to = packet->source;

	if (ip_is_unspecified(&to)) {
		to = ALL_NODES;
		reply.destination = multicast_mac(&to);
	} else if (bpf_skb_load_bytes(skb, offsetof(struct ethernet, source), &reply.destination,
				      ETH_ALEN)) {
		return false;
	}
	__builtin_memcpy(&reply.ip.saddr, &from, sizeof(ip_t));
	__builtin_memcpy(&reply.ip.daddr, &to, sizeof(ip_t));
	reply.checksum =
		~fold_sum(sum_pseudo_header(&from, &to, IPPROTO_ICMPV6, ADVERTISEMENT_LENGTH) +
			  sum_words((__u8 *)&reply + ADVERTISEMENT_OFFSET, ADVERTISEMENT_LENGTH));
	return resize_packet(skb, sizeof(reply)) && store_frame(skb, &reply, sizeof(reply));
}
