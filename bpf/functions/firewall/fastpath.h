/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The usual packet of a known session passes at once. This halves what the firewall adds to it. */
#pragma once

#include "firewall.gen.h"
#include "graph.h"
#include "usual.h"
#include "rules.h"

/* Whether a session's packet passes: one that other rules have admitted is left to judge.h. */
static __always_inline bool passes(struct __sk_buff *skb, struct session *session, __u32 sender,
				   const struct transport *transport)
{
	const struct firewall_config *config = lookup_config();

	if (!session || !config || (config->rejudge && session->generation != read_generation()))
		return false;
	return carries_on(skb, session, sender, transport, config->tcp_window_check);
}

static __always_inline bool passes_ipv4(struct __sk_buff *skb, __u32 sender)
{
	struct transport transport;
	struct session4_key key;
	struct iphdr *ip;

	if (!read_usual_ipv4(skb, &ip, &transport))
		return false;
	key = usual4_key_of(ip, &transport, sender);
	key.workload = session_scope(skb);
	return passes(skb, bpf_map_lookup_elem(&sessions4, &key), sender, &transport);
}

static __always_inline bool passes_ipv6(struct __sk_buff *skb, __u32 sender)
{
	struct transport transport;
	struct session6_key key;
	struct ipv6hdr *ip;

	if (!read_usual_ipv6(skb, &ip, &transport))
		return false;
	key = usual6_key_of(ip, &transport, sender);
	key.workload = session_scope(skb);
	return passes(skb, bpf_map_lookup_elem(&sessions6, &key), sender, &transport);
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
