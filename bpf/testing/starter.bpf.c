// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Lets one packet begin anew in each of many runs: a repeated BPF_PROG_TEST_RUN keeps what the last
// run left in cb[]. Slot 0 of the panel has the program to measure, skb->priority is its cb[0].
#include "graph.h"

SEC("tc") int starter(struct __sk_buff *skb)
{
	skb->cb[0] = skb->priority;
	skb->cb[1] = 0;
	bpf_tail_call(skb, &panel, 0);
	return drop(skb, CORE_MISSING);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
