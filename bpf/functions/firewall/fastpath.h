/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The usual packet, recognised with the least work: TCP or UDP, of a session that has just been
 * heard of. */
#pragma once

#include "firewall.gen.h"
#include "graph.h"
#include "packet.h"
#include "session.h"
#include "tcp.h"
#include "rules.h"

/*
 * This halves what the firewall adds to a known session's packets. Nothing is decided here that
 * judge.h would decide otherwise: whatever is not as usual is left to it, untouched. That is IP
 * options and extensions, fragments, headers that are not linear, SYNs that open, what contradicts
 * its session, and sessions of another tick of the kernel or of other rules.
 */

/* A TCP or UDP header, and the bytes from there to the end of the packet. */
struct transport {
	const struct tcphdr *header; /* UDP has its ports in the same place */
	__u32 offset;
	__u32 length;
	protocol_t protocol;
};

static __always_inline bool read_transport(struct __sk_buff *skb, struct transport *transport,
					   __u32 offset, __u32 length, protocol_t protocol)
{
	void *header = (void *)(long)skb->data + offset, *end = (void *)(long)skb->data_end;

	transport->header = header;
	transport->offset = offset;
	transport->length = length;
	transport->protocol = protocol;
	if (skb->len < offset + length)
		return false;
	if (protocol == IPPROTO_UDP)
		return header + sizeof(struct udphdr) <= end && length >= sizeof(struct udphdr);
	return protocol == IPPROTO_TCP && header + sizeof(struct tcphdr) <= end &&
	       transport->header->doff * 4 >= sizeof(struct tcphdr) &&
	       transport->header->doff * 4 <= length;
}

/* Whether a segment that is not of mid-stream carries its session on: it answers or completes the
 * handshake, or closes. */
static __noinline bool takes_turn(struct __sk_buff *skb, struct session *session, __u32 sender,
				  const struct transport *transport)
{
	const struct firewall_config *config = lookup_config();
	struct tcp_segment segment;

	if (!config)
		return false;
	read_segment(&segment, transport->header, transport->length);
	if ((segment.flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
		return false;
	if (segment.flags & TCP_SYN)
		segment.scale =
			parse_window_scale(skb, transport->offset + sizeof(struct tcphdr),
					   transport->header->doff * 4 - sizeof(struct tcphdr));
	return track_tcp(session, sender, &segment, config->tcp_window_check) == BELONGS;
}

/* Whether the packet carries its session on, which learns from it then. */
static __always_inline bool carries_on(struct __sk_buff *skb, struct session *session, __u32 sender,
				       const struct transport *transport)
{
	const struct firewall_config *config = lookup_config();
	struct tcp_segment segment;

	if (!session || !config || session->tick != read_tick())
		return false;
	if (config->rejudge && session->generation != read_generation())
		return false;
	if (transport->protocol == IPPROTO_UDP)
		return session->state == SESSION_STATE_ESTABLISHED || session->opener == sender;
	read_segment(&segment, transport->header, transport->length);
	if (!is_mid_stream(session, segment.flags))
		return takes_turn(skb, session, sender, transport);
	if (!is_in_window(session, sender, &segment))
		return false;
	advance_tcp(session, sender, &segment);
	return true;
}

static __always_inline bool passes_ipv4(struct __sk_buff *skb, __u32 sender)
{
	struct iphdr *ip = (void *)(long)skb->data + L3_OFFSET;
	struct session4_key key = {};
	struct transport transport;

	if ((void *)(ip + 1) > (void *)(long)skb->data_end || ip->version != 4 || ip->ihl != 5 ||
	    ip->frag_off & bpf_htons(IP_MF | IP_OFFSET))
		return false;
	key.local = sender == INSIDE ? ip->saddr : ip->daddr;
	key.remote = sender == INSIDE ? ip->daddr : ip->saddr;
	key.workload = session_scope(skb);
	key.protocol = ip->protocol;
	if (!read_transport(skb, &transport, L3_OFFSET + sizeof(*ip),
			    bpf_ntohs(ip->tot_len) - sizeof(*ip), ip->protocol))
		return false;
	key.local_port = sender == INSIDE ? transport.header->source : transport.header->dest;
	key.remote_port = sender == INSIDE ? transport.header->dest : transport.header->source;
	return carries_on(skb, bpf_map_lookup_elem(&sessions4, &key), sender, &transport);
}

static __always_inline bool passes_ipv6(struct __sk_buff *skb, __u32 sender)
{
	struct ipv6hdr *ip = (void *)(long)skb->data + L3_OFFSET;
	struct session6_key key = {};
	struct transport transport;

	if ((void *)(ip + 1) > (void *)(long)skb->data_end || ip->version != 6)
		return false;
	key.local = *(ip_t *)(sender == INSIDE ? &ip->saddr : &ip->daddr);
	key.remote = *(ip_t *)(sender == INSIDE ? &ip->daddr : &ip->saddr);
	key.workload = session_scope(skb);
	key.protocol = ip->nexthdr;
	if (!read_transport(skb, &transport, L3_OFFSET + sizeof(*ip), bpf_ntohs(ip->payload_len),
			    ip->nexthdr))
		return false;
	key.local_port = sender == INSIDE ? transport.header->source : transport.header->dest;
	key.remote_port = sender == INSIDE ? transport.header->dest : transport.header->source;
	return carries_on(skb, bpf_map_lookup_elem(&sessions6, &key), sender, &transport);
}

/* Whether the packet is as usual, and passes. `sender` is the port by which it came. */
static __always_inline bool passes_at_once(struct __sk_buff *skb, __u32 sender)
{
	struct ethernet *ethernet = (void *)(long)skb->data;

	if ((void *)(ethernet + 1) > (void *)(long)skb->data_end || skb->vlan_present)
		return false;
	if (ethernet->type == bpf_htons(ETH_P_IP))
		return passes_ipv4(skb, sender);
	return ethernet->type == bpf_htons(ETH_P_IPV6) && passes_ipv6(skb, sender);
}
