/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One end of a packet becomes another: addresses, ports and checksums, in packets and in what ICMP
 * errors quote of them. */
#pragma once

#include "resize.h"

#define CHECKSUM_COMPLETE 2 /* of the kernel: the device has summed up the packet */

/* Which end of a packet is rewritten. */
enum packet_end {
	PACKET_SOURCE,
	PACKET_DESTINATION,
};

/* How a change of 16-bit words changes the sum over them, for each word that goes and comes. */
static __always_inline __u64 sum_words_changed(const ip_t *old, const ip_t *new)
{
	__u64 sum = 0;

#pragma unroll
	for (__u32 i = 0; i < 4; i++)
		sum += (__u64) new->word[i] + (__u32)~old->word[i];
	return sum;
}

static __always_inline __u64 sum_word_changed(__u16 old, __u16 new)
{
	return (__u64) new + (__u16)~old;
}

/* Writes `new` where `old` stands, and adds to `sum` what this changes. */
static __always_inline void replace_word(__u16 *word, __u16 new, __u64 *sum)
{
	*sum += sum_word_changed(*word, new);
	*word = new;
}

static __always_inline __u8 checksum_summed(struct __sk_buff *skb)
{
	struct sk_buff *kernel_skb = bpf_cast_to_kern_ctx(skb);

	return BPF_CORE_READ_BITFIELD(kernel_skb, ip_summed);
}

/* The `size` bytes at an offset, to be written; NULL where they are not linear. */
static __always_inline void *writable_bytes(struct __sk_buff *skb, __u32 offset, __u32 size)
{
	return (void *)linear_bytes(skb, offset, size);
}

/* What an end of a packet becomes. */
struct new_end {
	ip_t address;
	enum packet_end end;
	port_t port;
	bool pending; /* the kernel will sum up the packet later */
};

static __always_inline bool rewrite_address(struct __sk_buff *skb, const struct packet *packet,
					    const struct new_end *to, __u64 change, __u64 *sum)
{
	bool source = to->end == PACKET_SOURCE;

	*sum += change;
	if (packet->family == 4) {
		struct iphdr *ip = writable_bytes(skb, packet->l3, sizeof(*ip));

		if (!ip)
			return false;
		replace_word(&ip->check, ~fold_sum((__u64)(__u16)~ip->check + fold_sum(change)),
			     sum);
		*(source ? &ip->saddr : &ip->daddr) = to->address.word[3];
	} else {
		struct ipv6hdr *ip = writable_bytes(skb, packet->l3, sizeof(*ip));

		if (!ip)
			return false;
		if (source)
			copy_words(&ip->saddr, &to->address, sizeof(ip_t));
		else
			copy_words(&ip->daddr, &to->address, sizeof(ip_t));
	}
	return true;
}

/* Where the checksum stands in the transport header; 0 where none covers the addresses. */
static __always_inline __u32 checksum_offset(const struct packet *packet)
{
	switch (packet->protocol) {
	case IPPROTO_TCP:
		return offsetof(struct tcphdr, check);
	case IPPROTO_UDP:
		return offsetof(struct udphdr, check);
	case IPPROTO_ICMPV6:
		return offsetof(struct icmp_header, checksum);
	}
	return 0;
}

/*
 * Rewrites the transport's checksum after a change of addresses and of ports. `pending`: the kernel
 * will sum up the packet later, and only the pseudo header is in the field yet. One that is cut
 * off in a quoted packet is left.
 */
static __always_inline void rewrite_checksum(struct __sk_buff *skb, const struct packet *packet,
					     __u64 addresses, __u64 ports, bool pending, __u64 *sum)
{
	__u32 offset = checksum_offset(packet);
	__u16 *check, now;

	if (!offset)
		return;
	check = writable_bytes(skb, packet->l4 + offset, sizeof(*check));
	if (!check || (packet->protocol == IPPROTO_UDP && !pending && !*check))
		return;
	if (pending) {
		now = fold_sum((__u64)*check + fold_sum(addresses));
	} else {
		now = ~fold_sum((__u16) ~*check + addresses + ports);
		if (!now && packet->protocol == IPPROTO_UDP)
			now = 0xffff;
	}
	replace_word(check, now, sum);
}

static __always_inline bool has_ports(const struct packet *packet)
{
	return packet->fragment != LATER_FRAGMENT &&
	       (packet->protocol == IPPROTO_TCP || packet->protocol == IPPROTO_UDP);
}

/*
 * Gives one end of a packet, or of a quoted one, another address and, where it has ports, another
 * port. `sum` grows by what this changes in the sum over all the packet's words. False: the headers
 * are not linear, and the packet is only good to be dropped. Global, so that the verifier walks it
 * once and not for every caller.
 */
__noinline bool rewrite_end(struct __sk_buff *skb, const struct packet *packet,
			    const struct new_end *to, __u64 *sum)
{
	__u64 addresses, ports = 0;

	if (!packet || !to || !sum)
		return false;
	addresses = sum_words_changed(
		to->end == PACKET_SOURCE ? &packet->source : &packet->destination, &to->address);
	if (!rewrite_address(skb, packet, to, addresses, sum))
		return false;
	if (packet->fragment == LATER_FRAGMENT)
		return true;
	if (has_ports(packet)) {
		__u32 offset = to->end == PACKET_SOURCE ? 0 : sizeof(port_t);
		port_t *port = writable_bytes(skb, packet->l4 + offset, sizeof(*port));

		if (!port)
			return false;
		replace_word(port, to->port, &ports);
		*sum += ports;
	}
	rewrite_checksum(skb, packet, addresses, ports, to->pending, sum);
	return true;
}

/* Makes the headers linear that end at `end`, as far as the packet has them. */
static __always_inline bool pull_headers(struct __sk_buff *skb, __u32 end)
{
	if (end > skb->len)
		end = skb->len;
	if (likely(frame_start(skb) + (end & OFFSET_MAX) <= frame_end(skb)))
		return true;
	return !bpf_skb_pull_data(skb, end);
}

/* Gives one end of the packet another address and port. */
static __always_inline bool rewrite_packet(struct __sk_buff *skb, const struct packet *packet,
					   enum packet_end end, const ip_t *address, port_t port)
{
	__u8 summed = checksum_summed(skb);
	struct new_end to = {
		.address = *address,
		.end = end,
		.port = port,
		.pending = summed == CHECKSUM_PARTIAL,
	};
	__u64 sum = 0;

	if (!pull_headers(skb, packet->payload) || !rewrite_end(skb, packet, &to, &sum))
		return false;
	if (unlikely(summed == CHECKSUM_COMPLETE))
		bpf_csum_update(skb, fold_sum(sum));
	return true;
}

/* Gives one end of the packet that an ICMP error quotes another address and port. */
static __always_inline bool rewrite_quoted(struct __sk_buff *skb, const struct packet *error,
					   const struct packet *quoted, enum packet_end end,
					   const ip_t *address, port_t port)
{
	struct new_end to = {.address = *address, .end = end, .port = port};
	struct icmp_header *icmp;
	__u64 sum = 0;

	if (!pull_headers(skb, quoted->l4 + sizeof(struct tcphdr)) ||
	    !rewrite_end(skb, quoted, &to, &sum))
		return false;
	icmp = writable_bytes(skb, error->l4, sizeof(*icmp));
	if (!icmp)
		return false;
	icmp->checksum = ~fold_sum((__u64)(__u16)~icmp->checksum + fold_sum(sum));
	return true;
}
