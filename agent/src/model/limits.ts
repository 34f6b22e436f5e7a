// SPDX-License-Identifier: Apache-2.0
// How much a host takes: as much as the kernel half can number.

import { INSTANCE_FIRST, INSTANCES_MAX, PORT_LIKELY } from '@inkev/bpf/core/graph'

/** Networks and functions together. */
export const FUNCTIONS_MAX = INSTANCES_MAX - INSTANCE_FIRST

/** Functions in the chain of a port; CHAIN_MAX in graph.h. */
export const CHAIN_MAX = 8

/** Ports of one function, or stitches of one network, beside the ports that the kind declares by name. */
const DECLARED_PORTS = 8
export const PORTS_MAX = PORT_LIKELY - DECLARED_PORTS
