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

static __always_inline __u64 flags_of(const struct packet *packet)
{
	return packet->protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
}

static __always_inline bool rewrite_address(struct __sk_buff *skb, const struct packet *packet,
					    __u32 end, const ip_t *from, const ip_t *to)
{
	__u32 field = checksum_offset(packet), at = address_offset(packet, end);
	__u64 flags = BPF_F_PSEUDO_HDR | flags_of(packet);

	if (packet->family == 4) {
		ipv4_t address = to->word[3];

		if (field && has_pseudo_header(packet) &&
		    bpf_l4_csum_replace(skb, packet->l4 + field, from->word[3], address, flags | 4))
			return false;
		return !bpf_l3_csum_replace(skb, packet->l3 + offsetof(struct iphdr, check),
					    from->word[3], address, 4) &&
		       !bpf_skb_store_bytes(skb, at, &address, sizeof(address), 0);
	}
	if (field && bpf_l4_csum_replace(skb, packet->l4 + field, 0,
					 bpf_csum_diff((__be32 *)from, sizeof(*from), (__be32 *)to,
						       sizeof(*to), 0),
					 flags))
		return false;
	return !bpf_skb_store_bytes(skb, at, to, sizeof(*to), BPF_F_RECOMPUTE_CSUM);
}

static __always_inline bool rewrite_port(struct __sk_buff *skb, const struct packet *packet,
					 __u32 end, port_t from, port_t to)
{
	return !bpf_l4_csum_replace(skb, packet->l4 + checksum_offset(packet), from, to,
				    flags_of(packet) | 2) &&
	       !bpf_skb_store_bytes(skb, packet->l4 + port_offset(packet, end), &to, sizeof(to), 0);
}

/*
 * Gives an end of the packet another address, of the same family, and another port; `packet` says
 * so afterwards. The port of a packet that has none stays 0. Global, as are the functions below:
 * the verifier walks them once and not for every caller.
 */
__noinline bool rewrite_end(struct __sk_buff *skb, struct packet *packet, __u32 end,
			    const struct endpoint *to)
{
	struct endpoint from, now;

	if (!packet || !to)
		return false;
	now = *to;
	from = end_of_packet(packet, end);
	if (!ip_equals(&from.address, &now.address) &&
	    !rewrite_address(skb, packet, end, &from.address, &now.address))
		return false;
	if (from.port != now.port && !rewrite_port(skb, packet, end, from.port, now.port))
		return false;
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
 * Gives an end of the packet that an error quotes another address and port, and the opposite end of
 * the error itself, which is that same host or one before it, the same address. All sums are
 * made here: an error may have been made of a packet whose checksum is pending, see resize.h. The
 * quote may end before its transport's checksum.
 */
__noinline bool rewrite_error(struct __sk_buff *skb, struct packet *error, struct packet *quoted,
			      __u32 end, const struct endpoint *to)
{
	__u64 address_change, port_change = 0, change;
	__u32 field, sum_at;
	struct endpoint from, now;

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
	end = end == SOURCE ? DESTINATION : SOURCE;
	from = end_of_packet(error, end);
	if (error->family == 6)
		change += sum_change(&from.address, &now.address, sizeof(ip_t));
	if (!rewrite_outer_address(skb, error, end, &now.address))
		return false;
	if (end == SOURCE)
		error->source = now.address;
	else
		error->destination = now.address;
	carry_over(skb, error->l4 + offsetof(struct icmp_header, checksum), change, false);
	return neutralize_pending_checksum(skb);
}
