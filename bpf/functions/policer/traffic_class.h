/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A packet's traffic class, which IPv4 calls type of service: DSCP (RFC 2474) and ECN (RFC 3168).
 */
#pragma once

#include "packet.h"
#include "rewrite.h"

#define ECN_BITS    2
#define ECN_NOT_ECT 0
#define ECN_CE	    3
#define ECN_MASK    3

struct traffic_class {
	__u8 family; /* 4, 6, or 0: not IP */
	__u8 bits;   /* DSCP << ECN_BITS | ECN */
};

/* The first 16 bits of an IP header, in which both versions have the class. */
static __always_inline bool read_first_word(struct __sk_buff *skb, __u16 *word)
{
	__u8 buffer[2], *bytes = read_bytes(skb, L3_OFFSET, buffer, sizeof(buffer));

	if (!bytes)
		return false;
	*word = bytes[0] << 8 | bytes[1];
	return true;
}

static __always_inline struct traffic_class read_traffic_class(struct __sk_buff *skb)
{
	struct traffic_class class = {};
	struct ethernet buffer, *ethernet;
	__u16 word;

	if (skb->vlan_present)
		return class;
	ethernet = read_bytes(skb, 0, &buffer, sizeof(buffer));
	if (!ethernet)
		return class;
	if (ethernet->type == bpf_htons(ETH_P_IP))
		class.family = 4;
	else if (ethernet->type == bpf_htons(ETH_P_IPV6))
		class.family = 6;
	if (!class.family || !read_first_word(skb, &word))
		return (struct traffic_class){};
	class.bits = class.family == 4 ? word : word >> 4;
	return class;
}

/* Gives an IP packet another class. What a device has summed up of it (CHECKSUM_COMPLETE) stays
 * true. */
static __always_inline bool rewrite_traffic_class(struct __sk_buff *skb,
						  const struct traffic_class *class)
{
	__u16 word;
	__be16 before, after;

	if (!read_first_word(skb, &word))
		return false;
	before = bpf_htons(word);
	if (class->family == 6) {
		after = bpf_htons((word & 0xf00f) | class->bits << 4);
		return !bpf_skb_store_bytes(skb, L3_OFFSET, &after, sizeof(after),
					    BPF_F_RECOMPUTE_CSUM);
	}
	after = bpf_htons((word & 0xff00) | class->bits);
	return !bpf_l3_csum_replace(skb, L3_OFFSET + offsetof(struct iphdr, check), before, after,
				    sizeof(after)) &&
	       !bpf_skb_store_bytes(skb, L3_OFFSET, &after, sizeof(after), 0);
}
