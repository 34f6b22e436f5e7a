// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// VLANs: where frames come in from trunk ports and from physical segments, each by its tag to a
// workload port of its own, and the function that stands before those ports and puts the tags on.
#include <linux/if_packet.h>
#include "pinning.h"
#include "replica.h"

/* The tag without its priority. Tag 0 says a priority only (IEEE 802.1Q, 9.6). */
#define VLAN_ID_MASK 0xfff

/* The frames of one tag at a device; 0: those without. Keys have no padding. */
struct vlan {
	ifindex_t ifindex;
	__u32 tag;
};

/* The workload port that the frames belong to. Written by the agent, as the others here. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, WORKLOADS_MAX);
	__type(key, struct vlan);
	__type(value, __u32);
} vlan_ids SEC(".maps");

/* The tag of what is sent to a workload port; 0: none. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, WORKLOADS_MAX);
	__type(key, __u32);
	__type(value, __u32);
} vlan_tags SEC(".maps");

#define RESIDENTS_MAX 65536

struct resident {
	__u32 workload;
	mac_t mac;
	__u16 reserved;
};

/* Who is known to live behind this host, as seen from a segment. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, RESIDENTS_MAX);
	__type(key, struct resident);
	__type(value, __u8);
} residents SEC(".maps");

static __always_inline bool is_vlan(__be16 ethertype)
{
	return ethertype == bpf_htons(ETH_P_8021Q) || ethertype == bpf_htons(ETH_P_8021AD);
}

/*
 * The workload port behind the device and the tag by which the frame came; 0: none. The kernel
 * keeps the outer tag beside the frame: one that still stands in it is a second (IEEE 802.1ad), and
 * belongs to nobody.
 */
static __always_inline __u32 lookup_id(struct __sk_buff *skb, const struct ethernet *ethernet)
{
	struct vlan vlan = {.ifindex = skb->ifindex};
	__u32 *id;

	if (is_vlan(ethernet->type))
		return 0;
	if (skb->vlan_present) {
		if (skb->vlan_proto != bpf_htons(ETH_P_8021Q))
			return 0;
		vlan.tag = skb->vlan_tci & VLAN_ID_MASK;
	}
	id = bpf_map_lookup_elem(&vlan_ids, &vlan);
	return id ? *id : 0;
}

/* The frame has come from the workload port: off with its tag, into the port's chain or network. */
static __always_inline int enter_from(struct __sk_buff *skb, __u32 id)
{
	struct workload *workload = bpf_map_lookup_elem(&workloads, &id);

	if (skb->vlan_present && bpf_skb_vlan_pop(skb))
		return drop(skb, CORE_NO_ROOM);
	begin(skb, 0, id, 0);
	if (workload && workload->pinned && is_spoofed(skb, id, workload))
		return drop(skb, CORE_SPOOFED);
	return leave(skb, next_in_chain(skb, OUTSIDE));
}

/* tcx ingress of the host's end of a trunk port. */
SEC("tc") int trunk(struct __sk_buff *skb)
{
	struct ethernet buffer, *ethernet = read_bytes(skb, 0, &buffer, sizeof(buffer));
	__u32 id;

	if (!ethernet)
		return drop(skb, CORE_MALFORMED);
	id = lookup_id(skb, ethernet);
	return id ? enter_from(skb, id) : drop(skb, CORE_NO_PORT);
}

static __always_inline bool is_resident(__u32 id, const mac_t *mac)
{
	struct resident key = {.workload = id, .mac = *mac};

	return bpf_map_lookup_elem(&residents, &key);
}

/* The frame stays as it is, with whoever else reads the device. */
static __noinline void copy_from(struct __sk_buff *skb, __u32 id)
{
	const struct host *self = lookup_host();
	__u32 mark = skb->mark;

	if (!self)
		return;
	skb->mark = mark_of_sender(id);
	if (bpf_clone_redirect(skb, self->replica, 0))
		count(CORE_NO_ROOM);
	skb->mark = mark;
}

/*
 * tcx ingress of a device of the host with a segment behind it. The device stays the host's: only
 * frames to somebody who is known to live here are taken. What is for all, or for somebody unknown,
 * enters the network as a copy, and what is for the host itself or for the next device not at all;
 * nor what says to be from somebody who lives here.
 */
SEC("tc") int segment(struct __sk_buff *skb)
{
	struct ethernet buffer, *ethernet = read_bytes(skb, 0, &buffer, sizeof(buffer));
	__u32 id;

	if (!ethernet)
		return TC_ACT_UNSPEC;
	id = lookup_id(skb, ethernet);
	if (!id)
		return TC_ACT_UNSPEC;
	if (is_resident(id, &ethernet->source)) {
		count_drop(CORE_SPOOFED); /* or twice: here and beyond the segment */
		return TC_ACT_UNSPEC;
	}
	if (is_resident(id, &ethernet->destination))
		return enter_from(skb, id);
	if (skb->pkt_type != PACKET_HOST && !mac_is_reserved(&ethernet->destination))
		copy_from(skb, id);
	return TC_ACT_UNSPEC;
}

/*
 * The innermost of the chain of a port that has a tag, or shares its device with ports that have.
 * A frame that is tagged already would leave in a VLAN that is not its network's.
 */
INKEV_FUNCTION(vlan, skb)
{
	__u32 id = workload_of(skb), *tag = bpf_map_lookup_elem(&vlan_tags, &id);

	if (arrived_at(skb) == INSIDE)
		return forward(skb, OUTSIDE);
	if (!tag || skb->vlan_present || is_vlan(skb->protocol))
		return drop(skb, CORE_NO_PORT);
	if (*tag && bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), *tag))
		return drop(skb, CORE_NO_ROOM);
	return forward(skb, INSIDE);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
