// SPDX-License-Identifier: Apache-2.0
// Draws a host's topology on a terminal.

/** TODO-SHAPE */
export function drawTopology(host: string, topology: unknown): string {
  return `${host}\n${JSON.stringify(topology, null, 1)}`
}
