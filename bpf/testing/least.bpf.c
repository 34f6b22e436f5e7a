// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The least that can carry packets of one workload to one other host: VXLAN, and nothing besides.
// No overlay can be faster; to measure ours against.
#include "rewrite.h"
#include "tunnel.h"

/* IANA's. */
#define VXLAN_PORT 4789

struct ends {
	ipv4_t local;
	ipv4_t remote;
	mac_t source;
	mac_t next_hop;
	ifindex_t uplink;
	ifindex_t workload; /* the host's end of its veth */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ends);
} ends SEC(".maps");

/* Tcx ingress of the host's end of the workload's veth. */
SEC("tc") int out(struct __sk_buff *skb)
{
	__u32 zero = 0, length = skb->len + VXLAN_OVERHEAD - sizeof(struct ethernet);
	const struct ends *to = bpf_map_lookup_elem(&ends, &zero);
	struct ethernet *inner = frame_start(skb);
	struct vxlan_headers headers = {
		.ethernet.type = bpf_htons(ETH_P_IP),
		.ip.version = 4,
		.ip.ihl = 5,
		.ip.tot_len = bpf_htons(length),
		.ip.frag_off = bpf_htons(IP_DF),
		.ip.ttl = TUNNEL_TTL,
		.ip.protocol = IPPROTO_UDP,
		.udp.source = bpf_htons(0xc000),
		.udp.dest = bpf_htons(VXLAN_PORT),
		.udp.len = bpf_htons(length - sizeof(struct iphdr)),
		.vxlan.flags = bpf_htonl(VXLAN_HAS_VNI),
	};

	if (!to || (void *)(inner + 1) > frame_end(skb))
		return drop(skb, CORE_NO_ROOM);
	headers.inner = *inner;
	headers.ethernet.destination = to->next_hop;
	headers.ethernet.source = to->source;
	headers.ip.saddr = to->local;
	headers.ip.daddr = to->remote;
	headers.ip.check = ~fold_sum(sum_words(&headers.ip, sizeof(headers.ip)));
	if (bpf_skb_adjust_room(skb, VXLAN_OVERHEAD, BPF_ADJ_ROOM_MAC, ENCAPSULATION) ||
	    bpf_skb_store_bytes(skb, 0, &headers, sizeof(headers), 0))
		return drop(skb, CORE_NO_ROOM);
	return bpf_redirect(to->uplink, 0);
}

/* Tcx ingress of the uplink. */
SEC("tc") int in(struct __sk_buff *skb)
{
	struct vxlan_headers *headers = frame_start(skb);
	__u32 zero = 0;
	const struct ends *to = bpf_map_lookup_elem(&ends, &zero);
	struct ethernet inner;

	if (!to || (void *)(headers + 1) > frame_end(skb) ||
	    headers->udp.dest != bpf_htons(VXLAN_PORT))
		return TC_ACT_UNSPEC;
	inner = headers->inner;
	if (bpf_skb_adjust_room(skb, -(__s32)VXLAN_OVERHEAD, BPF_ADJ_ROOM_MAC, DECAPSULATION) ||
	    bpf_skb_store_bytes(skb, 0, &inner, sizeof(inner), 0))
		return drop(skb, CORE_NO_ROOM);
	return bpf_redirect_peer(to->workload, 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
