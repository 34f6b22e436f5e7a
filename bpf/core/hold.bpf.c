// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Stands in for a function while the agent moves its memory: packets wait until its next version is
// there. Not for ever: should the agent be gone, the function goes on as it was.
#include "held.h"

/* When the former function takes its packets again, by the monotonic clock. */
const volatile __u64 until;

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} former SEC(".maps");

SEC("tc") int hold(struct __sk_buff *skb)
{
	int verdict;

	if (bpf_ktime_get_ns() < until && send_round(skb, &verdict))
		return verdict;
	bpf_tail_call(skb, &former, 0);
	return drop(skb, CORE_MISSING);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
