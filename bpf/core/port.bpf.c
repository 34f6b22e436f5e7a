// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Where packets of workloads enter the graph: tcx ingress of the host's end of every workload port.
#include "road.h"
#include "pinning.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WORKLOADS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, ifindex_t);
	__type(value, __u32);
} workload_ids SEC(".maps");

/* Into the first function of the port's chain or, without one, straight to its network. */
static __always_inline union attachment way_of(const struct workload *workload)
{
	union attachment first = {
		.target = workload->chain[0], .port = INSIDE, .kind = ATTACHED_FUNCTION};

	return workload->chain_length ? first : read_attachment(&workload->network);
}

SEC("tc") int port(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex, *id = bpf_map_lookup_elem(&workload_ids, &ifindex);
	struct workload *workload;

	if (unlikely(!id))
		return drop(skb, CORE_NO_PORT);
	workload = bpf_map_lookup_elem(&workloads, id);
	if (unlikely(!workload))
		return drop(skb, CORE_NO_PORT);
	begin(skb, 0, *id, 0);
	if (unlikely(workload->pinned) && !is_own(skb, *id, &workload->mac))
		return drop(skb, CORE_SPOOFED);
	return leave(skb, way_of(workload));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
