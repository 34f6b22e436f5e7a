/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The graph: where a packet is, and the ways in which a function lets go of it: forward, drop. */
#pragma once

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include "types.h"
#include "core.gen.h"

#define INSTANCES_MAX	   4096
#define PORT_BITS	   8
#define PORTS_PER_INSTANCE (1 << PORT_BITS)
#define SLOTS_MAX	   (INSTANCES_MAX << PORT_BITS)
#define WORKLOADS_MAX	   65536
#define CHAIN_MAX	   8
/* The kernel follows 33 tail calls. */
#define HOPS_MAX 32

/* Instance numbers below INSTANCE_FIRST belong to the road (bpf/core). */
#define INSTANCE_PORT	 1 /* packets from workloads: port.bpf.c */
#define INSTANCE_UPLINK	 2 /* packets from other hosts: uplink.bpf.c */
#define INSTANCE_OVERLAY 3 /* packets to other hosts: overlay.bpf.c */
#define INSTANCE_REPLICA 4 /* copies made by flooding: replica.bpf.c */
#define INSTANCE_VLAN	 5 /* tags put on and taken off: vlan.bpf.c */
#define INSTANCE_FIRST	 16

/* The two ports of a kind that can stand in a workload port's chain. */
#define INSIDE	0
#define OUTSIDE 1

/*
 * The last slots of an instance are no ports. Slot PORT_LIKELY + n holds the program of one
 * function to which this one often jumps by number, of a number that is n modulo LIKELY; the stitch
 * of that slot has the number itself as its target. A jump to that one is direct. They are but
 * hints: a wrong or an empty one costs time only.
 */
#define LIKELY	    8
#define PORT_LIKELY (PORTS_PER_INSTANCE - LIKELY)

enum attachment_kind {
	ATTACHED_NOTHING,
	ATTACHED_FUNCTION, /* target: instance; port: port of that instance */
	ATTACHED_DEVICE,   /* target: ifindex; bpf_redirect */
	ATTACHED_VETH,	   /* target: ifindex of the host's end; bpf_redirect_peer */
	ATTACHED_CHAIN,	   /* the next in the packet's chain; INSIDE and OUTSIDE of its functions */
	ATTACHED_WORKLOAD, /* target: port id */
} __attribute__((packed));

/* What lies behind a slot or a workload port. Read and written whole, in one access. */
union attachment {
	struct {
		__u32 target;
		__u16 port;
		enum attachment_kind kind;
		__u8 reserved;
	};
	__u64 whole;
};

/* A workload port of this host, by port id. Id 0 is none. */
struct workload {
	ifindex_t ifindex;
	enum attachment_kind delivery; /* ATTACHED_VETH or ATTACHED_DEVICE */
	__u8 chain_length;
	bool_t pinned; /* only packets from `mac` and the addresses in workload_ips pass */
	__u8 reserved;
	mac_t mac;
	__u16 mtu;
	union attachment network; /* where its packets go behind the chain */
	__u16 chain[CHAIN_MAX];	  /* instances, from the workload outwards */
};

/*
 * This function's own number. Its loader writes it over the mark (INSTANCE_MARK of graph.ts): read
 * from an instruction it costs a packet nothing, from a variable a line of cache in every function.
 */
#define INSTANCE_MARK 0x6b656e69

static __always_inline __u32 own_number(void)
{
	__u32 number;

	asm("%[number] = %[mark]" : [number] "=r"(number) : [mark] "i"(INSTANCE_MARK));
	return number;
}

/* The slot of one of this function's ports. */
static __always_inline __u32 own_slot(__u32 port)
{
	return own_number() << PORT_BITS | port;
}

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, SLOTS_MAX);
	__type(key, __u32);
	__type(value, __u32);
} panel SEC(".maps");

/* Every instance's own program, for jumps by number. */
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

#ifndef COUNTERS_MAX
#define COUNTERS_MAX CORE_COUNTERS
#endif

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
 *   cb[2]  the workload port whose chain it walks, or that sent it; 0: none
 *   cb[3]  the remote host (index into peers) it came from or goes to; 0: none
 *   cb[4]  scratch of the function that holds it; the VNI between a network and the overlay
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

/* The workload port in whose chain this function stands, or whose packet it is; 0: none. */
static __always_inline __u32 workload_of(const struct __sk_buff *skb)
{
	return skb->cb[2];
}

static __always_inline __u32 hops_of(const struct __sk_buff *skb)
{
	return skb->cb[1] >> 8;
}

/* A packet enters the graph: its memory still holds what others left there. */
static __always_inline void begin(struct __sk_buff *skb, __u32 hops, __u32 workload_id, __u32 peer)
{
	skb->cb[1] = hops << 8;
	skb->cb[2] = workload_id;
	skb->cb[3] = peer;
	skb->cb[4] = 0;
}

static __always_inline void count(__u32 counter)
{
	__u64 *value = bpf_map_lookup_elem(&counters, &counter);

	if (value)
		*value += 1;
}

/* Ends the way of a packet that has been copied or answered: nothing is lost, nothing counted. */
static __always_inline int consume(struct __sk_buff *skb)
{
	return TC_ACT_SHOT;
}

/* Apart from count(), as drops stand everywhere and are seldom met: programs stay short. */
static __noinline void count_drop(__u32 reason)
{
	count(reason);
}

/*
 * Ends a packet's way, and says why. The reasons are the CORE_ and <KIND>_ counters of the
 * generated headers.
 */
static __always_inline int drop(struct __sk_buff *skb, __u32 reason)
{
	count_drop(reason);
	return consume(skb);
}

static __always_inline union attachment read_attachment(const union attachment *from)
{
	union attachment attachment = {.whole = *(const volatile __u64 *)&from->whole};

	return attachment;
}

static __always_inline union attachment read_stitch(__u32 slot)
{
	union attachment *stitch = bpf_map_lookup_elem(&stitches, &slot);
	union attachment nothing = {};

	return stitch ? read_attachment(stitch) : nothing;
}

/* What lies behind one of this function's ports. */
static __always_inline union attachment stitch_at(__u32 port)
{
	return read_stitch(own_slot(port % PORTS_PER_INSTANCE));
}

/* The workload port in whose chain the function stands that holds the packet; 0: it is stitched. */
static __always_inline __u32 chained_workload(const struct __sk_buff *skb)
{
	return stitch_at(arrived_at(skb) & 1).kind == ATTACHED_CHAIN ? workload_of(skb) : 0;
}

static __always_inline int leave_to_device(struct __sk_buff *skb, union attachment to)
{
	skb->mark = 0;
	if (to.kind == ATTACHED_VETH)
		return bpf_redirect_peer(to.target, 0);
	return bpf_redirect(to.target, 0);
}

/* Writes down that the packet is with the function `to` now. False: it has passed too many. */
static __always_inline bool arrive(struct __sk_buff *skb, union attachment to)
{
	if (hops_of(skb) >= HOPS_MAX)
		return false;
	skb->cb[1] += 1 << 8;
	skb->cb[0] = to.target << 16 | to.port;
	return true;
}

/*
 * Calls the program in the slot of one of this function's ports, a constant; returns where there is
 * none. The port in the text keeps the compiler from merging the calls of several ports into one:
 * the JIT makes a direct jump only of a call that knows one slot (17 ns less).
 */
static __always_inline void call_slot_of(struct __sk_buff *skb, const __u32 port)
{
	asm volatile("r1 = %[skb]\n\t"
		     "r2 = %[panel]\n\t"
		     "r3 = %[slot]\n\t"
		     "call %[tail_call] // port %[port]"
		     :
		     : [skb] "r"(skb), [panel] "r"(&panel), [slot] "r"(own_slot(port)),
		       [tail_call] "i"(BPF_FUNC_tail_call), [port] "i"(port)
		     : "r0", "r1", "r2", "r3", "r4", "r5");
}

/* Calls the program in the n-th likely slot: one case each, so that each is a constant. */
static __always_inline void call_likely(struct __sk_buff *skb, __u32 n)
{
	switch (n) {
	case 0:
		call_slot_of(skb, PORT_LIKELY);
		break;
	case 1:
		call_slot_of(skb, PORT_LIKELY + 1);
		break;
	case 2:
		call_slot_of(skb, PORT_LIKELY + 2);
		break;
	case 3:
		call_slot_of(skb, PORT_LIKELY + 3);
		break;
	case 4:
		call_slot_of(skb, PORT_LIKELY + 4);
		break;
	case 5:
		call_slot_of(skb, PORT_LIKELY + 5);
		break;
	case 6:
		call_slot_of(skb, PORT_LIKELY + 6);
		break;
	case 7:
		call_slot_of(skb, PORT_LIKELY + 7);
		break;
	}
}

/* Hands the packet to a function by its number. */
static __always_inline int enter(struct __sk_buff *skb, union attachment to)
{
	__u32 n = to.target % LIKELY;

	if (unlikely(!arrive(skb, to)))
		return drop(skb, CORE_LOOP);
	if (likely(stitch_at(PORT_LIKELY + n).target == to.target))
		call_likely(skb, n);
	bpf_tail_call(skb, &instances, to.target);
	return drop(skb, CORE_MISSING);
}

/*
 * Hands the packet to the function whose program is in the constant slot by which it leaves: a
 * direct jump. A program that is not `to`'s, as the slot is written a moment before or after the
 * stitch, passes it on.
 */
static __always_inline int jump(struct __sk_buff *skb, const __u32 port, union attachment to)
{
	if (unlikely(!arrive(skb, to)))
		return drop(skb, CORE_LOOP);
	call_slot_of(skb, port);
	bpf_tail_call(skb, &instances, to.target);
	return drop(skb, CORE_MISSING);
}

/*
 * Where the chain goes on from the packet's position: outwards (OUTSIDE) or towards the workload
 * (INSIDE).
 */
static __always_inline union attachment next_in_chain(struct __sk_buff *skb, __u32 port)
{
	union attachment next = {.kind = ATTACHED_NOTHING};
	__u32 id = skb->cb[2], position = skb->cb[1] & 0xff;
	struct workload *workload = bpf_map_lookup_elem(&workloads, &id);

	if (unlikely(!workload))
		return next;
	if (port == OUTSIDE && ++position >= workload->chain_length)
		return read_attachment(&workload->network);
	if (port == INSIDE && position-- == 0) {
		next.target = workload->ifindex;
		next.kind = workload->delivery;
		return next;
	}
	skb->cb[1] = (skb->cb[1] & ~0xffU) | position;
	next.target = workload->chain[position % CHAIN_MAX];
	next.port = port == OUTSIDE ? INSIDE : OUTSIDE;
	next.kind = ATTACHED_FUNCTION;
	return next;
}

/*
 * Where a packet to a workload port goes first: into its chain from the outside in, or into its
 * device.
 */
static __always_inline union attachment way_to_workload(struct __sk_buff *skb, __u32 workload_id)
{
	struct workload *workload = bpf_map_lookup_elem(&workloads, &workload_id);
	union attachment way = {.kind = ATTACHED_NOTHING};
	__u32 last;

	if (unlikely(!workload || !workload->ifindex))
		return way;
	way.target = workload->ifindex;
	way.kind = workload->delivery;
	if (!workload->chain_length)
		return way;
	last = workload->chain_length - 1;
	skb->cb[1] = (skb->cb[1] & ~0xffU) | last;
	skb->cb[2] = workload_id;
	way.target = workload->chain[last % CHAIN_MAX];
	way.port = OUTSIDE;
	way.kind = ATTACHED_FUNCTION;
	return way;
}

/* Sends the packet to what an attachment names. */
static __always_inline int leave(struct __sk_buff *skb, union attachment to)
{
	__u32 reason = CORE_UNSTITCHED;

	if (to.kind == ATTACHED_WORKLOAD) {
		to = way_to_workload(skb, to.target);
		reason = CORE_NO_PORT;
	}
	switch (to.kind) {
	case ATTACHED_FUNCTION:
		return enter(skb, to);
	case ATTACHED_DEVICE:
	case ATTACHED_VETH:
		return leave_to_device(skb, to);
	default:
		return drop(skb, reason);
	}
}

/* Brings the packet to a workload port of this host: through its chain, then into its device. */
static __always_inline int deliver(struct __sk_buff *skb, __u32 workload_id)
{
	union attachment to = {.kind = ATTACHED_WORKLOAD, .target = workload_id};

	return leave(skb, to);
}

/*
 * Lets the packet leave by one of this function's ports. Where `port` is a constant the jump to the
 * next function is direct.
 */
static __always_inline int forward(struct __sk_buff *skb, __u32 port)
{
	union attachment to = stitch_at(port);

	if (to.kind == ATTACHED_FUNCTION && __builtin_constant_p(port))
		return jump(skb, port, to);
	if (to.kind == ATTACHED_CHAIN)
		to = next_in_chain(skb, port);
	return leave(skb, to);
}

/*
 * Lets the packet leave by the other one of INSIDE and OUTSIDE than `port`, by which it came. One
 * copy of the way along a chain serves both: code that is short stays in the cache.
 */
static __always_inline int pass_through(struct __sk_buff *skb, __u32 port)
{
	union attachment to = stitch_at(port ^ 1);

	if (to.kind == ATTACHED_FUNCTION)
		return port == INSIDE ? jump(skb, OUTSIDE, to) : jump(skb, INSIDE, to);
	if (to.kind == ATTACHED_CHAIN)
		to = next_in_chain(skb, port ^ 1);
	return leave(skb, to);
}

/*
 * Passes a packet that is meant for another instance on to it: it was under way while a stitch
 * changed.
 */
static __always_inline int pass_on(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &instances, here_instance(skb));
	return drop(skb, CORE_MISSING);
}

/* Defines a function's program; what follows is its body. */
#define INKEV_FUNCTION(name, skb)                                       \
	static __always_inline int name##_function(struct __sk_buff *); \
	SEC("tc") int name(struct __sk_buff *skb)                       \
	{                                                               \
		if (unlikely(here_instance(skb) != own_number()))       \
			return pass_on(skb);                            \
		return name##_function(skb);                            \
	}                                                               \
	static __always_inline int name##_function(struct __sk_buff *skb)
