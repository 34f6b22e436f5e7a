// SPDX-License-Identifier: Apache-2.0
// A wire between two taps (tapwire.c), for as long as it is not closed.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, renameSync, statSync } from 'node:fs'
import { join } from 'node:path'

const SOURCE = join(__dirname, 'tapwire.c')
const PROGRAM = join(__dirname, '../build/tapwire')

/** A tap that is made: its namespace and its name. */
export type Tap = [netns: string, name: string]

export class Tapwire {
  private constructor(private readonly process: ChildProcess) {}

  /** Resolves when both taps are there. */
  static async start(...taps: [Tap, Tap]): Promise<Tapwire> {
    compile()
    const child = spawn(PROGRAM, taps.flat(), { stdio: ['ignore', 'pipe', 'inherit'] })
    const [said] = await Promise.race([once(child.stdout, 'data'), once(child, 'exit')])
    if (String(said).trim() !== 'ready') throw new Error(`tapwire ended (${said})`)
    return new Tapwire(child)
  }

  close(): void {
    this.process.kill('SIGKILL')
  }
}

/** Once; by renaming, as other tests may do it at the same time. */
function compile(): void {
  if (existsSync(PROGRAM) && statSync(PROGRAM).mtimeMs > statSync(SOURCE).mtimeMs) return
  const scratch = `${PROGRAM}.${process.pid}`
  execFileSync('cc', ['-O2', '-Wall', '-o', scratch, SOURCE])
  renameSync(scratch, PROGRAM)
}
