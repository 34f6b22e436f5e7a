/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Changes to a packet in place that keep it valid: link addresses, hop count, checksums. */
#pragma once

#include <bpf/bpf_core_read.h>
#include "packet.h"

/* Sums of 16-bit words in network order as RFC 1071 has them; a sum may be folded late. */
static __always_inline __u16 fold_sum(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* Adds the words of a header; `size` is a constant and even. */
static __always_inline __u64 sum_words(const void *header, __u32 size)
{
	const __u16 *words = header;
	__u64 sum = 0;

#pragma unroll
	for (__u32 i = 0; i < size / 2; i++)
		sum += words[i];
	return sum;
}

/* What a packet is to the kernel: BTF finds these fields wherever it has them. */
struct sk_buff {
	__u8 ip_summed : 2;
	__u8 encapsulation : 1;
	__u16 csum_start;
	__u16 csum_offset;
	unsigned char *head;
	unsigned char *data;
} __attribute__((preserve_access_index));

/* What the kernel knows of the transport's checksum. */
#define CHECKSUM_COMPLETE 2 /* the device has summed up all behind the Ethernet header */
#define CHECKSUM_PARTIAL  3 /* pending */

extern void *bpf_cast_to_kern_ctx(void *) __ksym;

static __always_inline __u8 read_summed(struct __sk_buff *skb)
{
	struct sk_buff *kernel_skb = bpf_cast_to_kern_ctx(skb);

	return BPF_CORE_READ_BITFIELD(kernel_skb, ip_summed);
}

/*
 * To be told what a sum over all behind the Ethernet header gains by bytes that have been changed
 * there, else a receiver on this host finds the device's sum wrong: it sums up anew, and the kernel
 * logs a failure of the hardware. Helpers do the same with BPF_F_RECOMPUTE_CSUM, which is never for
 * the Ethernet header. A change that a checksum of the packet itself takes up is none to the sum:
 * so with all of IPv4's header, and with what bpf_l3_csum_replace() and bpf_l4_csum_replace() are
 * told of. Redirects keep the sum. It ends on a wire, in the kernel's vxlan device, and where
 * bpf_skb_change_tail() gives the packet another length.
 */
static __always_inline void note_change(struct __sk_buff *skb, __u64 change)
{
	if (unlikely(read_summed(skb) == CHECKSUM_COMPLETE))
		bpf_csum_update(skb, fold_sum(change));
}

/* The pseudo header of TCP, UDP and ICMPv6 over `length` bytes. */
static __always_inline __u64 sum_pseudo_header(const ip_t *source, const ip_t *destination,
					       protocol_t protocol, __u32 length)
{
	__u64 sum = (__u64)bpf_htonl(length) + bpf_htonl(protocol);

	if (ip_is_ipv4(source))
		return sum + source->word[3] + destination->word[3];
	return sum + sum_words(source, sizeof(*source)) +
	       sum_words(destination, sizeof(*destination));
}

/* Overwrites the packet from its first byte on. */
static __always_inline bool store_frame(struct __sk_buff *skb, const void *frame, __u32 size)
{
	return !bpf_skb_store_bytes(skb, 0, frame, ETH_HLEN, 0) &&
	       !bpf_skb_store_bytes(skb, ETH_HLEN, frame + ETH_HLEN, size - ETH_HLEN,
				    BPF_F_RECOMPUTE_CSUM);
}

/*
 * Writes an answer over a question of about its length. What the question has beyond that stays
 * behind the answer, whose own length fields count: the kernel refuses to cut the end of a frame
 * that it takes for one inside a tunnel (is_encapsulated() of resize.h), as a question may be that
 * was made of such a packet.
 */
static __always_inline bool store_answer(struct __sk_buff *skb, const void *answer, __u32 size)
{
	return (skb->len >= size || !bpf_skb_change_tail(skb, size, 0)) &&
	       store_frame(skb, answer, size);
}

/* Gives the frame a new destination and source on its link. */
static __always_inline bool rewrite_macs(struct __sk_buff *skb, const mac_t *destination,
					 const mac_t *source)
{
	struct ethernet *ethernet = frame_start(skb);

	if ((void *)(ethernet + 1) > frame_end(skb))
		return false;
	ethernet->destination = *destination;
	ethernet->source = *source;
	return true;
}

static __always_inline bool decrement_ipv4_ttl(struct __sk_buff *skb)
{
	struct iphdr *ip = frame_start(skb) + L3_OFFSET;

	if ((void *)(ip + 1) > frame_end(skb)) {
		if (bpf_skb_pull_data(skb, L3_OFFSET + sizeof(*ip)))
			return false;
		ip = frame_start(skb) + L3_OFFSET;
		if ((void *)(ip + 1) > frame_end(skb))
			return false;
	}
	ip->ttl--;
	ip->check = fold_sum((__u64)ip->check + bpf_htons(0x0100));
	return true;
}

/* One hop less; the caller has seen that more than one was left. */
static __always_inline bool decrement_ttl(struct __sk_buff *skb, const struct packet *packet)
{
	__u8 hop_limit = packet->ttl - 1;

	if (packet->family == 4)
		return decrement_ipv4_ttl(skb);
	return !bpf_skb_store_bytes(skb, L3_OFFSET + offsetof(struct ipv6hdr, hop_limit),
				    &hop_limit, sizeof(hop_limit), BPF_F_RECOMPUTE_CSUM);
}
