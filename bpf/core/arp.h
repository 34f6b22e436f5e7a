/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ARP over Ethernet for IPv4 (RFC 826): read, and answered in place. */
#pragma once

#include "rewrite.h"

#define BROADCAST_MAC ((mac_t){{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}})

#define ARP_ETHERNET 1

enum arp_operation {
	ARP_REQUEST = 1,
	ARP_REPLY = 2,
};

/* The frame from its first byte on, padded to the least that Ethernet carries. */
struct arp_packet {
	mac_t destination;
	mac_t source;
	__be16 ethertype;
	__be16 hardware_type;
	__be16 protocol_type;
	__u8 hardware_length;
	__u8 protocol_length;
	__be16 operation; /* enum arp_operation */
	mac_t sender_mac;
	ipv4_t sender_ip; /* 0: the sender probes whether target_ip is free (RFC 5227) */
	mac_t target_mac;
	ipv4_t target_ip;
	__u8 padding[18];
} __attribute__((packed, aligned(2)));

#define ARP_LENGTH offsetof(struct arp_packet, padding)

static __always_inline bool mac_equals(const mac_t *a, const mac_t *b)
{
	return *(__u32 *)a->byte == *(__u32 *)b->byte &&
	       *(__u16 *)(a->byte + 4) == *(__u16 *)(b->byte + 4);
}

/* Broadcast included. */
static __always_inline bool mac_is_multicast(const mac_t *mac)
{
	return mac->byte[0] & 1;
}

/* IEEE 802.1D table 7-10: spanning tree, flow control and their like are for the next device only.
 */
static __always_inline bool mac_is_reserved(const mac_t *mac)
{
	static const mac_t first = {{0x01, 0x80, 0xc2, 0x00, 0x00, 0x00}};
	mac_t masked = *mac;

	masked.byte[5] &= 0xf0;
	return mac_equals(&masked, &first);
}

/* Reads a packet whose EtherType is ARP. False if it is cut short or not about IPv4 on Ethernet. */
static __always_inline bool parse_arp(struct __sk_buff *skb, struct arp_packet *arp)
{
	__builtin_memset(arp->padding, 0, sizeof(arp->padding));
	return !bpf_skb_load_bytes(skb, 0, arp, ARP_LENGTH) &&
	       arp->hardware_type == bpf_htons(ARP_ETHERNET) &&
	       arp->protocol_type == bpf_htons(ETH_P_IP) && arp->hardware_length == ETH_ALEN &&
	       arp->protocol_length == sizeof(ipv4_t);
}

/* Turns a request into the answer that its target_ip is at `mac`. */
__noinline bool rewrite_to_arp_reply(struct __sk_buff *skb, const struct arp_packet *request,
				     const mac_t *mac)
{
	struct arp_packet reply;

	if (!request || !mac)
		return false;
	reply = *request;
	reply.destination = request->sender_mac;
	reply.source = *mac;
	reply.operation = bpf_htons(ARP_REPLY);
	reply.sender_mac = *mac;
	reply.sender_ip = request->target_ip;
	reply.target_mac = request->sender_mac;
	reply.target_ip = request->sender_ip;
	return store_answer(skb, &reply, sizeof(reply));
}
