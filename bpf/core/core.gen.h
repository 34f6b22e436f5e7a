/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Generated from core.ts: the reasons for which the road itself drops a packet. */
#pragma once

enum core_counter {
	/* Packets that left by a port with nothing stitched to it. */
	CORE_UNSTITCHED,
	/* Packets that passed more functions than one packet may. */
	CORE_LOOP,
	/* Packets whose next function was not loaded. */
	CORE_MISSING,
	/*
	 * Packets for a workload port that does not exist, and frames with a VLAN tag where it
	 * names no network.
	 */
	CORE_NO_PORT,
	/* Packets cut short or with a broken header. */
	CORE_MALFORMED,
	/* Packets larger than the MTU of the way ahead. */
	CORE_TOO_BIG,
	/* Packets for which the kernel had no memory to grow or clone. */
	CORE_NO_ROOM,
	/*
	 * Packets with a MAC or IP address of somebody else: of a pinned workload, or from a
	 * physical segment.
	 */
	CORE_SPOOFED,
	/* Packets to or from another host or VNI than those this host has tunnels to. */
	CORE_NO_TUNNEL,
	CORE_COUNTERS,
};
