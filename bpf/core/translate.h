/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Another address and port for one end of a packet, or of the packet that an ICMP error quotes,
 * with every checksum that covers them. */
#pragma once

#include "resize.h"

enum packet_end {
	SOURCE,
	DESTINATION,
};

/* One end of a conversation; `port` is the identifier of an ICMP echo, and 0 where there is none.
 */
struct endpoint {
	ip_t address;
	port_t port;
	__u16 reserved[3];
};

static __always_inline struct endpoint end_of_packet(const struct packet *packet, __u32 end)
{
	struct endpoint endpoint = {
		.address = end == SOURCE ? packet->source : packet->destination,
		.port = end == SOURCE ? packet->source_port : packet->destination_port,
	};

	return endpoint;
}

/* Where the transport header has its checksum; 0: none, or none that depends on the ends. */
static __always_inline __u32 checksum_offset(const struct packet *packet)
{
	if (packet->fragment == LATER_FRAGMENT)
		return 0;
	if (packet->protocol == IPPROTO_TCP)
		return offsetof(struct tcphdr, check);
	if (packet->protocol == IPPROTO_UDP)
		return offsetof(struct udphdr, check);
	return is_icmp(packet) ? offsetof(struct icmp_header, checksum) : 0;
}

/* Whether the transport's checksum covers the addresses: all but ICMP's for IPv4. */
static __always_inline bool has_pseudo_header(const struct packet *packet)
{
	return packet->protocol != IPPROTO_ICMP;
}

/* Where the transport header has the port of this end. An echo has one identifier for both. */
static __always_inline __u32 port_offset(const struct packet *packet, __u32 end)
{
	if (is_icmp(packet))
		return offsetof(struct icmp_header, identifier);
	return end == SOURCE ? offsetof(struct udphdr, source) : offsetof(struct udphdr, dest);
}

static __always_inline __u32 address_offset(const struct packet *packet, __u32 end)
{
	if (packet->family == 4)
		return packet->l3 + (end == SOURCE ? offsetof(struct iphdr, saddr)
						   : offsetof(struct iphdr, daddr));
	return packet->l3 +
	       (end == SOURCE ? offsetof(struct ipv6hdr, saddr) : offsetof(struct ipv6hdr, daddr));
}

/* What a sum of 16-bit words gains where one address becomes another. Those of 32 bits add up to
 * the same, in half the time. */
static __always_inline __u64 address_change(const ip_t *from, const ip_t *to)
{
	__u64 sum = 0;

#pragma unroll
	for (__u32 i = 0; i < 4; i++)
		sum += (__u64)to->word[i] + (__u32)~from->word[i];
	return fold_sum(sum);
}

/* Writes `word` in the place of another. Returns what a sum over the place gains. */
static __always_inline __u64 replace_word(__u16 *place, __u16 word)
{
	__u64 change = (__u64)word + (__u16) ~*place;

	*place = word;
	return change;
}

/* The `size` bytes at an offset, to be written; NULL where they are not linear. */
static __always_inline void *writable_bytes(struct __sk_buff *skb, __u32 offset, __u32 size)
{
	return (void *)linear_bytes(skb, offset, size);
}

/* Makes linear what lies before `end`. */
static __always_inline bool pull_headers(struct __sk_buff *skb, __u32 end)
{
	if (likely(frame_start(skb) + (end & OFFSET_MAX) <= frame_end(skb)))
		return true;
	return !bpf_skb_pull_data(skb, end);
}

/*
 * Writes an address, and keeps IPv4's own checksum right. `change` is what a sum over the address
 * gains, `sum` grows by what one over the header does.
 */
static __always_inline bool rewrite_address(struct __sk_buff *skb, const struct packet *packet,
					    __u32 end, const ip_t *to, __u64 change, __u64 *sum)
{
	*sum += change;
	if (packet->family == 4) {
		struct iphdr *ip = writable_bytes(skb, packet->l3, sizeof(*ip));

		if (!ip)
			return false;
		*(end == SOURCE ? &ip->saddr : &ip->daddr) = to->word[3];
		*sum += replace_word(&ip->check, ~fold_sum((__u16)~ip->check + change));
	} else {
		struct ipv6hdr *ip = writable_bytes(skb, packet->l3, sizeof(*ip));

		if (!ip)
			return false;
		copy_words(end == SOURCE ? &ip->saddr : &ip->daddr, to, sizeof(*to));
	}
	return true;
}

/*
 * What becomes of a transport's checksum where the sum of its pseudo header gains `pseudo` and that
 * of the segment `change`. One that is pending is only the sum of the pseudo header yet.
 */
static __always_inline __u16 carry_into(__u16 check, protocol_t protocol, __u64 pseudo,
					__u64 change, bool pending)
{
	__u16 now;

	if (pending)
		return fold_sum(check + pseudo);
	if (protocol == IPPROTO_UDP && !check)
		return 0;
	now = ~fold_sum((__u16)~check + pseudo + change);
	return protocol == IPPROTO_UDP && !now ? 0xffff : now;
}

/* Writes a port, and carries it and `pseudo`, the change of the addresses, over into the checksum
 * at `field`. */
static __always_inline bool rewrite_transport(struct __sk_buff *skb, const struct packet *packet,
					      __u32 end, port_t to, __u32 field, __u64 pseudo,
					      bool pending, __u64 *sum)
{
	port_t *port = writable_bytes(skb, packet->l4 + port_offset(packet, end), sizeof(*port));
	__u16 *check = writable_bytes(skb, packet->l4 + field, sizeof(*check));
	__u64 change = 0;

	if (!port || !check)
		return false;
	if (to != (end == SOURCE ? packet->source_port : packet->destination_port))
		change = replace_word(port, to);
	*sum += change;
	*sum += replace_word(check, carry_into(*check, packet->protocol, pseudo, change, pending));
	return true;
}

/*
 * Gives an end of the packet another address, of the same family, and another port; `packet` says
 * so afterwards. The port of a packet that has none stays 0. False: the packet is only good to be
 * dropped. What is written is written in place, as each of the helpers that would do it takes as
 * long as all this. Global, as are the functions below: the verifier walks them once and not for
 * every caller.
 */
__noinline bool rewrite_end(struct __sk_buff *skb, struct packet *packet, __u32 end,
			    const struct endpoint *to)
{
	__u64 change, sum = 0;
	struct endpoint now;
	__u32 field;

	if (!packet || !to || !pull_headers(skb, packet->payload))
		return false;
	now = *to;
	field = checksum_offset(packet);
	change = address_change(end == SOURCE ? &packet->source : &packet->destination,
				&now.address);
	if (!rewrite_address(skb, packet, end, &now.address, change, &sum))
		return false;
	if (field && !rewrite_transport(skb, packet, end, now.port, field,
					has_pseudo_header(packet) ? change : 0,
					is_pending_at(skb, packet->l4 + field), &sum))
		return false;
	note_change(skb, sum);
	if (end == SOURCE)
		packet->source = now.address;
	else
		packet->destination = now.address;
	if (end == SOURCE || is_icmp(packet))
		packet->source_port = now.port;
	if (end == DESTINATION || is_icmp(packet))
		packet->destination_port = now.port;
	return true;
}

/* What a sum of 16-bit words gains where `from` becomes `to`. */
static __always_inline __u64 sum_change(const void *from, const void *to, __u32 size)
{
	return (__u16)~fold_sum(sum_words(from, size)) + sum_words(to, size);
}

/* Carries a change over into the checksum at `offset`. Returns what this changes in turn. */
static __always_inline __u64 carry_over(struct __sk_buff *skb, __u32 offset, __u64 change, bool udp)
{
	__u16 from, to;

	if (bpf_skb_load_bytes(skb, offset, &from, sizeof(from)) || (udp && !from))
		return 0;
	to = ~fold_sum((__u64)(__u16)~from + change);
	if (udp && !to)
		to = 0xffff;
	if (bpf_skb_store_bytes(skb, offset, &to, sizeof(to), 0))
		return 0;
	return sum_change(&from, &to, sizeof(from));
}

/* Rewrites the quoted address; `change` is what its own and the outer checksum's sums gain. */
static __always_inline __u64 rewrite_quoted_address(struct __sk_buff *skb,
						    const struct packet *quoted, __u32 end,
						    const ip_t *from, const ip_t *to)
{
	__u32 at = address_offset(quoted, end);

	if (quoted->family == 4) {
		ipv4_t address = to->word[3];

		bpf_skb_store_bytes(skb, at, &address, sizeof(address), 0);
		return sum_change(&from->word[3], &address, sizeof(address));
	}
	bpf_skb_store_bytes(skb, at, to, sizeof(*to), 0);
	return sum_change(from, to, sizeof(*to));
}

static __always_inline bool rewrite_outer_address(struct __sk_buff *skb, const struct packet *error,
						  __u32 end, const ip_t *to)
{
	const ip_t *from = end == SOURCE ? &error->source : &error->destination;
	__u32 at = address_offset(error, end);

	if (error->family == 4) {
		ipv4_t address = to->word[3];

		return !bpf_l3_csum_replace(skb, error->l3 + offsetof(struct iphdr, check),
					    from->word[3], address, 4) &&
		       !bpf_skb_store_bytes(skb, at, &address, sizeof(address), 0);
	}
	return !bpf_skb_store_bytes(skb, at, to, sizeof(*to), 0);
}

/*
 * Gives an end of the packet that an error quotes another address and port. All sums are made here:
 * an error may have been made of a packet whose checksum is pending, see resize.h, so
 * neutralize_pending_checksum() comes last. The quote may end before its transport's checksum.
 */
__noinline bool rewrite_quoted_end(struct __sk_buff *skb, const struct packet *error,
				   struct packet *quoted, __u32 end, const struct endpoint *to)
{
	__u64 address_change, port_change = 0, change;
	struct endpoint from, now;
	__u32 field, sum_at;

	if (!error || !quoted || !to)
		return false;
	now = *to;
	from = end_of_packet(quoted, end);
	field = checksum_offset(quoted);
	sum_at = quoted->l4 + field;
	address_change = rewrite_quoted_address(skb, quoted, end, &from.address, &now.address);
	change = address_change;
	if (quoted->family == 4)
		change += carry_over(skb, quoted->l3 + offsetof(struct iphdr, check),
				     address_change, false);
	if (from.port != now.port) {
		bpf_skb_store_bytes(skb, quoted->l4 + port_offset(quoted, end), &now.port,
				    sizeof(now.port), 0);
		port_change = sum_change(&from.port, &now.port, sizeof(now.port));
		change += port_change;
	}
	if (field && sum_at + sizeof(__u16) <= error->l3 + error->length)
		change += carry_over(skb, sum_at,
				     port_change + (has_pseudo_header(quoted) ? address_change : 0),
				     quoted->protocol == IPPROTO_UDP);
	carry_over(skb, error->l4 + offsetof(struct icmp_header, checksum), change, false);
	return true;
}

/* Gives an end of an error itself another address, in the same manner. */
__noinline bool rewrite_error_end(struct __sk_buff *skb, struct packet *error, __u32 end,
				  const struct endpoint *to)
{
	struct endpoint from, now;

	if (!error || !to)
		return false;
	now = *to;
	from = end_of_packet(error, end);
	if (!rewrite_outer_address(skb, error, end, &now.address))
		return false;
	if (error->family == 6)
		carry_over(skb, error->l4 + offsetof(struct icmp_header, checksum),
			   sum_change(&from.address, &now.address, sizeof(ip_t)), false);
	if (end == SOURCE)
		error->source = now.address;
	else
		error->destination = now.address;
	return true;
}

/*
 * Gives an end of the packet that an error quotes another address and port, and the opposite end of
 * the error itself, which is that same host or one before it, the same address.
 */
__noinline bool rewrite_error(struct __sk_buff *skb, struct packet *error, struct packet *quoted,
			      __u32 end, const struct endpoint *to)
{
	return rewrite_quoted_end(skb, error, quoted, end, to) &&
	       rewrite_error_end(skb, error, end == SOURCE ? DESTINATION : SOURCE, to) &&
	       neutralize_pending_checksum(skb);
}
