/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What becomes of a packet: its flow has a verdict, or what is found in its payload decides. */
#pragma once

#include "graph.h"
#include "packet.h"
#include "generation.h"
#include "flows.h"
#include "automaton.h"
#include "names.h"

/* Beside enum inspect_rules_action. */
enum verdict {
	PASS = NOTHING,
	BROKEN = -2,
};

static __always_inline const struct search *lookup_search(__u32 number)
{
	__u32 half = number % 2;

	return bpf_map_lookup_elem(&searches, &half);
}

struct filter {
	const struct search *search;
	__u32 arrived;
	protocol_t protocol;
	__u16 source_port;
	__u16 port;
	__u32 active;
};

static long try_rule(__u32 n, struct filter *filter)
{
	const struct rule *rule = &filter->search->rules[n % INSPECT_RULES_MAX];

	if ((filter->arrived == INSIDE ? rule->egress : rule->ingress) &&
	    (rule->any_protocol || rule->protocol == filter->protocol) &&
	    filter->port >= rule->first_port && filter->port <= rule->last_port &&
	    filter->source_port >= rule->first_source && filter->source_port <= rule->last_source)
		filter->active |= 1U << n % INSPECT_RULES_MAX;
	return 0;
}

/* The rules that mean a packet, as bits. */
static __always_inline __u32 rules_for(const struct search *search, const struct packet *packet,
				       __u32 port)
{
	struct filter filter = {.search = search, .arrived = port, .protocol = packet->protocol};

	if (!is_icmp(packet)) {
		filter.source_port = bpf_ntohs(packet->source_port);
		filter.port = bpf_ntohs(packet->destination_port);
	}
	bpf_loop(search->rule_count, try_rule, &filter, 0);
	return filter.active;
}

/* Datagrams of a train that are searched each for itself; one of more is odd, and is one payload.
 * Linux makes no longer ones (UDP_MAX_SEGMENTS). */
#define DATAGRAMS_MAX 128

/* What is searched of a packet. */
struct train {
	struct __sk_buff *skb;
	struct scratch *memory;
	const struct search *search;
	__u32 size; /* of all payloads but the last */
	__u32 left; /* bytes of those that have not been searched */
};

static long search_next(__u32 n, struct train *train)
{
	struct __sk_buff *skb = train->skb;
	struct scratch *memory = train->memory;
	const struct search *search = train->search;
	const __u32 active = memory->walk.active, protocol = memory->packet.protocol;

	memory->walk.length = train->left < train->size ? train->left : train->size;
	if (search->exact.rules & active)
		search_payload(skb, memory, search, &search->exact);
	if (search->folded.rules & active)
		search_payload(skb, memory, search, &search->folded);
	if (search->dns.rules & active && protocol == IPPROTO_UDP)
		search_question(skb, memory, search, 0);
	if (search->dns.rules & active && protocol == IPPROTO_TCP)
		search_question(skb, memory, search, 2); /* behind the message's length */
	if (search->tls.rules & active && protocol == IPPROTO_TCP)
		search_server_name(skb, memory, search);
	memory->walk.start += train->size;
	train->left -= train->size;
	return 0;
}

/*
 * Searches the payload of a packet; of a train of datagrams that the kernel has yet to cut (GSO),
 * that of each. A train of segments is one piece of its stream.
 */
static __always_inline void search_packet(struct __sk_buff *skb, struct scratch *memory,
					  const struct search *search, __u32 length)
{
	struct train train = {skb, memory, search, .size = length, .left = length};
	__u32 payloads = 1;

	if (memory->packet.protocol == IPPROTO_UDP && skb->gso_size)
		payloads = (length + skb->gso_size - 1) / skb->gso_size;
	if (payloads > 1 && payloads <= DATAGRAMS_MAX)
		train.size = skb->gso_size;
	else
		payloads = 1;
	bpf_loop(payloads, search_next, &train, 0);
}

/* What is found in the packet: an action, or PASS. */
static __always_inline int judge_payload(struct __sk_buff *skb, struct scratch *memory,
					 const struct search *search, __u32 port)
{
	const struct packet *packet = &memory->packet;
	struct walk *walk = &memory->walk;
	__u32 length = packet->l3 + packet->length - packet->payload;
	__u32 active = length ? rules_for(search, packet, port) : 0;

	if (!active)
		return PASS;
	if (packet->fragment == LATER_FRAGMENT) {
		count(INSPECT_FRAGMENT);
		return PASS;
	}
	__builtin_memset(walk, 0, sizeof(*walk));
	walk->active = active;
	walk->bytes = skb->len;
	walk->start = packet->payload;
	walk->verdict = NOTHING;
	search_packet(skb, memory, search, length);
	if (walk->verdict != NOTHING)
		count(INSPECT_MATCHED);
	return walk->verdict;
}

/* The same, with the verdict that the packet's flow has. */
static __always_inline int judge_by(struct __sk_buff *skb, struct scratch *memory,
				    const struct search *search, __u32 port)
{
	const struct packet *packet = &memory->packet;
	bool in_flow = search->follows && has_session(packet);
	struct session *session = NULL;
	int remembered = NOTHING, found;

	if (in_flow) {
		make_session_key(skb, packet, port, &memory->key);
		if (begins_anew(packet))
			forget_session(packet, &memory->key);
		session = lookup_flow(packet, &memory->key, port);
		if (session)
			remembered = session->data.action;
	}
	if (remembered == INSPECT_RULES_ACTION_DROP) {
		count(INSPECT_FOLLOWED);
		return remembered;
	}
	found = judge_payload(skb, memory, search, port);
	if (found <= remembered) {
		if (remembered != NOTHING)
			count(INSPECT_FOLLOWED);
		return remembered;
	}
	if (in_flow && memory->walk.follow)
		learn_flow(packet, &memory->key, port, found);
	return found;
}

/* The same, by the rules and patterns of one generation. Global, so that the verifier walks it once
 * and not for every caller. */
__noinline int judge_by_generation(struct __sk_buff *skb, __u32 port, __u32 number)
{
	struct scratch *memory = lookup_scratch();
	const struct search *search = lookup_search(number);

	if (!memory || !search || !number)
		return PASS;
	if (!parse_packet_apart(skb, &memory->packet))
		return BROKEN;
	return memory->packet.family ? judge_by(skb, memory, search, port) : PASS;
}

/* What becomes of any packet that came in by INSIDE or OUTSIDE: an action, or enum verdict. */
static __always_inline int judge(struct __sk_buff *skb, __u32 port)
{
	__u32 number = read_generation();
	int verdict = judge_by_generation(skb, port, number);

	/* Half of what it was judged by may have been replaced meanwhile. The next generation lives
	 * long enough. */
	if (unlikely(number != read_generation()))
		verdict = judge_by_generation(skb, port, read_generation());
	return verdict;
}

/*
 * Where a packet goes that came in by `matched`: to the end of its flow that has sent what was
 * diverted before it. Answers INSIDE or OUTSIDE, or another number for a stray packet.
 */
__noinline int way_back(struct __sk_buff *skb)
{
	struct scratch *memory = lookup_scratch();
	const struct session *session;
	__u32 sender;

	if (!memory || !parse_packet_apart(skb, &memory->packet) || !has_session(&memory->packet))
		return -1;
	for (sender = INSIDE; sender <= OUTSIDE; sender++) {
		make_session_key(skb, &memory->packet, sender, &memory->key);
		session = lookup_flow(&memory->packet, &memory->key, sender);
		if (session && session->data.action == INSPECT_RULES_ACTION_DIVERT)
			return !sender;
	}
	return -1;
}
