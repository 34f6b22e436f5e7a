// SPDX-License-Identifier: Apache-2.0
// The hooks: tcx links that lead what arrives at a device into an object. A pinned link needs no agent.

import { existsSync } from 'node:fs'
import type { Bpf, Link, Program } from '@inkev/native'
import type { HookFact } from '../plan/state'
import type { Pins } from './pins'

export class Hooks {
  private readonly links = new Map<string, Link>()

  constructor(
    private readonly bpf: Bpf,
    private readonly pins: Pins
  ) {}

  adopt(): void {
    for (const key of this.pins.links()) this.links.set(key, this.bpf.openLink(this.pins.link(key)))
  }

  /** What is attached where; index 0 for a link that was detached, lost its device or its pin. */
  find(): Map<string, HookFact> {
    return new Map(
      [...this.links].map(([key, { info }]) => [
        key,
        { ifindex: existsSync(this.pins.link(key)) ? info.ifindex : 0, programId: info.programId }
      ])
    )
  }

  /** Where the hook sits at the device already, its program is replaced without a gap. */
  attach(key: string, ifindex: number, program: Program): HookFact {
    const pin = this.pins.link(key)
    const present = this.links.get(key)
    if (present?.info.ifindex === ifindex) present.update(program)
    else {
      const link = program.attachTcx(ifindex, 'ingress')
      this.detach(key)
      this.links.set(key, link)
    }
    if (!existsSync(pin)) this.links.get(key)!.pin(this.pins.makeWay(pin))
    return { ifindex, programId: program.info.id }
  }

  detach(key: string): void {
    this.pins.remove(this.pins.link(key))
    this.links.get(key)?.detach()
    this.links.get(key)?.close()
    this.links.delete(key)
  }

  close(): void {
    for (const link of this.links.values()) link.close()
    this.links.clear()
  }
}
