// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Marks all that a workload sends with a tag of one's own, and lets nothing in that has not the
// same. VLAN tags and this one exclude each other.
//
// It works across hosts. But nobody else knows the tag: no device and no kernel cuts a train of
// segments that has it, so where such frames go over a wire, workloads must send none
// (ethtool -K eth0 tso off gso off); and a frame of full size becomes two fragments on the
// underlay, unless the MTU of the ports is smaller by the tag.
#include <inkev/function.h>

INKEV_ABOUT("Tags frames on their way out, and checks and takes off the tag on their way in.");

INKEV_PORTS
{
	inkev_port inside INKEV_DOC("Towards the workload, which sees no tags.");
	inkev_port outside INKEV_DOC("Towards its network, where all frames are tagged.");
};

INKEV_COUNTERS
{
	inkev_counter tagged INKEV_DOC("Frames that were given a tag.");
	inkev_counter untagged INKEV_DOC("Frames whose tag was taken off.");
	inkev_counter no_tag INKEV_DOC("Frames from outside without tag, dropped.");
	inkev_counter wrong_colour INKEV_DOC("Frames from outside with another tag, dropped.");
};

INKEV_CONFIG
{
	__u16 colour INKEV_DOC("What the tag says. Workloads of one colour reach each other.");
};

#define TAG_ETHERTYPE 0x88b5 /* for local experiments, by IEEE 802 */
#define TAG_SIZE      4

struct tagged_frame {
	mac_t destination;
	mac_t source;
	__be16 ethertype;
	__be16 colour;
	__be16 next; /* the EtherType of what follows */
};

static __always_inline bool push_tag(struct __sk_buff *skb, __u16 colour)
{
	struct tagged_frame frame = {};

	if (bpf_skb_load_bytes(skb, 0, &frame, sizeof(struct ethernet)))
		return false;
	frame.next = frame.ethertype;
	frame.ethertype = bpf_htons(TAG_ETHERTYPE);
	frame.colour = bpf_htons(colour);
	return !bpf_skb_change_head(skb, TAG_SIZE, 0) &&
	       !bpf_skb_store_bytes(skb, 0, &frame, sizeof(frame), 0);
}

/*
 * The kernel takes no bytes off the front of a frame, save VLAN tags. So ours becomes one, and two
 * are pushed before it, which makes the kernel aware of them; all three are popped.
 */
static __always_inline bool pop_tag(struct __sk_buff *skb)
{
	__be16 vlan = bpf_htons(ETH_P_8021Q);

	return !bpf_skb_store_bytes(skb, offsetof(struct ethernet, type), &vlan, sizeof(vlan), 0) &&
	       !bpf_skb_vlan_push(skb, vlan, 0) && !bpf_skb_vlan_push(skb, vlan, 0) &&
	       !bpf_skb_vlan_pop(skb) && !bpf_skb_vlan_pop(skb) && !bpf_skb_vlan_pop(skb);
}

static __always_inline int send_out(struct __sk_buff *skb, __u16 colour)
{
	if (!push_tag(skb, colour))
		return drop(skb, CORE_MALFORMED);
	count(COUNTER(tagged));
	return forward(skb, PORT(outside));
}

static __always_inline int let_in(struct __sk_buff *skb, __u16 colour)
{
	struct tagged_frame buffer, *frame = read_bytes(skb, 0, &buffer, sizeof(buffer));

	if (!frame || frame->ethertype != bpf_htons(TAG_ETHERTYPE))
		return drop(skb, COUNTER(no_tag));
	if (frame->colour != bpf_htons(colour))
		return drop(skb, COUNTER(wrong_colour));
	if (!pop_tag(skb))
		return drop(skb, CORE_MALFORMED);
	count(COUNTER(untagged));
	return forward(skb, PORT(inside));
}

INKEV_FUNCTION(tagger, skb)
{
	const struct inkev_config *config = lookup_config();

	if (!config || skb->vlan_present)
		return drop(skb, CORE_MALFORMED);
	if (arrived_at(skb) == PORT(inside))
		return send_out(skb, config->colour);
	return let_in(skb, config->colour);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
