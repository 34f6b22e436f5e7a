/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a function keeps of a packet while it looks at it, and the stack of 512 bytes has no room
 * for. A kind defines its `struct scratch` before it includes this. */
#pragma once

#include <bpf/bpf_helpers.h>
#include "types.h"

/* One for each CPU: no packet is left halfway for another. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

/* Never NULL, though the verifier wants to see it checked. */
static __always_inline struct scratch *lookup_scratch(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&scratch, &zero);
}
