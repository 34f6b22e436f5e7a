/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Room for one packet to be written over another, and what the kernel still means to do to the old
 * one. */
#pragma once

#include "rewrite.h"

/* The longest stretch that sum_bytes() adds up. */
#define SUM_MAX 1536

/* Bytes that sum_to_end() takes in one step: as many as bpf_csum_diff() takes before Linux 6.13. */
#define SUM_STEP 512

/* The `size` bytes at an offset, if the linear part of the frame has them; `size` is a constant. */
static __always_inline const void *linear_bytes(const struct __sk_buff *skb, __u32 offset,
						__u32 size)
{
	const void *bytes = frame_start(skb) + (offset & OFFSET_MAX);

	return bytes + size <= frame_end(skb) ? bytes : NULL;
}

/* Adds the next `step` bytes, if the packet has as many. */
static __always_inline void add_step(struct __sk_buff *skb, __u32 *offset, __u32 step, __u32 *sum)
{
	const void *bytes = linear_bytes(skb, *offset, step);

	if (!bytes)
		return;
	*sum = bpf_csum_diff(NULL, 0, (__be32 *)bytes, step, *sum);
	*offset += step;
}

/*
 * Adds the packet's bytes from an even offset to its end: at most SUM_MAX, and linear. The result
 * is folded. Global, so that the verifier walks it once and not for every caller; in steps that
 * halve, as it walks each of them.
 */
__noinline __u16 sum_to_end(struct __sk_buff *skb, __u32 offset)
{
	const void *bytes;
	__u32 sum = 0;

#pragma unroll
	for (__u32 i = 1; i < SUM_MAX / SUM_STEP; i++)
		add_step(skb, &offset, SUM_STEP, &sum);
#pragma unroll
	for (__u32 step = SUM_STEP; step >= sizeof(sum); step /= 2)
		add_step(skb, &offset, step, &sum);
	sum = fold_sum(sum);
	bytes = linear_bytes(skb, offset, sizeof(__u16));
	if (bytes) {
		sum += *(const __u16 *)bytes;
		offset += sizeof(__u16);
	}
	bytes = linear_bytes(skb, offset, sizeof(__u8));
	if (bytes)
		sum += *(const __u8 *)bytes;
	return fold_sum(sum);
}

/*
 * A packet of a local sender may carry an order to the kernel (CHECKSUM_PARTIAL): before it meets a
 * wire, all from csum_start to its end is summed up and the result is written at csum_offset. The
 * order stays when the packet is made into another one, and no helper is there to take it back. So
 * whoever writes a new packet over an old one uses resize_packet() or
 * neutralize_pending_checksum().
 */
struct pending_checksum {
	__u32 start;
	__u32 field; /* offset from the start of the frame; 0: none is pending */
};

static __always_inline struct pending_checksum lookup_pending_checksum(struct __sk_buff *skb)
{
	struct sk_buff *kernel_skb = bpf_cast_to_kern_ctx(skb);
	struct pending_checksum pending = {};

	if (read_summed(skb) == CHECKSUM_PARTIAL) {
		pending.start =
			kernel_skb->csum_start - (__u32)(kernel_skb->data - kernel_skb->head);
		pending.field = pending.start + kernel_skb->csum_offset;
	}
	return pending;
}

/* Whether the order is for the checksum at an offset: not so where another packet has been written
 * over the one that it was for. */
static __always_inline bool is_pending_at(struct __sk_buff *skb, __u32 offset)
{
	struct pending_checksum pending = lookup_pending_checksum(skb);

	return pending.field && pending.field == offset;
}

/*
 * Takes the order for a pending checksum back, at the price of all behind the Ethernet header: the
 * kernel forgets it when the place from which it would sum is cut off the front
 * (skb_postpull_rcsum). Makes the frame linear and no train of segments.
 */
static __always_inline bool cancel_pending_checksum(struct __sk_buff *skb,
						    struct pending_checksum pending)
{
	__u32 cut = pending.start + 1;

	return bpf_skb_change_tail(skb, L3_OFFSET + cut + sizeof(struct ipv6hdr), 0) == 0 &&
	       bpf_skb_adjust_room(skb, -(__s32)cut, BPF_ADJ_ROOM_MAC, 0) == 0;
}

/*
 * Whether the kernel takes the packet for one inside a tunnel, and so refuses to change its tail.
 * It goes on to do so after decapsulate() where sender and receiver share the kernel, and no helper
 * tells it otherwise; a packet from a wire is never like that.
 */
static __always_inline bool is_encapsulated(struct __sk_buff *skb)
{
	struct sk_buff *kernel_skb = bpf_cast_to_kern_ctx(skb);

	return BPF_CORE_READ_BITFIELD(kernel_skb, encapsulation);
}

/* What the kernel leaves of a packet when it cuts at its front. */
#define REST_MIN sizeof(struct ipv6hdr)

/*
 * As resize_packet(), by changing the front alone. A pending checksum is cut off with the front;
 * where the packet is too short for that, the frame becomes so long that all bytes from which the
 * kernel would sum lie behind the message: at most REST_MIN + ETH_HLEN.
 */
static __always_inline bool resize_encapsulated(struct __sk_buff *skb, __u32 length,
						struct pending_checksum pending)
{
	__s32 cut = skb->len - L3_OFFSET - REST_MIN, missing;

	if (skb->gso_size || bpf_skb_pull_data(skb, skb->len))
		return false;
	if (cut > 0 && cut > pending.start) {
		if (bpf_skb_adjust_room(skb, -cut, BPF_ADJ_ROOM_MAC, 0))
			return false;
	} else if (pending.field) {
		length += skb->len - pending.start;
	}
	missing = length - skb->len;
	return missing <= 0 || !bpf_skb_adjust_room(skb, missing, BPF_ADJ_ROOM_MAC, 0);
}

/*
 * Gives the frame the length of a message that is about to be written over all of it but the
 * Ethernet header, and makes it linear and no train of segments. The frame may be longer than asked
 * for: the message's own length fields count. neutralize_pending_checksum() is to be called last.
 */
__noinline bool resize_packet(struct __sk_buff *skb, __u32 length)
{
	struct pending_checksum pending = lookup_pending_checksum(skb);

	if (is_encapsulated(skb))
		return resize_encapsulated(skb, length, pending);
	if (pending.field && !cancel_pending_checksum(skb, pending))
		return false;
	return bpf_skb_change_tail(skb, length, 0) == 0;
}

/*
 * Lets a pending checksum come out as the bytes that already stand where it will be written, by two
 * bytes behind the packet's end; its own length fields do not count them. (Zeros there would become
 * 0xffff, which is the same to any checksum over them.) The packet is linear and has at most
 * SUM_MAX bytes. To be called last. resize_encapsulated() leaves nothing to be done.
 */
__noinline bool neutralize_pending_checksum(struct __sk_buff *skb)
{
	struct pending_checksum pending = lookup_pending_checksum(skb);
	__u32 length = skb->len;
	__u16 standing, trailer;

	if (!pending.field || is_encapsulated(skb))
		return true;
	if (pending.field > SUM_MAX || pending.start > pending.field || length > SUM_MAX)
		return false;
	length += (length - pending.start) & 1;
	if (bpf_skb_change_tail(skb, length + sizeof(trailer), 0) ||
	    bpf_skb_load_bytes(skb, pending.field, &standing, sizeof(standing)))
		return false;
	trailer = ~fold_sum((__u64)sum_to_end(skb, pending.start) + standing);
	return bpf_skb_store_bytes(skb, length, &trailer, sizeof(trailer), 0) == 0;
}
