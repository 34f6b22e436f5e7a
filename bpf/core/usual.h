/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The usual packet, recognised with the least work: TCP or UDP, of a session that has just been
 * heard of. */
#pragma once

#include "session.h"
#include "tcp.h"

/*
 * For the short way of kinds that keep sessions. Nothing may be decided there that their long way
 * would decide otherwise: what is not as usual is left to that, untouched. Here that is IP options
 * and extensions, fragments, headers that are not linear, SYNs that open, what contradicts its
 * session, and sessions of another tick of the kernel.
 */

/* A TCP or UDP header, and the bytes from there to the end of the packet. */
struct transport {
	struct tcphdr *header; /* UDP has its ports in the same place */
	__u32 offset;
	__u32 length;
	protocol_t protocol;
};

/* Whether the packet has one at the offset, and `length` bytes from there: a number that no packet
 * has where IP says to be shorter than its own header. */
static __always_inline bool read_transport(struct __sk_buff *skb, struct transport *transport,
					   __u32 offset, __u32 length, protocol_t protocol)
{
	void *header = (void *)(long)skb->data + offset, *end = (void *)(long)skb->data_end;

	transport->header = header;
	transport->offset = offset;
	transport->length = length;
	transport->protocol = protocol;
	if (length > skb->len - offset)
		return false;
	if (protocol == IPPROTO_UDP)
		return header + sizeof(struct udphdr) <= end && length >= sizeof(struct udphdr);
	return protocol == IPPROTO_TCP && header + sizeof(struct tcphdr) <= end &&
	       transport->header->doff * 4 >= sizeof(struct tcphdr) &&
	       transport->header->doff * 4 <= length;
}

/* The headers of a usual packet, whose Ethernet header says that it is one of IPv4. */
static __always_inline bool read_usual_ipv4(struct __sk_buff *skb, struct iphdr **ip,
					    struct transport *transport)
{
	struct iphdr *header = (void *)(long)skb->data + L3_OFFSET;

	*ip = header;
	return (void *)(header + 1) <= (void *)(long)skb->data_end && header->version == 4 &&
	       header->ihl == 5 && !(header->frag_off & bpf_htons(IP_MF | IP_OFFSET)) &&
	       read_transport(skb, transport, L3_OFFSET + sizeof(*header),
			      bpf_ntohs(header->tot_len) - sizeof(*header), header->protocol);
}

static __always_inline bool read_usual_ipv6(struct __sk_buff *skb, struct ipv6hdr **ip,
					    struct transport *transport)
{
	struct ipv6hdr *header = (void *)(long)skb->data + L3_OFFSET;

	*ip = header;
	return (void *)(header + 1) <= (void *)(long)skb->data_end && header->version == 6 &&
	       read_transport(skb, transport, L3_OFFSET + sizeof(*header),
			      bpf_ntohs(header->payload_len), header->nexthdr);
}

/* The key of a usual packet's session but for the workload; `sender` is the port behind which its
 * sender lies. */
static __always_inline struct session4_key
usual4_key_of(const struct iphdr *ip, const struct transport *transport, __u32 sender)
{
	port_t source = transport->header->source, destination = transport->header->dest;
	struct session4_key key = {.protocol = transport->protocol};

	key.local = sender == INSIDE ? ip->saddr : ip->daddr;
	key.remote = sender == INSIDE ? ip->daddr : ip->saddr;
	key.local_port = sender == INSIDE ? source : destination;
	key.remote_port = sender == INSIDE ? destination : source;
	return key;
}

static __always_inline struct session6_key
usual6_key_of(const struct ipv6hdr *ip, const struct transport *transport, __u32 sender)
{
	port_t source = transport->header->source, destination = transport->header->dest;
	struct session6_key key = {.protocol = transport->protocol};

	key.local = *(ip_t *)(sender == INSIDE ? &ip->saddr : &ip->daddr);
	key.remote = *(ip_t *)(sender == INSIDE ? &ip->daddr : &ip->saddr);
	key.local_port = sender == INSIDE ? source : destination;
	key.remote_port = sender == INSIDE ? destination : source;
	return key;
}

/* Whether a segment that is not of mid-stream carries its session on: it answers or completes the
 * handshake, or closes. */
static __noinline bool takes_turn(struct __sk_buff *skb, struct session *session, __u32 sender,
				  const struct transport *transport, bool strict)
{
	struct tcp_segment segment;

	read_segment(&segment, transport->header, transport->length);
	if ((segment.flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
		return false;
	if (segment.flags & TCP_SYN)
		segment.scale =
			parse_window_scale(skb, transport->offset + sizeof(struct tcphdr),
					   transport->header->doff * 4 - sizeof(struct tcphdr));
	return track_tcp(session, sender, &segment, strict) == BELONGS;
}

/* Whether a usual packet carries its session on, which learns from it then; `strict` as of
 * track_tcp(). */
static __always_inline bool carries_on(struct __sk_buff *skb, struct session *session, __u32 sender,
				       const struct transport *transport, bool strict)
{
	struct tcp_segment segment;

	if (session->tick != read_tick())
		return false;
	if (transport->protocol == IPPROTO_UDP)
		return session->state == SESSION_STATE_ESTABLISHED || session->opener == sender;
	read_segment(&segment, transport->header, transport->length);
	if (!is_mid_stream(session, segment.flags))
		return takes_turn(skb, session, sender, transport, strict);
	if (!is_in_window(session, sender, &segment))
		return false;
	advance_tcp(session, sender, &segment);
	return true;
}
