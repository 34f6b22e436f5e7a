/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* VXLAN (RFC 7348): its headers, and the way through the kernel's own vxlan device, which carries
 * what they cannot. */
#pragma once

#include "packet.h"
#include "road.h"

#define VXLAN_HAS_VNI	0x08000000U
#define VXLAN_VNI_SHIFT 8
#define TUNNEL_TTL	64

/* Explicit congestion notification, in the two low bits of TOS and traffic class. */
#define ECN_MASK      3
#define ECN_CONGESTED 3

/* Since Linux 6.3; <linux/bpf.h> may be older. */
#define ADJ_ROOM_DECAP_L3_IPV4 (1ULL << 7)
#define ADJ_ROOM_DECAP_L3_IPV6 (1ULL << 8)

struct vxlan_header {
	__be32 flags;
	__be32 vni;
};

/* The frame from its first byte on, up to the workload's IP packet. */
struct vxlan_headers {
	struct ethernet ethernet;
	struct iphdr ip;
	struct udphdr udp;
	struct vxlan_header vxlan;
	struct ethernet inner;
} __attribute__((packed, aligned(2)));

/* The same over IPv6. */
struct vxlan_headers_ipv6 {
	struct ethernet ethernet;
	struct ipv6hdr ip;
	struct udphdr udp;
	struct vxlan_header vxlan;
	struct ethernet inner;
} __attribute__((packed, aligned(2)));

static __always_inline bool is_ip(const struct ethernet *ethernet)
{
	return ethernet->type == bpf_htons(ETH_P_IP) || ethernet->type == bpf_htons(ETH_P_IPV6);
}

/* What stands before the inner frame where the outer one's Ethernet header is not counted; before
 * the inner IP packet, all the same. */
#define VXLAN_OVERHEAD	    (sizeof(struct vxlan_headers) - sizeof(struct ethernet))
#define VXLAN_OVERHEAD_IPV6 (sizeof(struct vxlan_headers_ipv6) - sizeof(struct ethernet))

/*
 * How bpf_skb_adjust_room makes and takes the room of the outer headers. The inner L2 length is 14,
 * though 22 bytes with the VXLAN header stand before the inner packet: with 22 the kernel loses
 * every GSO packet when it segments it.
 */
#define ENCAPSULATION_IN(l3)                                              \
	(BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET | (l3) | \
	 BPF_F_ADJ_ROOM_ENCAP_L4_UDP | BPF_F_ADJ_ROOM_ENCAP_L2_ETH |      \
	 BPF_F_ADJ_ROOM_ENCAP_L2((__u64)ETH_HLEN))
#define ENCAPSULATION	   ENCAPSULATION_IN(BPF_F_ADJ_ROOM_ENCAP_L3_IPV4)
#define ENCAPSULATION_IPV6 ENCAPSULATION_IN(BPF_F_ADJ_ROOM_ENCAP_L3_IPV6)
#define DECAPSULATION	   (BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET)

/* Tells the kernel's vxlan device where the packet goes that is about to be sent through it. */
static __always_inline bool set_tunnel(struct __sk_buff *skb, const struct host *self,
				       const struct peer *peer, vni_t vni)
{
	struct bpf_tunnel_key key = {.tunnel_id = vni, .tunnel_ttl = TUNNEL_TTL};
	__u64 flags = BPF_F_ZERO_CSUM_TX;

	if (ip_is_ipv4(&peer->vtep)) {
		key.remote_ipv4 = bpf_ntohl(peer->vtep.word[3]);
		key.local_ipv4 = bpf_ntohl(self->vtep.word[3]);
	} else {
		*(ip_t *)key.remote_ipv6 = peer->vtep;
		*(ip_t *)key.local_ipv6 = self->vtep;
		flags = BPF_F_TUNINFO_IPV6;
	}
	return bpf_skb_set_tunnel_key(skb, &key, sizeof(key), flags) == 0;
}
