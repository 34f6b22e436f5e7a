// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// How a packet begins that is not simply handed to a function. Slot 0 of the panel has the program
// that it is for.
#include "tunnel.h"

/* Anew in each of many runs: a repeated BPF_PROG_TEST_RUN keeps what the last run left in cb[].
 * skb->priority is cb[0]. */
SEC("tc") int starter(struct __sk_buff *skb)
{
	skb->cb[0] = skb->priority;
	skb->cb[1] = 0;
	bpf_tail_call(skb, &panel, 0);
	return drop(skb, CORE_MISSING);
}

/* As it comes out of a tunnel whose other end is in the same kernel: is_encapsulated() of resize.h.
 */
SEC("tc") int decapsulated(struct __sk_buff *skb)
{
	if (bpf_skb_adjust_room(skb, VXLAN_OVERHEAD, BPF_ADJ_ROOM_MAC, ENCAPSULATION) ||
	    bpf_skb_adjust_room(skb, -(__s32)VXLAN_OVERHEAD, BPF_ADJ_ROOM_MAC, DECAPSULATION))
		return drop(skb, CORE_NO_ROOM);
	bpf_tail_call(skb, &panel, 0);
	return drop(skb, CORE_MISSING);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
