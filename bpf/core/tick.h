/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Times in ticks of the kernel (jiffies), which are read in no time, while a clock costs a call. */
#pragma once

#include "types.h"

/*
 * How many ticks a second has depends on the kernel's build (CONFIG_HZ). A function's loader writes
 * it over the mark (SECOND_MARK of graph.ts), as own_number() has it written.
 */
#define SECOND_MARK 0x6f636573

static __always_inline __u32 ticks_in_second(void)
{
	__u32 ticks;

	asm("%[ticks] = %[mark]" : [ticks] "=r"(ticks) : [mark] "i"(SECOND_MARK));
	return ticks;
}
