// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// A test's hands on a device: `inject` lets a frame come in there, `capture` takes down what comes
// in.
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#define CAPTURED_MAX 2048

struct captured {
	__u32 length; /* of the frame; what is kept of it may be less */
	__u32 gso_size;
	__u32 vlan_present;
	__u32 vlan_tci; /* of the tag that the kernel keeps beside the frame */
	__u8 bytes[CAPTURED_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 23); /* 4,000 frames wait to be read */
} captured SEC(".maps");

/* Run by hand (BPF_PROG_TEST_RUN); skb->mark is the device's ifindex. */
SEC("tc") int inject(struct __sk_buff *skb)
{
	__u32 ifindex = skb->mark;

	skb->mark = 0;
	return bpf_clone_redirect(skb, ifindex, BPF_F_INGRESS);
}

SEC("tc") int capture(struct __sk_buff *skb)
{
	struct captured *record = bpf_ringbuf_reserve(&captured, sizeof(*record), 0);
	__u32 kept = skb->len < CAPTURED_MAX ? skb->len : CAPTURED_MAX;

	if (!record)
		return TC_ACT_UNSPEC;
	record->length = skb->len;
	record->gso_size = skb->gso_size;
	record->vlan_present = skb->vlan_present;
	record->vlan_tci = skb->vlan_tci;
	if (kept > 0 && !bpf_skb_load_bytes(skb, 0, record->bytes, kept))
		bpf_ringbuf_submit(record, 0);
	else
		bpf_ringbuf_discard(record, 0);
	return TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
