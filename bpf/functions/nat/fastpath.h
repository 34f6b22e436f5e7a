/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The usual packet of a known session is translated at once. Hairpins, and frames that another
 * gateway has led here, are left to way.h. */
#pragma once

#include "claims.h"
#include "gateways.h"
#include "usual.h"

/* Writes the sender's or receiver's port, and carries it and `pseudo`, the change of the addresses,
 * over into the checksum. Returns what a sum over the segment gains. */
static __always_inline __u64 rewrite_port(struct __sk_buff *skb, const struct transport *transport,
					  __u32 end, port_t to, __u64 pseudo)
{
	struct tcphdr *tcp = transport->header;
	struct udphdr *udp = (void *)tcp;
	bool is_tcp = transport->protocol == IPPROTO_TCP;
	__u16 *check = is_tcp ? &tcp->check : &udp->check;
	bool pending = is_pending_at(skb, transport->offset + (void *)check - (void *)tcp);
	__u64 change = replace_word(end == SOURCE ? &tcp->source : &tcp->dest, to);

	return change + replace_word(check, carry_into(*check, transport->protocol, pseudo, change,
						       pending));
}

/* Writes an address. Returns what a sum over it gains; IPv4's own checksum makes up for that. */
static __always_inline __u64 replace_ipv4(struct iphdr *ip, __u32 end, ipv4_t to)
{
	ipv4_t *address = end == SOURCE ? &ip->saddr : &ip->daddr;
	__u64 change = fold_sum((__u64)to + (__u32) ~*address);

	*address = to;
	ip->check = ~fold_sum((__u16)~ip->check + change);
	return change;
}

static __always_inline __u64 replace_ipv6(struct ipv6hdr *ip, __u32 end, const ip_t *to)
{
	ip_t *address = (ip_t *)(end == SOURCE ? &ip->saddr : &ip->daddr);
	__u64 change = address_change(address, to);

	copy_words(address, to, sizeof(*to));
	return change;
}

/*
 * The session of a packet from `sender`, of which `key` is made but for the workload; at `address`
 * and `port` what its local end becomes.
 */
#define LOOKUP_SESSION(family_, address_t_, address_of_)                                 \
	static __always_inline struct session *lookup_session##family_(                  \
		struct __sk_buff *skb, __u32 sender, struct session##family_##_key *key, \
		const address_t_ **address, port_t *port)                                \
	{                                                                                \
		const struct claim##family_ *claim;                                      \
		struct session *session;                                                 \
                                                                                         \
		if (sender == INSIDE) {                                                  \
			key->workload = session_scope(skb);                              \
			session = bpf_map_lookup_elem(&sessions##family_, key);          \
			if (!session)                                                    \
				return NULL;                                             \
			*address = address_of_(session);                                 \
			*port = session->data.port;                                      \
			return session;                                                  \
		}                                                                        \
		claim = bpf_map_lookup_elem(&claims##family_, key);                      \
		if (!claim || claim->session.workload != session_scope(skb))             \
			return NULL;                                                     \
		session = bpf_map_lookup_elem(&sessions##family_, &claim->session);      \
		if (!session || session->data.port != key->local_port ||                 \
		    !equal_words(address_of_(session), &key->local, sizeof(key->local))) \
			return NULL;                                                     \
		*address = &claim->session.local;                                        \
		*port = claim->session.local_port;                                       \
		return session;                                                          \
	}

#define IPV4_OF(session) (&(session)->data.address.word[3])
#define IPV6_OF(session) (&(session)->data.address)

LOOKUP_SESSION(4, ipv4_t, IPV4_OF)
LOOKUP_SESSION(6, ipv6_t, IPV6_OF)

/* Whether the packet carries on the session, if there is one; a hairpin has two. */
static __always_inline bool is_of(struct __sk_buff *skb, struct session *session, __u32 sender,
				  const struct transport *transport)
{
	return session && !session->data.hairpins &&
	       carries_on(skb, session, sender, transport, true);
}

static __always_inline bool translates_ipv4(struct __sk_buff *skb, __u32 sender, __u32 end)
{
	struct transport transport;
	struct session4_key key;
	struct session *session;
	const ipv4_t *address;
	struct iphdr *ip;
	port_t port;
	__u64 change;

	if (!read_usual_ipv4(skb, &ip, &transport))
		return false;
	key = usual4_key_of(ip, &transport, sender);
	session = lookup_session4(skb, sender, &key, &address, &port);
	if (!is_of(skb, session, sender, &transport))
		return false;
	change = replace_ipv4(ip, end, *address);
	note_change(skb, rewrite_port(skb, &transport, end, port, change));
	return true;
}

static __always_inline bool translates_ipv6(struct __sk_buff *skb, __u32 sender, __u32 end)
{
	struct transport transport;
	struct session6_key key;
	struct session *session;
	const ipv6_t *address;
	struct ipv6hdr *ip;
	port_t port;
	__u64 change;

	if (!read_usual_ipv6(skb, &ip, &transport))
		return false;
	key = usual6_key_of(ip, &transport, sender);
	session = lookup_session6(skb, sender, &key, &address, &port);
	if (!is_of(skb, session, sender, &transport))
		return false;
	change = replace_ipv6(ip, end, address);
	note_change(skb, change + rewrite_port(skb, &transport, end, port, change));
	return true;
}

/* Whether the packet is as usual, and has been translated. `sender` is the port by which it came.
 * Not inline, as it gives its stack back. */
static __noinline bool translates_at_once(struct __sk_buff *skb, __u32 sender)
{
	struct ethernet *ethernet = (void *)(long)skb->data;
	__u32 end = sender == INSIDE ? SOURCE : DESTINATION;

	if ((void *)(ethernet + 1) > (void *)(long)skb->data_end || skb->vlan_present ||
	    (sender == OUTSIDE && leading_of(&ethernet->destination) >= 0))
		return false;
	if (ethernet->type == bpf_htons(ETH_P_IP))
		return translates_ipv4(skb, sender, end);
	return ethernet->type == bpf_htons(ETH_P_IPV6) && translates_ipv6(skb, sender, end);
}
