// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// How a packet begins that is not simply handed to a function. Slot 0 of the panel has the program
// that it is for.
#include "tunnel.h"
#include "resize.h"

#define FLOWS_PER_HOST_BITS 12
#define FIRST_PORT	    1024

struct headers {
	struct iphdr ip;
	struct udphdr udp;
};

/* Anew in each of many runs: a repeated BPF_PROG_TEST_RUN keeps what the last run left in cb[].
 * skb->priority is cb[0]. */
static __always_inline int start(struct __sk_buff *skb)
{
	skb->cb[0] = skb->priority;
	skb->cb[1] = 0;
	bpf_tail_call(skb, &panel, 0);
	return drop(skb, CORE_MISSING);
}

SEC("tc") int starter(struct __sk_buff *skb)
{
	return start(skb);
}

/* Makes the packet, UDP over IPv4, one of another flow in every run. The mark is the number of the
 * next: hosts of 10/8 each speak to a host of 198/8, from 4,096 ports. */
SEC("tc") int flows(struct __sk_buff *skb)
{
	struct headers *headers = (void *)(long)skb->data + L3_OFFSET;
	__u32 flow = skb->mark++, host = flow >> FLOWS_PER_HOST_BITS;

	if ((void *)(headers + 1) > (void *)(long)skb->data_end)
		return drop(skb, CORE_MALFORMED);
	headers->ip.saddr = bpf_htonl(10 << 24 | host);
	headers->ip.daddr = bpf_htonl(198 << 24 | host);
	headers->udp.source = bpf_htons(FIRST_PORT + (flow & ((1 << FLOWS_PER_HOST_BITS) - 1)));
	return start(skb);
}

struct sk_buff___summed {
	__u32 csum;
} __attribute__((preserve_access_index));

/* A function of its own, as what it jumps to returns to whoever has called it; weak, as neither the
 * compiler nor the verifier may know what it returns itself. */
__weak __noinline int call(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &panel, 0);
	return drop(skb, CORE_MISSING);
}

/* Bytes behind the packet by which it adds up to what the kernel has in skb->csum; how many they
 * are, 0 where memory lacks. */
static __noinline __u32 append_difference(struct __sk_buff *skb)
{
	struct sk_buff___summed *kernel_skb = bpf_cast_to_kern_ctx(skb);
	__u32 length = skb->len, even = length + (length & 1);
	__u16 difference;

	if (bpf_skb_change_tail(skb, even + sizeof(difference), 0))
		return 0;
	difference = fold_sum((__u64)kernel_skb->csum + (__u16)~sum_to_end(skb, L3_OFFSET));
	bpf_skb_store_bytes(skb, even, &difference, sizeof(difference), 0);
	return skb->len - length;
}

/*
 * As a device gives it that has summed it up. BPF_PROG_TEST_RUN compares skb->csum in the end, also
 * where the kernel has been made to forget that it is the packet's sum: then that comes out by
 * bytes behind the packet. skb->priority is how many.
 */
static __always_inline int call_with_sum(struct __sk_buff *skb)
{
	int verdict = call(skb);

	skb->priority = read_summed(skb) == CHECKSUM_COMPLETE ? 0 : append_difference(skb);
	return verdict;
}

SEC("tc") int summed(struct __sk_buff *skb)
{
	return call_with_sum(skb);
}

/* As it comes out of a tunnel whose other end is in the same kernel: is_encapsulated() of resize.h.
 */
SEC("tc") int decapsulated(struct __sk_buff *skb)
{
	if (bpf_skb_adjust_room(skb, VXLAN_OVERHEAD, BPF_ADJ_ROOM_MAC, ENCAPSULATION) ||
	    bpf_skb_adjust_room(skb, -(__s32)VXLAN_OVERHEAD, BPF_ADJ_ROOM_MAC, DECAPSULATION))
		return drop(skb, CORE_NO_ROOM);
	return call_with_sum(skb);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
