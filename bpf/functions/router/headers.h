/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reads what a packet's way depends on, and refuses what no router may forward. */
#pragma once

#include "tables.h"
#include "rewrite.h"

/*
 * Steps return 0 for a packet that goes on, OWN for one that is the router's own business, or why
 * it is lost: a counter, negative.
 */
#define OWN 1

struct headers {
	ip_t source;
	ip_t destination;
	__u32 length; /* of the IP packet; of a GSO packet as a whole */
	__u16 l4;     /* offset of the transport header; 0: a fragment */
	protocol_t protocol;
	__u8 ttl;
};

/* This network, loopback, multicast and reserved: no sender's (RFC 1812 5.3.7). */
static __always_inline bool is_martian_source4(ipv4_t address)
{
	__u8 first = bpf_ntohl(address) >> 24;

	return first == 0 || first == 127 || first >= 224;
}

/* RFC 1812 5.2.2: the sum over a header that carries its own checksum. */
static __always_inline bool has_valid_checksum(struct __sk_buff *skb, const struct iphdr *ip,
					       __u32 header_length)
{
	const __u32 *words = (const void *)ip;
	__u64 sum = (__u64)words[0] + words[1] + words[2] + words[3] + words[4];
	__u16 options[20] = {};

	if (header_length > sizeof(*ip)) {
		if (bpf_skb_load_bytes(skb, L3_OFFSET + sizeof(*ip), options,
				       header_length - sizeof(*ip)))
			return false;
		sum += sum_words(options, sizeof(options));
	}
	return fold_sum(sum) == 0xffff;
}

static __always_inline int read_ipv4(struct __sk_buff *skb, const struct iphdr *ip,
				     struct headers *headers)
{
	__u32 header_length = ip->ihl * 4, length = bpf_ntohs(ip->tot_len);

	if (!length && skb->gso_size) /* larger than 64 KiB: the kernel's BIG TCP */
		length = skb->len - L3_OFFSET;
	if (ip->version != 4 || header_length < sizeof(*ip) || length < header_length ||
	    L3_OFFSET + length > skb->len || !has_valid_checksum(skb, ip, header_length))
		return -CORE_MALFORMED;
	if (is_martian_source4(ip->saddr))
		return -ROUTER_MARTIAN;
	headers->source = ip_of_ipv4(ip->saddr);
	headers->destination = ip_of_ipv4(ip->daddr);
	headers->length = length;
	headers->l4 = ip->frag_off & bpf_htons(IP_OFFSET | IP_MF) ? 0 : L3_OFFSET + header_length;
	headers->protocol = ip->protocol;
	headers->ttl = ip->ttl;
	return 0;
}

/* Unspecified, loopback, what embeds IPv4, and multicast: no station's. */
static __always_inline bool is_martian6(const ip_t *address)
{
	return !address->half[0] || address->byte[0] == 0xff;
}

/* Link-local addresses never leave their link (RFC 4291 2.5.6). */
static __always_inline int read_ipv6(struct __sk_buff *skb, const struct ipv6hdr *ip,
				     const struct router_interface *in, struct headers *headers)
{
	__u32 length = sizeof(*ip) + bpf_ntohs(ip->payload_len);

	if (!ip->payload_len && skb->gso_size)
		length = skb->len - L3_OFFSET;
	if (ip->version != 6 || L3_OFFSET + length > skb->len)
		return -CORE_MALFORMED;
	__builtin_memcpy(&headers->source, &ip->saddr, sizeof(ip_t));
	__builtin_memcpy(&headers->destination, &ip->daddr, sizeof(ip_t));
	if (is_martian6(&headers->source) || is_martian6(&headers->destination))
		return -ROUTER_MARTIAN;
	if (ip_is_link_local(&headers->destination))
		return ip_equals(&headers->destination, &in->link_local) ? OWN : -ROUTER_MARTIAN;
	if (ip_is_link_local(&headers->source))
		return is_own(&headers->destination) ? OWN : -ROUTER_MARTIAN;
	headers->length = length;
	headers->l4 = ip->nexthdr == IPPROTO_FRAGMENT ? 0 : L3_OFFSET + sizeof(*ip);
	headers->protocol = ip->nexthdr;
	headers->ttl = ip->hop_limit;
	return 0;
}

/* Reads what the packet's way depends on. */
static __always_inline int read_headers(struct __sk_buff *skb, const struct router_interface *in,
					struct headers *headers)
{
	void *data, *end;
	struct ethernet *ethernet;

	if (skb->data + L3_OFFSET + sizeof(struct ipv6hdr) > skb->data_end)
		bpf_skb_pull_data(skb, skb->len < L3_OFFSET + sizeof(struct ipv6hdr)
					       ? skb->len
					       : L3_OFFSET + sizeof(struct ipv6hdr));
	data = (void *)(long)skb->data;
	end = (void *)(long)skb->data_end;
	ethernet = data;
	if ((void *)(ethernet + 1) > end)
		return -CORE_MALFORMED;
	if (skb->vlan_present)
		return -ROUTER_UNSUPPORTED;
	if (mac_is_multicast(&ethernet->destination))
		return OWN;
	if (!mac_equals(&ethernet->destination, &in->mac))
		return -ROUTER_NOT_OURS;
	if (ethernet->type == bpf_htons(ETH_P_IP) && in->has_ipv4)
		return data + L3_OFFSET + sizeof(struct iphdr) > end
			       ? -CORE_MALFORMED
			       : read_ipv4(skb, data + L3_OFFSET, headers);
	if (ethernet->type == bpf_htons(ETH_P_IPV6) && in->has_ipv6)
		return data + L3_OFFSET + sizeof(struct ipv6hdr) > end
			       ? -CORE_MALFORMED
			       : read_ipv6(skb, data + L3_OFFSET, in, headers);
	return ethernet->type == bpf_htons(ETH_P_ARP) ? OWN : -ROUTER_UNSUPPORTED;
}
