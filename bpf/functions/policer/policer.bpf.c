/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A policer: packets take from token buckets, are marked where little is left, and dropped where
 * nothing is. */

#include "policer.gen.h"
#include "graph.h"
#include "buckets.h"
#include "limits.h"
#include "traffic_class.h"

/* What each limit has refused or marked, by its id. Entries appear with the first packet. */
struct excess {
	__u64 packets;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 2 * POLICER_LIMITS_MAX);
	__type(key, __u64);
	__type(value, struct excess);
} exceeded SEC(".maps");

/* What becomes of a packet. Other verdicts are reasons for a drop. */
enum verdict {
	PASS = -1,
	MARK = -2,
};

static __noinline void count_excess(__u64 id, __u32 packets, __u32 bytes)
{
	struct excess *excess = bpf_map_lookup_elem(&exceeded, &id), none = {};

	if (!excess) {
		bpf_map_update_elem(&exceeded, &id, &none, BPF_NOEXIST);
		excess = bpf_map_lookup_elem(&exceeded, &id);
	}
	if (!excess)
		return;
	excess->packets += packets;
	excess->bytes += bytes;
}

/* A transport that hears of congestion marks has said so in the packet: RFC 3168 5. */
static __always_inline bool can_mark(const struct limit *limit, const struct traffic_class *class)
{
	return limit->exceed == POLICER_LIMITS_EXCEED_MARK && class->family &&
	       (class->bits & ECN_MASK) != ECN_NOT_ECT;
}

/* Marks begin with half a burst: who hears them slows down before anything must be dropped. What is
 * sent again after a drop cannot be marked (RFC 3168 6.1.5), and must find something left. */
static __always_inline int judge_load(const struct limit *limit, struct bucket *bucket,
				      const struct load *load, bool markable)
{
	__u64 missing;

	if (!bucket)
		return CORE_NO_ROOM;
	missing = take(bucket, cost_of(limit, load), limit->burst);
	if (likely(missing < (markable ? limit->burst / 2 : limit->burst)))
		return PASS;
	count_excess(limit->id, load->packets, load->bytes);
	return missing < limit->burst ? MARK : POLICER_DROPPED;
}

/* As judge(), for packets of which more must be known than their length. */
static __noinline int judge_parsed(struct __sk_buff *skb, const struct limit *limit, bool markable)
{
	struct bucket *bucket;
	struct packet packet;
	struct load load;

	if (!parse_packet_apart(skb, &packet))
		return CORE_MALFORMED;
	load = load_on_wire(skb, &packet);
	bucket = limit->per == POLICER_LIMITS_PER_FLOW ? lookup_flow_bucket(skb, limit, &packet)
						       : lookup_port_bucket(skb, limit);
	return judge_load(limit, bucket, &load, markable);
}

static __always_inline int judge(struct __sk_buff *skb, const struct limit *limit,
				 const struct traffic_class *class)
{
	struct load load = {.packets = 1, .bytes = skb->len - ETH_HLEN};
	bool markable = can_mark(limit, class);

	if (!limit->cost)
		return PASS;
	if (class->family && (skb->gso_size || limit->per == POLICER_LIMITS_PER_FLOW))
		return judge_parsed(skb, limit, markable);
	return judge_load(limit, lookup_port_bucket(skb, limit), &load, markable);
}

/* Writes what the verdict and the limit want into the packet. */
static __always_inline bool rewrite_class(struct __sk_buff *skb, const struct limit *limit,
					  struct traffic_class class, int verdict)
{
	__u8 before = class.bits;

	if (limit->sets_dscp)
		class.bits = limit->dscp << ECN_BITS | (class.bits & ECN_MASK);
	if (verdict == MARK)
		class.bits |= ECN_CE;
	return class.bits == before || rewrite_traffic_class(skb, &class);
}

INKEV_FUNCTION(policer, skb)
{
	struct traffic_class class = read_traffic_class(skb);
	__u32 port = arrived_at(skb) & 1;
	struct limit limit;
	int verdict;

	if (!find_limit(&class, port, &limit))
		return pass_through(skb, port);
	verdict = judge(skb, &limit, &class);
	if (verdict >= 0)
		return drop(skb, verdict);
	if (verdict == MARK)
		count(POLICER_MARKED);
	if (class.family && !rewrite_class(skb, &limit, class, verdict))
		return drop(skb, CORE_MALFORMED);
	return pass_through(skb, port);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
