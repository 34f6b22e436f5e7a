// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What a trace puts in the place of functions and devices: the packet stops before each function,
// and copies are written down instead of sent. See agent/src/kernel/shadow.ts.
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "types.h"

/* Verdict of a packet that has come to a function: no TC_ACT_ has this number. */
#define TRACE_STOPPED 0x7ace

#define COPIES_MAX     64
#define COPY_BYTES_MAX 2048

/* A copy as it left by a device. */
struct copy {
	ip_t vtep; /* with mark 0: of the host to which it goes */
	vni_t vni;
	__u32 mark;   /* replica.h; 0: it goes to another host */
	__u32 length; /* 0: it was too long */
	__u8 bytes[COPY_BYTES_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, COPIES_MAX);
	__type(key, __u32);
	__type(value, struct copy);
} copies SEC(".maps");

/* How many copies there were, those that found no room here included. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} copied SEC(".maps");

/* In the place of every function in `instances`; `panel` is empty, so that all jumps come here. */
SEC("tc") int stop(struct __sk_buff *skb)
{
	return TRACE_STOPPED;
}

/*
 * The far end of the tunnel that has been set for a copy. The helper speaks as of a packet that was
 * received: `local` is where it goes.
 */
static __always_inline void read_tunnel(struct __sk_buff *skb, struct copy *copy)
{
	struct bpf_tunnel_key key = {};

	if (!bpf_skb_get_tunnel_key(skb, &key, sizeof(key), 0)) {
		copy->vtep.word[2] = bpf_htonl(0xffff);
		copy->vtep.word[3] = bpf_htonl(key.local_ipv4);
	} else if (!bpf_skb_get_tunnel_key(skb, &key, sizeof(key), BPF_F_TUNINFO_IPV6))
		copy->vtep = *(ip_t *)key.local_ipv6;
	copy->vni = key.tunnel_id;
}

/* tcx egress of the one device that a trace has. */
SEC("tc") int copy(struct __sk_buff *skb)
{
	__u32 zero = 0, number, length = skb->len;
	__u32 *count = bpf_map_lookup_elem(&copied, &zero);
	struct copy *copy;

	if (!count)
		return TC_ACT_OK;
	number = *count;
	*count += 1;
	copy = bpf_map_lookup_elem(&copies, &number);
	if (!copy)
		return TC_ACT_OK;
	copy->length = 0;
	if (length == 0 || length > COPY_BYTES_MAX)
		return TC_ACT_OK;
	copy->mark = skb->mark;
	copy->length = length;
	if (!copy->mark)
		read_tunnel(skb, copy);
	bpf_skb_load_bytes(skb, 0, copy->bytes, length);
	return TC_ACT_OK;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
