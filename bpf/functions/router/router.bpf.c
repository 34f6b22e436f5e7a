// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// The router: forwards IPv4 and IPv6 between its interfaces.
#include "answers.h"
#include "questions.h"

/* One hop less, and new addresses on the link. */
static __always_inline bool rewrite(struct __sk_buff *skb, const struct way *way)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct ethernet *ethernet = data;
	struct iphdr *ip = data + L3_OFFSET;
	struct ipv6hdr *ip6 = data + L3_OFFSET;

	if ((void *)(ip + 1) > end)
		return false;
	if (ethernet->type == bpf_htons(ETH_P_IP)) {
		ip->ttl--;
		ip->check = fold_sum((__u64)ip->check + bpf_htons(0x0100));
	} else {
		ip6->hop_limit--;
		note_change(skb, (__u16)~bpf_htons(0x0001));
	}
	ethernet->destination = way->destination_mac;
	ethernet->source = way->source_mac;
	return true;
}

/* Ports with a direct jump of their own; others jump by number. */
#define DIRECT_PORTS 16

/*
 * Only a constant slot makes a direct jump. The assembly differs by its number: else clang would
 * make one call of all, with a variable slot.
 */
#define CASE_PORT(n)                                     \
	case n:                                          \
		bpf_tail_call(skb, &panel, own_slot(n)); \
		asm volatile("" ::"i"(n));               \
		break

/* Lets the packet leave by a port. Who sent it on its last link means nothing on the next. */
static __always_inline int leave_by(struct __sk_buff *skb, __u32 port)
{
	union attachment to = read_stitch(own_slot(port));

	skb->cb[2] = 0;
	skb->cb[3] = 0;
	if (to.kind != ATTACHED_FUNCTION || port >= DIRECT_PORTS)
		return forward(skb, port);
	if (!arrive(skb, to))
		return drop(skb, CORE_LOOP);
	switch (port) {
		CASE_PORT(0);
		CASE_PORT(1);
		CASE_PORT(2);
		CASE_PORT(3);
		CASE_PORT(4);
		CASE_PORT(5);
		CASE_PORT(6);
		CASE_PORT(7);
		CASE_PORT(8);
		CASE_PORT(9);
		CASE_PORT(10);
		CASE_PORT(11);
		CASE_PORT(12);
		CASE_PORT(13);
		CASE_PORT(14);
		CASE_PORT(15);
	}
	bpf_tail_call(skb, &instances, to.target);
	return drop(skb, CORE_MISSING);
}

INKEV_FUNCTION(router, skb)
{
	const struct router_interface *in = lookup_interface(arrived_at(skb));
	struct headers headers;
	struct way way;
	__u32 detail = 0;
	int verdict;

	if (!in)
		return drop(skb, ROUTER_NOT_OURS);
	verdict = read_headers(skb, in, &headers);
	if (!verdict)
		verdict = find_way(skb, &headers, &way, &detail);
	if (verdict)
		return punt(skb, verdict, detail);
	if (!rewrite(skb, &way))
		return drop(skb, CORE_MALFORMED);
	return leave_by(skb, way.port);
}

/* What punt() leaves: the packet is answered, held back, or turned into an error. */
SEC("tc")
int router_control(struct __sk_buff *skb)
{
	const struct router_interface *in = lookup_interface(arrived_at(skb));
	int verdict = punted_verdict(skb), action;
	struct packet packet = {};

	if (!in || !parse_packet_apart(skb, &packet))
		return drop(skb, CORE_MALFORMED);
	if (verdict == OWN)
		verdict = solicits_router(&packet, in) ? advertise(skb, in, &packet)
						       : serve(skb, in, &packet);
	if (verdict == -ROUTER_UNRESOLVED) {
		action = resolve(skb, &packet);
		if (action >= 0)
			return action;
	}
	if (verdict && !refuse(skb, in, &packet, -verdict))
		return drop(skb, -verdict);
	return forward(skb, arrived_at(skb));
}

char _license[] SEC("license") = "Dual BSD/GPL";
