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

/*
 * The port that was last found behind an ifindex, by its low bits: a line of cache where the hash
 * costs several. The workload itself says whether it is still so.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WORKLOADS_MAX);
	__type(key, __u32);
	__type(value, __u32);
} recent_ids SEC(".maps");

static __always_inline struct workload *workload_at(__u32 ifindex, const __u32 *id)
{
	struct workload *workload = bpf_map_lookup_elem(&workloads, id);

	return workload && workload->ifindex == ifindex ? workload : NULL;
}

/* The id of the port behind a device; 0: none. */
static __noinline __u32 look_up_id(__u32 ifindex)
{
	__u32 slot = ifindex % WORKLOADS_MAX, *id = bpf_map_lookup_elem(&workload_ids, &ifindex);

	if (!id)
		return 0;
	bpf_map_update_elem(&recent_ids, &slot, id, BPF_ANY);
	return *id;
}

/* Into the first function of the port's chain or, without one, straight to its network. */
static __always_inline union attachment way_of(const struct workload *workload)
{
	union attachment first = {
		.target = workload->chain[0], .port = INSIDE, .kind = ATTACHED_FUNCTION};

	return workload->chain_length ? first : read_attachment(&workload->network);
}

SEC("tc") int port(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex, slot = ifindex % WORKLOADS_MAX, id = 0;
	__u32 *recent = bpf_map_lookup_elem(&recent_ids, &slot);
	struct workload *workload;

	if (recent)
		id = *recent;
	workload = workload_at(ifindex, &id);
	if (unlikely(!workload)) {
		id = look_up_id(ifindex);
		workload = workload_at(ifindex, &id);
	}
	if (unlikely(!workload))
		return drop(skb, CORE_NO_PORT);
	begin(skb, 0, id, 0);
	if (unlikely(workload->pinned) && is_spoofed(skb, id, workload))
		return drop(skb, CORE_SPOOFED);
	return leave(skb, way_of(workload));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
