/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Network address translation: the ends inside are known outside under other addresses and ports.
 */

#include "nat.gen.h"
#include "graph.h"
#include "icmp.h"
#include "fastpath.h"
#include "way.h"
#include "discovery.h"

/* The sender of a packet that found no free port is told (RFC 6146 3.5.1.1 has it so). */
static __always_inline int refuse(struct __sk_buff *skb, const struct packet *packet)
{
	if (!rewrite_to_icmp_error(skb, packet, PROBLEM_NO_HOST, 0, &packet->destination))
		return NAT_EXHAUSTED;
	count(NAT_EXHAUSTED);
	return BACK;
}

/* A packet from the inside to the inside leaves where it came from. */
static __always_inline int turn_back(struct __sk_buff *skb)
{
	if (!swap_macs(skb))
		return CORE_MALFORMED;
	count(NAT_HAIRPINNED);
	return BACK;
}

static __always_inline int answered(void)
{
	count(NAT_ANSWERED);
	return BACK;
}

/* A packet of another gateway's leaves by OUTSIDE. */
static __always_inline int to_gateway(struct __sk_buff *skb, const struct scratch *memory,
				      __u32 port)
{
	if (!lead_on(skb, port, memory->gateway))
		return CORE_MALFORMED;
	count(NAT_LED_ON);
	return port == INSIDE ? PASS : BACK;
}

/* The packet in scratch, which another host has led here from its inside: the router has it next.
 * If its way outside leads back inside, it is not sent out first. */
static __always_inline int translate_led_outward(struct __sk_buff *skb, struct scratch *memory)
{
	int verdict;

	if (!is_outside_ip(&memory->packet.destination))
		return PASS;
	verdict = translate(skb, memory, INSIDE);
	return verdict == BACK ? PASS : verdict;
}

/* What becomes of a packet that arrived at `port`. */
__noinline int translate_packet(struct __sk_buff *skb, __u32 port)
{
	struct scratch *memory = lookup_scratch();
	struct packet *packet;
	int verdict;

	if (!memory)
		return CORE_MALFORMED;
	packet = &memory->packet;
	memory->led = take_led(skb, port);
	if (!parse_packet_apart(skb, packet))
		return CORE_MALFORMED;
	if (packet->ethertype == bpf_htons(ETH_P_ARP))
		return port == INSIDE && answer_arp(skb) ? answered() : PASS;
	if (!packet->family)
		return PASS;
	if (stays_on_link(packet))
		return port == INSIDE && answer_solicitation(skb, packet) ? answered() : PASS;
	memory->source = packet->source;
	memory->destination = packet->destination;
	if (memory->led == LED_OUTWARD)
		verdict = translate_led_outward(skb, memory);
	else
		verdict = translate(skb, memory, port);
	if (verdict == LED)
		return to_gateway(skb, memory, port);
	if (verdict == NAT_EXHAUSTED && port == INSIDE)
		return refuse(skb, packet);
	return verdict == BACK ? turn_back(skb) : verdict;
}

INKEV_FUNCTION(nat, skb)
{
	__u32 port = arrived_at(skb) & 1;
	int verdict = likely(translates_at_once(skb, port)) ? PASS : translate_packet(skb, port);

	if (verdict == BACK)
		port = !port;
	else if (verdict != PASS)
		return drop(skb, verdict);
	return pass_through(skb, port);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
