/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The graph: where a packet is, and the only two ways in which a function lets go of it, forward() and drop(). */
#pragma once

#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include "types.h"
#include "core.gen.h"

/* A kind's generated header, included before this one, counts its own reasons in. */
#ifndef COUNTERS_MAX
#define COUNTERS_MAX CORE_COUNTERS
#endif

#define INSTANCES_MAX 4096
#define PORT_BITS 8
#define PORTS_PER_INSTANCE (1 << PORT_BITS)
#define SLOTS_MAX (INSTANCES_MAX << PORT_BITS)
#define WORKLOADS_MAX 65536
#define CHAIN_MAX 8
/* The kernel follows 33 tail calls. */
#define HOPS_MAX 32

/* Instance numbers below this one belong to the road (bpf/core). */
#define INSTANCE_PORT 1		/* packets from workloads: port.bpf.c */
#define INSTANCE_UPLINK 2	/* packets from other hosts: uplink.bpf.c */
#define INSTANCE_OVERLAY 3	/* packets to other hosts: overlay.bpf.c */
#define INSTANCE_REPLICA 4	/* copies made by flooding: replica.bpf.c */
#define INSTANCE_FIRST 16

/* The two ports of a kind that can stand in a workload port's chain. */
#define INSIDE 0
#define OUTSIDE 1
/* The port by which a function jumps to wherever a chain begins; its slot is only a prediction. */
#define PORT_CHAIN 255

enum attachment_kind {
	ATTACHED_NOTHING,
	ATTACHED_FUNCTION,	/* target: instance; port: port of that instance */
	ATTACHED_DEVICE,	/* target: ifindex; bpf_redirect */
	ATTACHED_VETH,		/* target: ifindex of the host's end; bpf_redirect_peer */
	ATTACHED_CHAIN,		/* target: the instance that the slot's program is of: a guess, checked */
	ATTACHED_WORKLOAD,	/* target: port id */
};

/* What lies behind a slot or a workload port. Read and written whole, in one access. */
union attachment {
	struct {
		__u32 target;
		__u16 port;
		__u8 kind;	/* enum attachment_kind */
		__u8 reserved;
	};
	__u64 whole;
};

/* A workload port of this host, by port id. Id 0 is none. */
struct workload {
	ifindex_t ifindex;
	__u8 delivery;		/* ATTACHED_VETH or ATTACHED_DEVICE */
	__u8 chain_length;
	__u8 pinned;		/* 1: only packets from `mac` and the addresses in workload_ips pass */
	__u8 reserved;
	mac_t mac;
	__u16 mtu;
	union attachment network;	/* where its packets go behind the chain */
	__u16 chain[CHAIN_MAX];		/* instances, from the workload outwards */
};

/* This function's own number, set when it is loaded. */
const volatile __u32 instance = 0;

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, SLOTS_MAX);
	__type(key, __u32);
	__type(value, __u32);
} panel SEC(".maps");

/* Every instance's own program, for packets that were led to the wrong one. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, INSTANCES_MAX);
	__type(key, __u32);
	__type(value, __u32);
} instances SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS_MAX);
	__type(key, __u32);
	__type(value, union attachment);
} stitches SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WORKLOADS_MAX);
	__type(key, __u32);
	__type(value, struct workload);
} workloads SEC(".maps");

/* Drops and events of this function: the road's reasons first, then its own. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS_MAX);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

/*
 * skb->cb, the packet's own memory between functions:
 *   cb[0]  where it is: instance << 16 | port
 *   cb[1]  hops << 8 | position in the chain
 *   cb[2]  the workload port whose chain it walks, or that sent it
 *   cb[3]  the remote host (index into peers) it came from or goes to
 *   cb[4]  scratch of the function that holds it; the vni between a network and the overlay
 */
static __always_inline __u32 here_instance(const struct __sk_buff *skb)
{
	return skb->cb[0] >> 16;
}

/* The port of this function at which the packet arrived. */
static __always_inline __u32 arrived_at(const struct __sk_buff *skb)
{
	return skb->cb[0] & 0xffff;
}

/* The workload port whose traffic this is; 0 where the function is not part of a port's chain. */
static __always_inline __u32 workload_of(const struct __sk_buff *skb)
{
	return skb->cb[2];
}

static __always_inline void count(__u32 counter)
{
	__u64 *value = bpf_map_lookup_elem(&counters, &counter);

	if (value)
		*value += 1;
}

/* Ends a packet's way, and says why. The reasons are the CORE_ and <KIND>_ counters of the generated headers. */
static __always_inline int drop(struct __sk_buff *skb, __u32 reason)
{
	count(reason);
	return TC_ACT_SHOT;
}

static __always_inline int leave_to_device(struct __sk_buff *skb, union attachment to)
{
	skb->mark = 0;
	if (to.kind == ATTACHED_VETH)
		return bpf_redirect_peer(to.target, 0);
	return bpf_redirect(to.target, 0);
}

/*
 * Hands the packet to the function `to`. `slot` is the constant slot by which it leaves, `guess` the instance whose program the slot holds: where
 * they agree the jump is direct, else it goes by number.
 */
static __always_inline int jump(struct __sk_buff *skb, __u32 slot, __u32 guess, union attachment to)
{
	__u32 hops = skb->cb[1] + (1 << 8);

	if (hops >> 8 > HOPS_MAX)
		return drop(skb, CORE_LOOP);
	skb->cb[1] = hops;
	skb->cb[0] = to.target << 16 | to.port;
	if (to.target == guess)
		bpf_tail_call(skb, &panel, slot);
	bpf_tail_call(skb, &instances, to.target);
	return drop(skb, CORE_MISSING);
}

static __always_inline union attachment read_stitch(__u32 slot)
{
	union attachment *stitch = bpf_map_lookup_elem(&stitches, &slot);
	union attachment nothing = {};

	if (stitch)
		nothing.whole = *(volatile __u64 *)&stitch->whole;
	return nothing;
}

/* The chain's next function outwards (OUTSIDE) or towards the workload (INSIDE), from the packet's position. */
static __always_inline union attachment next_in_chain(struct __sk_buff *skb, __u32 port)
{
	union attachment next = { .kind = ATTACHED_NOTHING };
	__u32 id = skb->cb[2], position = skb->cb[1] & 0xff;
	struct workload *workload = bpf_map_lookup_elem(&workloads, &id);

	if (!workload)
		return next;
	if (port == OUTSIDE && ++position >= workload->chain_length) {
		next.whole = *(volatile __u64 *)&workload->network.whole;
		return next;
	}
	if (port == INSIDE && position-- == 0) {
		next.target = workload->ifindex;
		next.kind = workload->delivery;
		return next;
	}
	skb->cb[1] = (skb->cb[1] & ~0xffU) | position;
	next.target = workload->chain[position & (CHAIN_MAX - 1)];
	next.port = port == OUTSIDE ? INSIDE : OUTSIDE;
	next.kind = ATTACHED_FUNCTION;
	return next;
}

/* Brings the packet to a workload port of this host: through its chain from the outside in, then into its device. */
static __always_inline int deliver(struct __sk_buff *skb, __u32 workload_id)
{
	__u32 slot = instance << PORT_BITS | PORT_CHAIN;
	struct workload *workload = bpf_map_lookup_elem(&workloads, &workload_id);
	union attachment to = {};

	if (!workload || !workload->ifindex)
		return drop(skb, CORE_NO_PORT);
	to.target = workload->ifindex;
	to.kind = workload->delivery;
	if (workload->chain_length) {
		__u32 position = workload->chain_length - 1;

		skb->cb[1] = (skb->cb[1] & ~0xffU) | position;
		skb->cb[2] = workload_id;
		to.target = workload->chain[position & (CHAIN_MAX - 1)];
		to.port = OUTSIDE;
		return jump(skb, slot, read_stitch(slot).target, to);
	}
	return leave_to_device(skb, to);
}

/* Lets the packet leave by one of this function's ports. `port` is a constant wherever the function can make it one: a direct jump then. */
static __always_inline int forward(struct __sk_buff *skb, __u32 port)
{
	__u32 slot = instance << PORT_BITS | port;
	union attachment to = read_stitch(slot);
	__u32 guess = to.target;

	if (to.kind == ATTACHED_CHAIN)
		to = next_in_chain(skb, port);
	switch (to.kind) {
	case ATTACHED_FUNCTION:
		return jump(skb, slot, guess, to);
	case ATTACHED_WORKLOAD:
		return deliver(skb, to.target);
	case ATTACHED_DEVICE:
	case ATTACHED_VETH:
		return leave_to_device(skb, to);
	}
	return drop(skb, CORE_UNSTITCHED);
}

/* Passes a packet that is meant for another instance on to it: it was under way while a stitch changed. */
static __always_inline int pass_on(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &instances, here_instance(skb));
	return drop(skb, CORE_MISSING);
}

/* Defines a function's program; what follows is its body. */
#define INKEV_FUNCTION(name, skb)                                   \
	static __always_inline int name##_function(struct __sk_buff *); \
	SEC("tc") int name(struct __sk_buff *skb)                   \
	{                                                           \
		if (here_instance(skb) != instance)                 \
			return pass_on(skb);                        \
		return name##_function(skb);                        \
	}                                                           \
	static __always_inline int name##_function(struct __sk_buff *skb)
