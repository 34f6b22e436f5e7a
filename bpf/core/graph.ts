// SPDX-License-Identifier: Apache-2.0
// The numbers of graph.h that a loader of functions needs: which instances there are, and which slots of the panel are theirs.

export const INSTANCES_MAX = 4096
export const PORTS_PER_INSTANCE = 256

/** Instance numbers below INSTANCE_FIRST belong to the road. */
export const INSTANCE_PORT = 1
export const INSTANCE_UPLINK = 2
export const INSTANCE_OVERLAY = 3
export const INSTANCE_REPLICA = 4
export const INSTANCE_VLAN = 5
export const INSTANCE_FIRST = 16

/** Stands in the code of a function for its instance number: its loader replaces the immediate. */
export const INSTANCE_MARK = 0x6b656e69

/** Stands in the code of a function for the number of the kernel's ticks in a second (tick.h). */
export const SECOND_MARK = 0x6f636573

/** What a loader writes over the marks in a function's code. */
export function marksOf(instance: number, ticksInSecond: number): Record<number, number> {
  return { [INSTANCE_MARK]: instance, [SECOND_MARK]: ticksInSecond }
}

/** The two ports of a kind that can stand in a workload port's chain. */
export const INSIDE = 0
export const OUTSIDE = 1

/** Ports from PORT_LIKELY on are none: see likelySlot(). */
export const LIKELY = 8
export const PORT_LIKELY = PORTS_PER_INSTANCE - LIKELY

/** The slot of an instance's port in `panel` and `stitches`. */
export function slotOf(instance: number, port: number): number {
  return instance * PORTS_PER_INSTANCE + port
}

/**
 * The slot by which `instance` jumps to `target` directly where it knows it by number only: `panel` holds target's program there, and `stitches` an attachment
 * with `target`. One slot serves one of all the targets whose numbers are equal modulo LIKELY; it is a hint, an empty one costs 17 ns.
 */
export function likelySlot(instance: number, target: number): number {
  return slotOf(instance, PORT_LIKELY + (target % LIKELY))
}
