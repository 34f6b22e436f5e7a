/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Configurations that are replaced as a whole: which of those in the maps is in force. */
#pragma once

#include "graph.h"

/* A change puts the next generation beside the one in force, then writes its number here. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} generation SEC(".maps");

/* 0 before the first. */
static __always_inline __u32 read_generation(void)
{
	__u32 zero = 0, *current = bpf_map_lookup_elem(&generation, &zero);

	return current ? *(volatile __u32 *)current : 0;
}
