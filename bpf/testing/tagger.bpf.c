// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A VLAN device for kernels without CONFIG_VLAN_8021Q: a veth pair whose far end speaks with a tag
// at a trunk, whose ifindex and the tag make the far end's own: ifindex << 12 | tag.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define VLAN_BITS    12
#define VLAN_ID_MASK 0xfff

/* tc ingress of the trunk. Frames without tag are its own. */
SEC("tc") int tagger(struct __sk_buff *skb)
{
	__u32 tag = skb->vlan_tci & VLAN_ID_MASK;

	if (!skb->vlan_present || bpf_skb_vlan_pop(skb))
		return TC_ACT_UNSPEC;
	return bpf_redirect(skb->ifindex << VLAN_BITS | tag, 0);
}

/* tc ingress of a far end. */
SEC("tc/out") int tagger_out(struct __sk_buff *skb)
{
	bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), skb->ifindex & VLAN_ID_MASK);
	return bpf_redirect(skb->ifindex >> VLAN_BITS, 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
