/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a packet says: where its headers are, and the fields by which functions decide. Nothing is
 * changed here. */
#pragma once

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/in.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include "types.h"

#define L3_OFFSET ETH_HLEN
/* IPv6 extension headers that are walked; a packet with more is malformed to us. */
#define EXTENSIONS_MAX 6

#define OFFSET_MAX	   0x7fff
#define SCTP_HEADER_LENGTH 12

#define IP_DF	  0x4000
#define IP_MF	  0x2000
#define IP_OFFSET 0x1fff

enum fragment {
	WHOLE,
	FIRST_FRAGMENT,
	LATER_FRAGMENT, /* has no transport header: ports, flags, type and code are 0 */
};

/* UDP ports of RFC 2131 and RFC 8415. */
enum bootp_port {
	BOOTP_SERVER = 67,
	BOOTP_CLIENT = 68,
	DHCPV6_CLIENT = 546,
	DHCPV6_SERVER = 547,
};

/* <linux/icmp.h> and <linux/icmpv6.h> want a C library. */
enum icmp_message {
	ICMP_ECHO_REPLY = 0,
	ICMP_UNREACHABLE = 3,
	ICMP_SOURCE_QUENCH = 4,
	ICMP_REDIRECT = 5,
	ICMP_ECHO_REQUEST = 8,
	ICMP_TIME_EXCEEDED = 11,
	ICMP_PARAMETER_PROBLEM = 12,
};

enum icmpv6_message {
	ICMPV6_UNREACHABLE = 1,
	ICMPV6_TOO_BIG = 2,
	ICMPV6_TIME_EXCEEDED = 3,
	ICMPV6_INFORMATIONAL = 128, /* from here on no errors */
	ICMPV6_ECHO_REQUEST = 128,
	ICMPV6_ECHO_REPLY = 129,
	ICMPV6_ROUTER_SOLICITATION = 133,
	ICMPV6_ROUTER_ADVERTISEMENT = 134,
	ICMPV6_NEIGHBOUR_SOLICITATION = 135,
	ICMPV6_NEIGHBOUR_ADVERTISEMENT = 136,
	ICMPV6_REDIRECT = 137,
};

struct icmp_header {
	__u8 type;
	__u8 code;
	__be16 checksum;
	union {
		__be32 rest; /* an MTU, in its low bits */
		struct {
			__be16 identifier;
			__be16 sequence;
		};
	};
};

enum tcp_flag {
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_PSH = 0x08,
	TCP_ACK = 0x10,
};

/* Offsets count from the start of the frame. */
struct packet {
	ip_t source;
	ip_t destination;
	__be16 ethertype;    /* ETH_P_8021Q for a tagged frame, whose inside is not looked at */
	__u8 family;	     /* 4, 6, or 0: not IP, and only `ethertype` is set */
	__u8 fragment;	     /* enum fragment */
	protocol_t protocol; /* the transport's, behind IPv6 extension headers */
	__u8 ttl;	     /* hop limit */
	__u8 tcp_flags;	     /* enum tcp_flag */
	__u8 icmp_type;	     /* ICMP or ICMPv6 */
	__u8 icmp_code;
	bool dont_fragment; /* always true for IPv6 */
	port_t source_port; /* TCP, UDP, SCTP; the identifier of an ICMP echo, in both */
	port_t destination_port;
	__u16 l3;	       /* IP header */
	__u16 l4;	       /* transport header, or a later fragment's payload */
	__u16 payload;	       /* behind the transport header where it is known, else l4 */
	__u32 length;	       /* of the IP packet; of a GSO packet as a whole */
	__u32 fragment_id;     /* of a fragment: what all fragments of its packet share */
	__u32 fragment_offset; /* of a fragment: where its payload lies in the packet's, in bytes */
};

/*
 * Where the frame begins and ends in memory. In assembler, as clang takes the fields for the 32-bit
 * numbers that they are declared to be, and compares halves of pointers, which the verifier
 * refuses.
 */
static __always_inline void *frame_start(const struct __sk_buff *skb)
{
	void *start;

	asm volatile("%0 = *(u32 *)(%1 + %2)"
		     : "=r"(start)
		     : "r"(skb), "i"(offsetof(struct __sk_buff, data)));
	return start;
}

static __always_inline void *frame_end(const struct __sk_buff *skb)
{
	void *end;

	asm volatile("%0 = *(u32 *)(%1 + %2)"
		     : "=r"(end)
		     : "r"(skb), "i"(offsetof(struct __sk_buff, data_end)));
	return end;
}

/*
 * The `size` bytes at an offset: in the packet itself or, where the kernel keeps them elsewhere,
 * copied to `buffer`. NULL if the packet ends before. Good until the packet is changed.
 */
static __always_inline void *read_bytes(struct __sk_buff *skb, __u32 offset, void *buffer,
					__u32 size)
{
	void *data = frame_start(skb), *end = frame_end(skb);

	if (!__builtin_constant_p(offset))
		offset &= OFFSET_MAX; /* for the verifier: parsed offsets are smaller */
	if (likely(data + offset + size <= end))
		return data + offset;
	return bpf_skb_load_bytes(skb, offset, buffer, size) ? NULL : buffer;
}

/* The IPv4 address as one of either family: ::ffff:a.b.c.d */
static __always_inline ip_t ip_of_ipv4(ipv4_t address)
{
	ip_t ip = {.word = {0, 0, bpf_htonl(0xffff), address}};

	return ip;
}

static __always_inline bool ip_equals(const ip_t *a, const ip_t *b)
{
	return a->half[0] == b->half[0] && a->half[1] == b->half[1];
}

static __always_inline bool ip_is_ipv4(const ip_t *ip)
{
	return ip->half[0] == 0 && ip->word[2] == bpf_htonl(0xffff);
}

static __always_inline bool ip_is_unspecified(const ip_t *ip)
{
	return ip->half[0] == 0 &&
	       (ip->half[1] == 0 || ip->half[1] == bpf_cpu_to_be64(0xffff00000000));
}

/* Multicast, or IPv4's limited broadcast. */
static __always_inline bool ip_is_multicast(const ip_t *ip)
{
	if (ip_is_ipv4(ip))
		return ip->byte[12] >= 224;
	return ip->byte[0] == 0xff;
}

static __always_inline bool ip_is_link_local(const ip_t *ip)
{
	if (ip_is_ipv4(ip))
		return ip->byte[12] == 169 && ip->byte[13] == 254;
	return ip->byte[0] == 0xfe && (ip->byte[1] & 0xc0) == 0x80;
}

static __always_inline bool is_icmp(const struct packet *packet)
{
	return packet->protocol == (packet->family == 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
}

/* ICMP and ICMPv6 messages that quote the packet they are about: see parse_quoted(). */
static __always_inline bool is_icmp_error(const struct packet *packet)
{
	if (packet->fragment == LATER_FRAGMENT || !is_icmp(packet))
		return false;
	if (packet->family == 6)
		return packet->icmp_type < ICMPV6_INFORMATIONAL;
	return packet->icmp_type == ICMP_UNREACHABLE || packet->icmp_type == ICMP_SOURCE_QUENCH ||
	       packet->icmp_type == ICMP_REDIRECT || packet->icmp_type == ICMP_TIME_EXCEEDED ||
	       packet->icmp_type == ICMP_PARAMETER_PROBLEM;
}

/* `quoted`: the packet is cut short inside an ICMP error; only the first 8 bytes of its transport
 * header are sure. */
static __always_inline bool parse_tcp(struct __sk_buff *skb, struct packet *packet, bool quoted)
{
	struct tcphdr buffer,
		*tcp = read_bytes(skb, packet->l4, &buffer, quoted ? 8 : sizeof(buffer));

	if (!tcp)
		return false;
	packet->source_port = tcp->source;
	packet->destination_port = tcp->dest;
	if (quoted)
		return true;
	packet->tcp_flags = ((__u8 *)tcp)[13];
	packet->payload = packet->l4 + tcp->doff * 4;
	return tcp->doff * 4 >= sizeof(*tcp);
}

static __always_inline bool parse_icmp(struct __sk_buff *skb, struct packet *packet)
{
	struct icmp_header buffer, *icmp = read_bytes(skb, packet->l4, &buffer, sizeof(buffer));

	if (!icmp)
		return false;
	packet->icmp_type = icmp->type;
	packet->icmp_code = icmp->code;
	packet->payload = packet->l4 + sizeof(*icmp);
	if (packet->family == 4
		    ? icmp->type == ICMP_ECHO_REQUEST || icmp->type == ICMP_ECHO_REPLY
		    : icmp->type == ICMPV6_ECHO_REQUEST || icmp->type == ICMPV6_ECHO_REPLY)
		packet->source_port = packet->destination_port = icmp->identifier;
	return true;
}

/* UDP, and SCTP's common header: the ports come first. */
static __always_inline bool parse_ports(struct __sk_buff *skb, struct packet *packet,
					__u32 header_length)
{
	port_t buffer[2], *ports = read_bytes(skb, packet->l4, buffer, sizeof(buffer));

	if (!ports)
		return false;
	packet->source_port = ports[0];
	packet->destination_port = ports[1];
	packet->payload = packet->l4 + header_length;
	return true;
}

static __always_inline bool parse_transport(struct __sk_buff *skb, struct packet *packet,
					    bool quoted)
{
	bool parsed = true;

	packet->payload = packet->l4;
	if (packet->fragment == LATER_FRAGMENT)
		return true;
	if (packet->protocol == IPPROTO_TCP)
		parsed = parse_tcp(skb, packet, quoted);
	else if (packet->protocol == IPPROTO_UDP)
		parsed = parse_ports(skb, packet, sizeof(struct udphdr));
	else if (is_icmp(packet))
		parsed = parse_icmp(skb, packet);
	else if (packet->protocol == IPPROTO_SCTP)
		parsed = parse_ports(skb, packet, SCTP_HEADER_LENGTH);

	return parsed && (quoted || packet->payload <= packet->l3 + packet->length);
}

/* RFC 3128: a TCP fragment that begins at the flags is there to hide them. */
static __always_inline bool hides_flags(protocol_t protocol, __u32 fragment_offset)
{
	return protocol == IPPROTO_TCP && fragment_offset == 1;
}

/* The IP header; parse_transport() goes on. */
static __always_inline bool parse_ipv4(struct __sk_buff *skb, struct packet *packet, __u32 l3,
				       bool quoted)
{
	struct iphdr buffer, *ip = read_bytes(skb, l3, &buffer, sizeof(buffer));
	__u32 fragment;

	if (!ip || ip->version != 4 || ip->ihl * 4 < sizeof(*ip))
		return false;
	packet->family = 4;
	packet->source = ip_of_ipv4(ip->saddr);
	packet->destination = ip_of_ipv4(ip->daddr);
	packet->protocol = ip->protocol;
	packet->ttl = ip->ttl;
	packet->l3 = l3;
	packet->l4 = l3 + ip->ihl * 4;
	packet->length = bpf_ntohs(ip->tot_len);
	if (!packet->length && skb->gso_size)
		packet->length = skb->len - l3; /* more than 64 KiB: the kernel's BIG TCP */
	if (l3 + packet->length < packet->l4 || (!quoted && l3 + packet->length > skb->len))
		return false;

	fragment = bpf_ntohs(ip->frag_off);
	packet->dont_fragment = fragment & IP_DF;
	if (fragment & IP_OFFSET)
		packet->fragment = LATER_FRAGMENT;
	else if (fragment & IP_MF)
		packet->fragment = FIRST_FRAGMENT;
	if (packet->fragment) {
		packet->fragment_id = ip->id;
		packet->fragment_offset = (fragment & IP_OFFSET) * 8;
	}
	return !hides_flags(ip->protocol, fragment & IP_OFFSET);
}

static __always_inline bool is_extension(protocol_t protocol)
{
	return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING ||
	       protocol == IPPROTO_DSTOPTS || protocol == IPPROTO_FRAGMENT ||
	       protocol == IPPROTO_AH || protocol == IPPROTO_MH;
}

/* Where IPv6's extension headers end. */
struct extensions {
	__u16 l4;
	protocol_t protocol;
	__u8 fragment;
	__u32 fragment_id;
	__u32 fragment_offset;
};

struct extension_walk {
	struct __sk_buff *skb;
	struct extensions found; /* so far */
	bool malformed;
};

static __always_inline bool is_at_end(const struct extensions *found)
{
	return found->fragment == LATER_FRAGMENT || !is_extension(found->protocol);
}

static long read_extension(__u32 n, struct extension_walk *walk)
{
	struct extensions *found = &walk->found;
	struct {
		protocol_t next;
		__u8 length;
		__be16 fragment;
		__u32 identification; /* where it is a fragment header; any has 8 bytes */
	} extension;

	if (is_at_end(found))
		return 1;
	walk->malformed = bpf_skb_load_bytes(walk->skb, found->l4, &extension, sizeof(extension));
	if (walk->malformed)
		return 1;
	if (found->protocol == IPPROTO_FRAGMENT) {
		__u32 place = bpf_ntohs(extension.fragment) >> 3;

		walk->malformed = hides_flags(extension.next, place);
		if (place)
			found->fragment = LATER_FRAGMENT;
		else if (extension.fragment & bpf_htons(1))
			found->fragment = FIRST_FRAGMENT;
		found->fragment_id = extension.identification;
		found->fragment_offset = place * 8;
		found->l4 += 8;
	} else if (found->protocol == IPPROTO_AH) {
		found->l4 += (extension.length + 2) * 4;
	} else {
		found->l4 += (extension.length + 1) * 8;
	}
	found->protocol = extension.next;
	return walk->malformed;
}

/*
 * Walks the extension headers, from the first, which is of type `protocol`, to the transport header
 * or a later fragment's payload. False if they are cut short or too many. Global, so that the
 * verifier walks the loop once and not for every caller.
 */
__noinline bool parse_extensions(struct __sk_buff *skb, __u32 offset, __u32 protocol,
				 struct extensions *found)
{
	struct extension_walk walk = {.skb = skb, .found = {.l4 = offset, .protocol = protocol}};

	if (!found)
		return false;
	bpf_loop(EXTENSIONS_MAX, read_extension, &walk, 0);
	*found = walk.found;
	return !walk.malformed && is_at_end(found);
}

/* As parse_ipv4(), with the extension headers. */
static __always_inline bool parse_ipv6(struct __sk_buff *skb, struct packet *packet, __u32 l3,
				       bool quoted)
{
	struct ipv6hdr buffer, *ip = read_bytes(skb, l3, &buffer, sizeof(buffer));

	if (!ip || ip->version != 6)
		return false;
	packet->family = 6;
	packet->source = *(ip_t *)&ip->saddr;
	packet->destination = *(ip_t *)&ip->daddr;
	packet->protocol = ip->nexthdr;
	packet->ttl = ip->hop_limit;
	packet->dont_fragment = true;
	packet->l3 = l3;
	packet->l4 = l3 + sizeof(*ip);
	packet->length = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	if (!ip->payload_len && skb->gso_size)
		packet->length = skb->len - l3;
	if (!quoted && l3 + packet->length > skb->len)
		return false;
	if (is_extension(packet->protocol)) {
		struct extensions found = {};

		if (!parse_extensions(skb, packet->l4, packet->protocol, &found))
			return false;
		packet->l4 = found.l4;
		packet->protocol = found.protocol;
		packet->fragment = found.fragment;
		packet->fragment_id = found.fragment_id;
		packet->fragment_offset = found.fragment_offset;
	}
	return true;
}

__noinline bool parse_transport_apart(struct __sk_buff *skb, struct packet *packet, bool quoted)
{
	return packet && parse_transport(skb, packet, quoted);
}

/*
 * Reads the IP packet whose header is at `l3`, if `packet->ethertype` says that there is one; for
 * programs in which several places parse packets, off the usual packet's way. Global, as above; and
 * its stack is given back.
 */
__noinline bool parse_ip_apart(struct __sk_buff *skb, struct packet *packet, __u32 l3, bool quoted)
{
	bool parsed;

	if (!packet)
		return false;
	if (packet->ethertype == bpf_htons(ETH_P_IP))
		parsed = parse_ipv4(skb, packet, l3, quoted);
	else if (packet->ethertype == bpf_htons(ETH_P_IPV6))
		parsed = parse_ipv6(skb, packet, l3, quoted);
	else
		return true;
	return parsed && parse_transport_apart(skb, packet, quoted);
}

static __always_inline bool parse_ethernet(struct __sk_buff *skb, struct packet *packet)
{
	struct ethernet buffer, *ethernet = read_bytes(skb, 0, &buffer, sizeof(buffer));

	__builtin_memset(packet, 0, sizeof(*packet));
	if (!ethernet)
		return false;
	packet->ethertype = ethernet->type;
	if (skb->vlan_present)
		packet->ethertype = bpf_htons(ETH_P_8021Q);
	return true;
}

/*
 * Reads the packet. False if it is cut short or its headers contradict each other: drop(skb,
 * CORE_MALFORMED). What is not IP is no fault: `family` is 0 then.
 */
static __always_inline bool parse_packet(struct __sk_buff *skb, struct packet *packet)
{
	if (!parse_ethernet(skb, packet))
		return false;
	if (packet->ethertype == bpf_htons(ETH_P_IP))
		return parse_ipv4(skb, packet, L3_OFFSET, false) &&
		       parse_transport(skb, packet, false);
	if (packet->ethertype == bpf_htons(ETH_P_IPV6))
		return parse_ipv6(skb, packet, L3_OFFSET, false) &&
		       parse_transport(skb, packet, false);
	return true;
}

/* The same, see parse_ip_apart(). */
static __always_inline bool parse_packet_apart(struct __sk_buff *skb, struct packet *packet)
{
	return parse_ethernet(skb, packet) && parse_ip_apart(skb, packet, L3_OFFSET, false);
}

/*
 * Reads the packet that an ICMP error (is_icmp_error) quotes. Its TCP flags are not known, its
 * length may be more than is there.
 */
static __always_inline bool parse_quoted(struct __sk_buff *skb, const struct packet *error,
					 struct packet *quoted)
{
	__builtin_memset(quoted, 0, sizeof(*quoted));
	quoted->ethertype = error->ethertype;
	return parse_ip_apart(skb, quoted, error->payload, true);
}

/* The length of the IP packet as a wire carries it: that of one segment where the packet is a train
 * of them (GSO). */
static __always_inline __u32 length_on_wire(const struct __sk_buff *skb,
					    const struct packet *packet)
{
	if (skb->gso_size)
		return packet->payload - packet->l3 + skb->gso_size;
	return packet->length;
}

/* How much a wire carries. */
struct load {
	__u32 packets;
	__u32 bytes; /* of IP packets, their headers included */
};

/* The load of an IP packet; of a train of segments (GSO), that of all packets it will become. */
static __always_inline struct load load_on_wire(const struct __sk_buff *skb,
						const struct packet *packet)
{
	__u32 headers = packet->payload - packet->l3, segment = skb->gso_size;
	struct load load = {.packets = 1, .bytes = packet->length};

	if (!segment || packet->length <= headers + segment)
		return load;
	load.packets = (packet->length - headers + segment - 1) / segment;
	load.bytes += (load.packets - 1) * headers;
	return load;
}
