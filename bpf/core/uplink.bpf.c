// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Where packets of other hosts enter the graph: tcx ingress of the uplink, and of the kernel's
// vxlan device behind it.
#include <linux/if_packet.h>
#include "tunnel.h"

/*
 * The VXLAN packet at the uplink that this host can open by itself: for our address, whole, over
 * IPv4 without options, with IP inside, and without word of congestion, which would have to be
 * passed on. NULL: it is the kernel's, which may bring it to program `vxlan`.
 */
static __always_inline const struct vxlan_headers *read_vxlan(struct __sk_buff *skb,
							      const struct host *self)
{
	const struct vxlan_headers *headers;

	if (frame_start(skb) + sizeof(*headers) > frame_end(skb) && skb->len >= sizeof(*headers))
		bpf_skb_pull_data(skb, sizeof(*headers));
	headers = frame_start(skb);
	if ((void *)(headers + 1) > frame_end(skb) || skb->pkt_type != PACKET_HOST ||
	    skb->vlan_present)
		return NULL;
	if (headers->ethernet.type != bpf_htons(ETH_P_IP) || headers->ip.version != 4 ||
	    headers->ip.ihl != 5 || headers->ip.protocol != IPPROTO_UDP ||
	    headers->ip.frag_off & bpf_htons(IP_MF | IP_OFFSET))
		return NULL;
	if (headers->udp.dest != self->vxlan_port || headers->ip.daddr != self->vtep.word[3] ||
	    !(headers->vxlan.flags & bpf_htonl(VXLAN_HAS_VNI)))
		return NULL;
	if ((headers->ip.tos & ECN_MASK) == ECN_CONGESTED)
		return NULL;
	if (!is_ip(&headers->inner))
		return NULL;
	return headers;
}

/* Takes the outer headers away, and tells the kernel what is inside. False: nothing has changed. */
static __always_inline bool decapsulate(struct __sk_buff *skb, const struct ethernet *inner)
{
	__u64 flags = DECAPSULATION;

	if (inner->type == bpf_htons(ETH_P_IPV6))
		flags |= ADJ_ROOM_DECAP_L3_IPV6;
	return !bpf_skb_adjust_room(skb, -(__s32)VXLAN_OVERHEAD, BPF_ADJ_ROOM_MAC, flags);
}

SEC("tc") int uplink(struct __sk_buff *skb)
{
	const struct host *self = lookup_host();
	const struct vxlan_headers *headers;
	const struct tunnel *tunnel;
	struct ethernet inner;
	ip_t remote;

	if (!self)
		return TC_ACT_UNSPEC;
	headers = read_vxlan(skb, self);
	if (!headers)
		return TC_ACT_UNSPEC;
	remote = ip_of_ipv4(headers->ip.saddr);
	tunnel = lookup_tunnel(bpf_ntohl(headers->vxlan.vni) >> VXLAN_VNI_SHIFT, &remote);
	if (!tunnel || tunnel->by_kernel)
		return TC_ACT_UNSPEC; /* a VXLAN of others, or not for here */
	inner = headers->inner;
	if (unlikely(!decapsulate(skb, &inner)))
		return TC_ACT_UNSPEC; /* a train of datagrams: the kernel can */
	if (unlikely(bpf_skb_store_bytes(skb, 0, &inner, sizeof(inner), 0)))
		return drop(skb, CORE_NO_ROOM);
	begin(skb, 0, 0, tunnel->peer);
	return leave(skb, read_attachment(&tunnel->network));
}

/* The tunnel by which the kernel's vxlan device got the packet. */
static __always_inline const struct tunnel *lookup_kernel_tunnel(struct __sk_buff *skb)
{
	struct bpf_tunnel_key key;
	ip_t remote;

	if (!bpf_skb_get_tunnel_key(skb, &key, sizeof(key), 0))
		remote = ip_of_ipv4(bpf_htonl(key.remote_ipv4));
	else if (!bpf_skb_get_tunnel_key(skb, &key, sizeof(key), BPF_F_TUNINFO_IPV6))
		remote = *(ip_t *)key.remote_ipv6;
	else
		return NULL;
	return lookup_tunnel(key.tunnel_id, &remote);
}

SEC("tc") int vxlan(struct __sk_buff *skb)
{
	const struct tunnel *tunnel = lookup_kernel_tunnel(skb);

	if (!tunnel)
		return drop(skb, CORE_NO_TUNNEL);
	begin(skb, 0, 0, tunnel->peer);
	return leave(skb, read_attachment(&tunnel->network));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
