/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Answers to a packet that cannot go on: it is turned, in place, into an ICMP or ICMPv6 error or a
 * TCP reset towards its sender. */
#pragma once

#include "resize.h"

/* RFC 1812 4.3.2.3 and RFC 4443 2.4(c): an error quotes as much as fits into packets of this size.
 */
#define ICMP_ERROR_MAX	 576
#define ICMPV6_ERROR_MAX 1280

/* Networks treat errors as Linux sends them: internetwork control. */
#define TOS_CONTROL 0xc0
#define REPLY_TTL   64

/* What is wrong, in the words of either family. */
enum problem {
	PROBLEM_TOO_BIG, /* with the MTU that would do */
	PROBLEM_NO_ROUTE,
	PROBLEM_NO_HOST, /* the next hop's link address cannot be found */
	PROBLEM_NO_PORT,
	PROBLEM_PROHIBITED, /* by an administrator */
	PROBLEM_TIME_EXCEEDED,
};

static __always_inline __u8 icmp_type_of(enum problem problem)
{
	return problem == PROBLEM_TIME_EXCEEDED ? ICMP_TIME_EXCEEDED : ICMP_UNREACHABLE;
}

static __always_inline __u8 icmp_code_of(enum problem problem)
{
	switch (problem) {
	case PROBLEM_TOO_BIG:
		return 4;
	case PROBLEM_NO_HOST:
		return 1;
	case PROBLEM_NO_PORT:
		return 3;
	case PROBLEM_PROHIBITED:
		return 13;
	default:
		return 0;
	}
}

static __always_inline __u8 icmpv6_type_of(enum problem problem)
{
	switch (problem) {
	case PROBLEM_TOO_BIG:
		return ICMPV6_TOO_BIG;
	case PROBLEM_TIME_EXCEEDED:
		return ICMPV6_TIME_EXCEEDED;
	default:
		return ICMPV6_UNREACHABLE;
	}
}

static __always_inline __u8 icmpv6_code_of(enum problem problem)
{
	switch (problem) {
	case PROBLEM_NO_HOST:
		return 3;
	case PROBLEM_NO_PORT:
		return 4;
	case PROBLEM_PROHIBITED:
		return 1;
	default:
		return 0;
	}
}

/* Whether an error may be sent about this packet: RFC 1122 3.2.2 and RFC 4443 2.4(e). Too-big alone
 * may answer IPv6 multicast. */
static __always_inline bool draws_errors(const struct packet *packet)
{
	return packet->family && packet->fragment != LATER_FRAGMENT && !is_icmp_error(packet) &&
	       !ip_is_multicast(&packet->source) && !ip_is_unspecified(&packet->source) &&
	       !ip_is_multicast(&packet->destination);
}

/* Sends the frame back where it came from. */
static __always_inline bool swap_macs(struct __sk_buff *skb)
{
	struct ethernet buffer, *ethernet = read_bytes(skb, 0, &buffer, sizeof(buffer));
	mac_t macs[2];

	if (!ethernet)
		return false;
	macs[0] = ethernet->source;
	macs[1] = ethernet->destination;
	return !bpf_skb_store_bytes(skb, 0, macs, sizeof(macs), 0);
}

static __always_inline __u32 reply_ip_length(const struct packet *packet)
{
	return packet->family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
}

static __always_inline bool write_reply_ipv4(struct __sk_buff *skb, const ip_t *from,
					     const ip_t *to, protocol_t protocol, __u32 payload)
{
	struct iphdr ip = {
		.version = 4,
		.ihl = 5,
		.tos = TOS_CONTROL,
		.tot_len = bpf_htons(sizeof(ip) + payload),
		.frag_off = bpf_htons(IP_DF),
		.ttl = REPLY_TTL,
		.protocol = protocol,
		.saddr = from->word[3],
		.daddr = to->word[3],
	};

	ip.check = ~fold_sum(sum_words(&ip, sizeof(ip)));
	return !bpf_skb_store_bytes(skb, L3_OFFSET, &ip, sizeof(ip), BPF_F_RECOMPUTE_CSUM);
}

static __always_inline bool write_reply_ipv6(struct __sk_buff *skb, const ip_t *from,
					     const ip_t *to, protocol_t protocol, __u32 payload)
{
	struct ipv6hdr ip = {
		.version = 6,
		.payload_len = bpf_htons(payload),
		.nexthdr = protocol,
		.hop_limit = REPLY_TTL,
	};

	__builtin_memcpy(&ip.saddr, from, sizeof(ip_t));
	__builtin_memcpy(&ip.daddr, to, sizeof(ip_t));
	return !bpf_skb_store_bytes(skb, L3_OFFSET, &ip, sizeof(ip), BPF_F_RECOMPUTE_CSUM);
}

/* Writes the headers of a reply with `payload` bytes behind its IP header, from address `from` to
 * the packet's sender. Global, so that the verifier walks it once and not for every caller. */
__noinline bool write_reply_headers(struct __sk_buff *skb, const struct packet *packet,
				    const ip_t *from, __u32 protocol, __u32 payload)
{
	if (!packet || !from || !swap_macs(skb))
		return false;
	if (packet->family == 4)
		return write_reply_ipv4(skb, from, &packet->source, protocol, payload);
	return write_reply_ipv6(skb, from, &packet->source, protocol, payload);
}

/* What is quoted where the kernel refuses to cut a packet's end (is_encapsulated()): the least that
 * a receiver needs, IP header and 8 bytes, as the stack has no room for more. Even, so that what
 * resize_packet() leaves behind it is easily left out of the checksum. */
#define QUOTE_ENCAPSULATED (sizeof(struct ipv6hdr) + 8)

static __always_inline __u32 quote_encapsulated(struct __sk_buff *skb, const struct packet *packet,
						__u32 headers)
{
	__u8 quote[QUOTE_ENCAPSULATED];
	__u32 quoted = packet->length & ~1U;

	if (quoted > sizeof(quote))
		quoted = sizeof(quote);
	if (!quoted || bpf_skb_load_bytes(skb, L3_OFFSET, quote, quoted) ||
	    !resize_packet(skb, L3_OFFSET + headers + quoted) ||
	    bpf_skb_store_bytes(skb, L3_OFFSET + headers, quote, quoted, BPF_F_RECOMPUTE_CSUM))
		return 0;
	return quoted;
}

/* Shortens the packet to what an error quotes of it, and makes room for the error's `headers` in
 * front. Returns the quoted length, 0 on failure. */
static __always_inline __u32 quote_packet(struct __sk_buff *skb, const struct packet *packet,
					  __u32 headers)
{
	__u32 most = (packet->family == 4 ? ICMP_ERROR_MAX : ICMPV6_ERROR_MAX) - headers;
	__u32 quoted = packet->length < most ? packet->length : most;

	if (is_encapsulated(skb))
		return quote_encapsulated(skb, packet, headers);
	if (bpf_skb_change_tail(skb, L3_OFFSET + quoted, 0) ||
	    bpf_skb_adjust_room(skb, headers, BPF_ADJ_ROOM_MAC, 0) ||
	    bpf_skb_pull_data(skb, L3_OFFSET + headers + quoted))
		return 0;
	return quoted;
}

/*
 * Turns the packet into an error about itself, from address `from` to its sender; the frame's
 * addresses are exchanged. `mtu` is 0 but for PROBLEM_TOO_BIG. False if none may be sent (see
 * draws_errors) or memory lacks: the packet is then only good to be dropped.
 */
__noinline bool rewrite_to_icmp_error(struct __sk_buff *skb, const struct packet *packet,
				      enum problem problem, __u32 mtu, const ip_t *from)
{
	struct icmp_header icmp = {.rest = bpf_htonl(mtu)};
	__u32 ip_length, quoted, start;
	__u64 sum = 0;

	if (!packet || !from || !draws_errors(packet))
		return false;
	ip_length = reply_ip_length(packet);
	quoted = quote_packet(skb, packet, ip_length + sizeof(icmp));
	if (!quoted)
		return false;
	if (packet->family == 4) {
		icmp.type = icmp_type_of(problem);
		icmp.code = icmp_code_of(problem);
	} else {
		icmp.type = icmpv6_type_of(problem);
		icmp.code = icmpv6_code_of(problem);
		sum = sum_pseudo_header(from, &packet->source, IPPROTO_ICMPV6,
					sizeof(icmp) + quoted);
	}
	start = L3_OFFSET + ip_length + sizeof(icmp);
	sum += sum_words(&icmp, sizeof(icmp)) + sum_to_end(skb, start) +
	       (__u16)~sum_to_end(skb, start + quoted);
	icmp.checksum = ~fold_sum(sum);
	return !bpf_skb_store_bytes(skb, L3_OFFSET + ip_length, &icmp, sizeof(icmp),
				    BPF_F_RECOMPUTE_CSUM) &&
	       write_reply_headers(skb, packet, from,
				   packet->family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6,
				   sizeof(icmp) + quoted) &&
	       neutralize_pending_checksum(skb);
}

/* RFC 9293 3.10.7.1: the reset that answers `segment`, of `length` bytes of text, for which there
 * is no connection. */
static __always_inline struct tcphdr reset_of(const struct tcphdr *segment, __u32 length)
{
	struct tcphdr reset = {
		.source = segment->dest,
		.dest = segment->source,
		.doff = sizeof(reset) / 4,
		.rst = 1,
	};

	if (segment->ack) {
		reset.seq = segment->ack_seq;
	} else {
		reset.ack = 1;
		reset.ack_seq =
			bpf_htonl(bpf_ntohl(segment->seq) + length + segment->syn + segment->fin);
	}
	return reset;
}

/* Turns a TCP segment into the reset that its receiver would send if nobody listened. False if none
 * may be sent: drop the packet. */
__noinline bool rewrite_to_tcp_reset(struct __sk_buff *skb, const struct packet *packet)
{
	struct tcphdr tcp;
	__u32 offset;

	if (!packet || !draws_errors(packet) || packet->protocol != IPPROTO_TCP ||
	    packet->tcp_flags & TCP_RST || bpf_skb_load_bytes(skb, packet->l4, &tcp, sizeof(tcp)))
		return false;
	tcp = reset_of(&tcp, packet->length - (packet->payload - packet->l3));
	tcp.check = ~fold_sum(
		sum_pseudo_header(&packet->source, &packet->destination, IPPROTO_TCP, sizeof(tcp)) +
		sum_words(&tcp, sizeof(tcp)));
	offset = L3_OFFSET + reply_ip_length(packet);
	return resize_packet(skb, offset + sizeof(tcp)) &&
	       !bpf_skb_store_bytes(skb, offset, &tcp, sizeof(tcp), BPF_F_RECOMPUTE_CSUM) &&
	       write_reply_headers(skb, packet, &packet->destination, IPPROTO_TCP, sizeof(tcp)) &&
	       neutralize_pending_checksum(skb);
}

/* Also a later fragment of what may be one: each becomes a fragment of the reply. */
static __always_inline bool is_echo_request(const struct packet *packet)
{
	__u8 type = packet->family == 4 ? ICMP_ECHO_REQUEST : ICMPV6_ECHO_REQUEST;

	return is_icmp(packet) && (packet->fragment == LATER_FRAGMENT || packet->icmp_type == type);
}

/* Addresses that are exchanged add up to the same. */
static __always_inline bool rewrite_echo_addresses(struct __sk_buff *skb,
						   const struct packet *packet)
{
	__u8 ttl = REPLY_TTL;

	if (packet->family == 4) {
		ipv4_t addresses[2] = {packet->destination.word[3], packet->source.word[3]};

		return !bpf_l3_csum_replace(skb, L3_OFFSET + offsetof(struct iphdr, check),
					    bpf_htons(packet->ttl << 8), bpf_htons(ttl << 8), 2) &&
		       !bpf_skb_store_bytes(skb, L3_OFFSET + offsetof(struct iphdr, ttl), &ttl,
					    sizeof(ttl), 0) &&
		       !bpf_skb_store_bytes(skb, L3_OFFSET + offsetof(struct iphdr, saddr),
					    addresses, sizeof(addresses), 0);
	} else {
		ip_t addresses[2] = {packet->destination, packet->source};

		return !bpf_skb_store_bytes(skb, L3_OFFSET + offsetof(struct ipv6hdr, hop_limit),
					    &ttl, sizeof(ttl), BPF_F_RECOMPUTE_CSUM) &&
		       !bpf_skb_store_bytes(skb, L3_OFFSET + offsetof(struct ipv6hdr, saddr),
					    addresses, sizeof(addresses), 0);
	}
}

/* Turns an echo request into its reply; the frame's addresses are exchanged. */
static __always_inline bool rewrite_to_echo_reply(struct __sk_buff *skb,
						  const struct packet *packet)
{
	__u8 type = packet->family == 4 ? ICMP_ECHO_REPLY : ICMPV6_ECHO_REPLY;
	__u32 checksum = packet->l4 + offsetof(struct icmp_header, checksum);

	if (!swap_macs(skb) || !rewrite_echo_addresses(skb, packet))
		return false;
	if (packet->fragment == LATER_FRAGMENT)
		return true;
	return !bpf_l4_csum_replace(skb, checksum, bpf_htons(packet->icmp_type << 8),
				    bpf_htons(type << 8), 2) &&
	       !bpf_skb_store_bytes(skb, packet->l4, &type, sizeof(type), 0);
}
