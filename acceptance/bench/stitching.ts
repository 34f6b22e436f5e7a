// SPDX-License-Identifier: Apache-2.0
// Measures the graph itself: what one more function costs a packet, and how long the writes of a re-stitch take. BPF_PROG_TEST_RUN, no device.

import { INSTANCE_FIRST as FIRST, slotOf } from '@inkev/bpf/core/graph'
import { eth } from '@inkev/bpf/testing/frame'
import { STARTED } from '@inkev/bpf/testing/harness'
import { LoadedObject } from '@inkev/bpf/testing/instance'
import { encodeContext } from '@inkev/bpf/testing/skb'
import type { BpfMap } from '@inkev/native'
import { median } from './figures'

const LONGEST = 24
const OUTSIDE = 1
const REPEAT = 1_000_000

/** Functions that only forward, stitched in a row; a probe ends it, and a starter makes every run of a measurement begin alike. */
class Row {
  private constructor(
    private readonly functions: LoadedObject[],
    private readonly probe: LoadedObject,
    private readonly starter: LoadedObject
  ) {}

  static async of(length: number): Promise<Row> {
    const slots = slotOf(FIRST + length + 1, 0)
    const first = await LoadedObject.load('forwarder', { number: FIRST, sizes: { stitches: slots, panel: slots } })
    const beside = (name: string, number: number) => LoadedObject.load(name, { number, share: first.object.maps })
    const functions = [first]
    for (let n = 1; n < length; n++) functions.push(await beside('forwarder', FIRST + n))
    const row = new Row(functions, await beside('probe', 0), await beside('starter', 0))
    for (let n = 0; n < length; n++) row.stitch(n)
    return row
  }

  /** Leads what leaves function `n` to the next one, or past `skip` of them. */
  stitch(n: number, skip = 0): void {
    const next = this.functions[n + 1 + skip]
    const slot = slotOf(FIRST + n, OUTSIDE)
    this.panel.putProgram(slot, next ? next.program('forwarder') : this.probe.program('probe'))
    this.functions[0]!.table('stitches').put(slot, { target: FIRST + n + 1 + skip, port: 0, kind: 'ATTACHED_FUNCTION' })
  }

  /** Nanoseconds of one packet that enters at function `n`. */
  measure(n: number): number {
    const data = eth().ipv4().udp().payload('x').bytes()
    const context = encodeContext({ cb: [(FIRST + n) << 16], mark: 0, gso_size: 0 })
    this.panel.putProgram(STARTED, this.functions[n]!.program('forwarder'))
    return this.starter.program('starter').testRun({ data, context, repeat: REPEAT }).durationNs
  }

  close(): void {
    for (const object of [this.starter, this.probe, ...this.functions]) object.close()
  }

  private get panel(): BpfMap {
    return this.functions[0]!.object.maps.get('panel')!
  }
}

/** Nanoseconds that each function adds to a row of 2 to 24 of them, and milliseconds of the writes that lead a packet past one. */
export async function measureStitching(rounds: number): Promise<{ hopNs: number; restitchKernelMs: number }> {
  const row = await Row.of(LONGEST)
  try {
    const hops: number[] = []
    const writes: number[] = []
    for (let round = 0; round < rounds; round++) {
      hops.push((row.measure(0) - row.measure(LONGEST - 1)) / (LONGEST - 1))
      const start = performance.now()
      row.stitch(LONGEST / 2, 1)
      writes.push(performance.now() - start)
      row.stitch(LONGEST / 2)
    }
    return { hopNs: median(hops), restitchKernelMs: median(writes) }
  } finally {
    row.close()
  }
}
