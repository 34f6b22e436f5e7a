// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Where packets of other hosts enter the graph: tcx ingress of the uplink, and of the kernel's
// vxlan device behind it.
#include <linux/if_packet.h>
#include "tunnel.h"

/* A station of a network. Keys have no padding. */
struct station {
	vni_t vni;
	mac_t mac;
	__u16 reserved;
};

/* Workloads behind veths, with nothing before them that leads to other devices, in networks whose
 * tunnels are `by_kernel`. Written by the agent. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, WORKLOADS_MAX);
	__type(key, struct station);
	__type(value, __u8);
} veth_stations SEC(".maps");

/* What the outer headers say of a VXLAN packet. */
struct arrival {
	ip_t remote;
	vni_t vni;
	__u16 overhead; /* bytes of the outer headers, from the outer IP header on */
	bool_t summed;	/* UDP's checksum covers the packet */
	struct ethernet inner;
};

/* The frame's first `size` bytes, a constant. NULL: it is shorter, or the kernel has no room. */
static __always_inline const void *read_start(struct __sk_buff *skb, __u32 size)
{
	const void *start;

	if (frame_start(skb) + size > frame_end(skb) && skb->len >= size)
		bpf_skb_pull_data(skb, size);
	start = frame_start(skb);
	return start + size > frame_end(skb) ? NULL : start;
}

/* What stands behind the outer IP header, of either family. False: it is none of our VXLAN. */
static __always_inline bool read_udp(const struct udphdr *udp, const struct host *self,
				     struct arrival *arrival)
{
	const struct vxlan_header *vxlan = (void *)(udp + 1);
	const struct ethernet *inner = (void *)(vxlan + 1);

	if (udp->dest != self->vxlan_port || !(vxlan->flags & bpf_htonl(VXLAN_HAS_VNI)) ||
	    !is_ip(inner))
		return false;
	arrival->vni = bpf_ntohl(vxlan->vni) >> VXLAN_VNI_SHIFT;
	arrival->summed = udp->check != 0;
	arrival->inner = *inner;
	return true;
}

static __always_inline bool read_ipv4(struct __sk_buff *skb, const struct host *self,
				      struct arrival *arrival)
{
	const struct vxlan_headers *headers = read_start(skb, sizeof(*headers));

	if (!headers || headers->ip.version != 4 || headers->ip.ihl != 5 ||
	    headers->ip.protocol != IPPROTO_UDP ||
	    headers->ip.frag_off & bpf_htons(IP_MF | IP_OFFSET) ||
	    headers->ip.daddr != self->vtep.word[3] ||
	    (headers->ip.tos & ECN_MASK) == ECN_CONGESTED)
		return false;
	arrival->remote = ip_of_ipv4(headers->ip.saddr);
	arrival->overhead = VXLAN_OVERHEAD;
	return read_udp(&headers->udp, self, arrival);
}

/* The kernel refuses UDP over IPv6 without a checksum, RFC 7348 (section 5) accepts it. */
static __noinline bool read_ipv6(struct __sk_buff *skb, const struct host *self,
				 struct arrival *arrival)
{
	const struct vxlan_headers_ipv6 *headers = read_start(skb, sizeof(*headers));

	if (!headers || headers->ip.version != 6 || headers->ip.nexthdr != IPPROTO_UDP ||
	    !ip_equals((const ip_t *)(const void *)&headers->ip.daddr, &self->vtep) ||
	    (headers->ip.flow_lbl[0] >> 4 & ECN_MASK) == ECN_CONGESTED)
		return false;
	arrival->remote = *(const ip_t *)(const void *)&headers->ip.saddr;
	arrival->overhead = VXLAN_OVERHEAD_IPV6;
	return read_udp(&headers->udp, self, arrival);
}

/*
 * Reads a VXLAN packet at the uplink that this host can open by itself: for our address, whole,
 * without IP options or extension headers, with IP inside, and without word of congestion, which
 * would have to be passed on. False: it is the kernel's, which may bring it to program `vxlan`.
 */
static __always_inline bool read_vxlan(struct __sk_buff *skb, const struct host *self,
				       struct arrival *arrival)
{
	if (skb->pkt_type != PACKET_HOST || skb->vlan_present)
		return false;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return read_ipv4(skb, self, arrival);
	return skb->protocol == bpf_htons(ETH_P_IPV6) && read_ipv6(skb, self, arrival);
}

/*
 * Takes the outer headers away, and tells the kernel what is inside, and that what a device has
 * found of a checksum was about the outer one. False: nothing has changed.
 */
static __always_inline bool decapsulate(struct __sk_buff *skb, const struct arrival *arrival)
{
	__u64 flags = DECAPSULATION;

	flags |= arrival->inner.type == bpf_htons(ETH_P_IPV6) ? ADJ_ROOM_DECAP_L3_IPV6
							      : ADJ_ROOM_DECAP_L3_IPV4;
	if (unlikely(bpf_skb_adjust_room(skb, -(__s32)arrival->overhead, BPF_ADJ_ROOM_MAC, flags)))
		return false;
	if (arrival->summed)
		bpf_csum_level(skb, BPF_CSUM_LEVEL_DEC);
	return true;
}

/*
 * A train of datagrams is the kernel's to open: even a socket that receives it has it cut, see
 * struct tunnel.
 */
static __noinline bool is_train_of_datagrams(struct __sk_buff *skb, const struct arrival *arrival)
{
	__u32 offset = ETH_HLEN + arrival->overhead;
	protocol_t protocol;

	offset += arrival->inner.type == bpf_htons(ETH_P_IPV6) ? offsetof(struct ipv6hdr, nexthdr)
							       : offsetof(struct iphdr, protocol);
	return bpf_skb_load_bytes(skb, offset, &protocol, sizeof(protocol)) ||
	       protocol == IPPROTO_UDP;
}

static __noinline bool is_for_veth(const struct arrival *arrival)
{
	struct station station = {.vni = arrival->vni, .mac = arrival->inner.destination};

	return bpf_map_lookup_elem(&veth_stations, &station);
}

static __always_inline bool is_for_kernel(struct __sk_buff *skb, const struct tunnel *tunnel,
					  const struct arrival *arrival)
{
	return (tunnel->by_kernel && !is_for_veth(arrival)) ||
	       (skb->gso_size && is_train_of_datagrams(skb, arrival));
}

SEC("tc") int uplink(struct __sk_buff *skb)
{
	const struct host *self = lookup_host();
	const struct tunnel *tunnel;
	struct arrival arrival;

	if (!self || !read_vxlan(skb, self, &arrival))
		return TC_ACT_UNSPEC;
	tunnel = lookup_tunnel(arrival.vni, &arrival.remote);
	if (!tunnel || is_for_kernel(skb, tunnel, &arrival))
		return TC_ACT_UNSPEC; /* a VXLAN of others, or not for here */
	if (unlikely(!decapsulate(skb, &arrival)))
		return TC_ACT_UNSPEC;
	if (unlikely(bpf_skb_store_bytes(skb, 0, &arrival.inner, sizeof(arrival.inner), 0)))
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
