// SPDX-License-Identifier: Apache-2.0
// A wire between two taps (tapwire.c), for as long as it is not closed.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { compiled } from './compiled'

/** A tap that is made: its namespace and its name. */
export type Tap = [netns: string, name: string]

export class Tapwire {
  private constructor(private readonly process: ChildProcess) {}

  /** Resolves when both taps are there. */
  static async start(...taps: [Tap, Tap]): Promise<Tapwire> {
    const child = spawn(compiled('tapwire'), taps.flat(), { stdio: ['ignore', 'pipe', 'inherit'] })
    const [said] = await Promise.race([once(child.stdout, 'data'), once(child, 'exit')])
    if (String(said).trim() !== 'ready') throw new Error(`tapwire ended (${said})`)
    return new Tapwire(child)
  }

  close(): void {
    this.process.kill('SIGKILL')
  }
}
