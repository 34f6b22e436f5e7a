// SPDX-License-Identifier: Apache-2.0
// Measures the graph itself: what one more function costs a packet, and how long the writes of a re-stitch take. BPF_PROG_TEST_RUN, no device.

import { INSTANCE_FIRST as FIRST, slotOf } from '@inkev/bpf/core/graph'
import { eth } from '@inkev/bpf/packets/frame'
import { encodeContext } from '@inkev/bpf/packets/skb'
import { STARTED } from '@inkev/bpf/testing/harness'
import { LoadedObject, type Table } from '@inkev/bpf/testing/instance'
import type { BpfMap } from '@inkev/native'
import { median } from './median'

/** Functions in a row; the last is the most that the kernel's limit of tail calls leaves room for. */
const LENGTHS = [1, 2, 4, 8, 16, 24]
const LONGEST = LENGTHS.at(-1)!
const OUTSIDE = 1
const REPEAT = 1_000_000

/** Programs of one kind, stitched in a row; a probe ends it, and a starter makes every run of a measurement begin alike. */
class Row {
  private constructor(
    private readonly kind: string,
    private readonly functions: LoadedObject[],
    private readonly probe: LoadedObject,
    private readonly starter: LoadedObject
  ) {}

  static async of(kind: string, length: number): Promise<Row> {
    const slots = slotOf(FIRST + length + 1, 0)
    const first = await LoadedObject.load(kind, { number: FIRST, sizes: { stitches: slots, panel: slots } })
    const beside = (name: string, number: number) => LoadedObject.load(name, { number, share: first.object.maps })
    const functions = [first]
    for (let n = 1; n < length; n++) functions.push(await beside(kind, FIRST + n))
    const row = new Row(kind, functions, await beside('probe', 0), await beside('starter', 0))
    for (let n = 0; n < length; n++) row.stitch(n)
    return row
  }

  /** Leads what leaves function `n` to the next one, or past `skip` of them. */
  stitch(n: number, skip = 0): void {
    const next = this.functions[n + 1 + skip]
    const slot = slotOf(FIRST + n, OUTSIDE)
    this.panel.putProgram(slot, next ? next.program(this.kind) : this.probe.program('probe'))
    this.stitches.put(slot, { target: FIRST + n + 1 + skip, port: 0, kind: 'ATTACHED_FUNCTION' })
  }

  /** Nanoseconds of one packet that enters at function `n`. */
  measure(n: number): number {
    const data = eth().ipv4().udp().payload('x').bytes()
    const context = encodeContext({ cb: [(FIRST + n) << 16], mark: 0, gso_size: 0 })
    this.panel.putProgram(STARTED, this.functions[n]!.program(this.kind))
    return this.starter.program('starter').testRun({ data, context, repeat: REPEAT }).durationNs
  }

  close(): void {
    for (const object of [this.starter, this.probe, ...this.functions]) object.close()
  }

  private get stitches(): Table {
    return this.starter.table('stitches')
  }

  private get panel(): BpfMap {
    return this.starter.object.maps.get('panel')!
  }
}

/** What a packet takes to pass `functions` in a row, in nanoseconds: such that forward, and such that do nothing but call the next. */
export interface Passage {
  functions: number
  forwardersNs: number
  bareCallsNs: number
}

/** Rows of 1 to 24 functions, and milliseconds of the writes that lead a packet past one. */
export async function measureStitching(rounds: number): Promise<{ passages: Passage[]; restitchKernelMs: number }> {
  const forwarders = await Row.of('forwarder', LONGEST)
  const bareCalls = await Row.of('jumper', LONGEST)
  try {
    const samples = LENGTHS.map(functions => ({ functions, forwarders: [] as number[], bareCalls: [] as number[] }))
    const writes: number[] = []
    for (let round = 0; round < rounds; round++) {
      for (const sample of samples) {
        sample.forwarders.push(forwarders.measure(LONGEST - sample.functions))
        sample.bareCalls.push(bareCalls.measure(LONGEST - sample.functions))
      }
      const start = performance.now()
      forwarders.stitch(LONGEST / 2, 1)
      writes.push(performance.now() - start)
      forwarders.stitch(LONGEST / 2)
    }
    const passages = samples.map(({ functions, ...of }) => ({
      functions,
      forwardersNs: median(of.forwarders),
      bareCallsNs: median(of.bareCalls)
    }))
    return { passages, restitchKernelMs: median(writes) }
  } finally {
    for (const row of [forwarders, bareCalls]) row.close()
  }
}
