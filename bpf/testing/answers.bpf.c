// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Turns packets into answers by the helpers of the road, as the packet's destination port or
// address says: their tests are answers.test.ts.
#include "graph.h"
#include "ask.h"
#include "icmp.h"

#define ANSWER_FIRST 7000

enum answer {
	ANSWER_TOO_BIG = ANSWER_FIRST,
	ANSWER_NO_ROUTE,
	ANSWER_NO_HOST,
	ANSWER_NO_PORT,
	ANSWER_PROHIBITED,
	ANSWER_TIME_EXCEEDED,
	ANSWER_RESET,
	ANSWER_QUESTION,
	ANSWER_ONE_HOP,
	ANSWER_ASKED, /* the question that is asked of the packet is answered at once */
};

#define OWN_MAC ((mac_t){{2, 0xaa, 0, 0, 0, 1}})

static __always_inline bool answer_discovery(struct __sk_buff *skb, const struct packet *packet)
{
	struct arp_packet arp;
	mac_t mac = OWN_MAC;
	ip_t target;

	if (packet->ethertype == bpf_htons(ETH_P_ARP))
		return parse_arp(skb, &arp) && rewrite_to_arp_reply(skb, &arp, &mac);
	return parse_nd(skb, packet, ICMPV6_NEIGHBOUR_SOLICITATION, &target) &&
	       rewrite_to_nd_reply(skb, &packet->source, &target, &mac, ND_ROUTER | ND_OVERRIDE);
}

static __always_inline bool rewrite_to_question(struct __sk_buff *skb, const struct packet *packet)
{
	mac_t mac = OWN_MAC;

	if (packet->family == 4)
		return rewrite_to_arp_request(skb, &mac, packet->source.word[3],
					      packet->destination.word[3]);
	return rewrite_to_nd_request(skb, &mac, &packet->source, &packet->destination);
}

static __always_inline bool answer_question(struct __sk_buff *skb)
{
	struct packet question;

	return parse_packet(skb, &question) && answer_discovery(skb, &question);
}

static __always_inline bool rewrite_to_answer(struct __sk_buff *skb, const struct packet *packet)
{
	__u32 wanted = bpf_ntohs(packet->destination_port);
	mac_t mac = OWN_MAC;

	if (is_echo_request(packet))
		return rewrite_to_echo_reply(skb, packet);
	switch (wanted) {
	case ANSWER_TOO_BIG ... ANSWER_TIME_EXCEEDED:
		return rewrite_to_icmp_error(skb, packet, wanted - ANSWER_FIRST,
					     wanted == ANSWER_TOO_BIG ? 1400 : 0,
					     &packet->destination);
	case ANSWER_RESET:
		return rewrite_to_tcp_reset(skb, packet);
	case ANSWER_QUESTION:
		return rewrite_to_question(skb, packet);
	case ANSWER_ASKED:
		return rewrite_to_question(skb, packet) && answer_question(skb);
	case ANSWER_ONE_HOP:
		return decrement_ttl(skb, packet) && rewrite_macs(skb, &mac, &mac);
	default:
		return answer_discovery(skb, packet);
	}
}

INKEV_FUNCTION(answers, skb)
{
	struct packet packet;

	if (!parse_packet(skb, &packet))
		return drop(skb, CORE_MALFORMED);
	if (!rewrite_to_answer(skb, &packet))
		return drop(skb, CORE_NO_ROOM);
	return forward(skb, arrived_at(skb));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
