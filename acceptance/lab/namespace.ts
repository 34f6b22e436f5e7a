// SPDX-License-Identifier: Apache-2.0
// A place to run programs in: a host of the lab, or a workload on one.

import { attempt, type Outcome, RunningProgram, type RunOptions, run } from './process'

export class Namespace {
  /** `entrance` is the command that enters the namespace and then runs what follows it. */
  constructor(readonly entrance: readonly string[]) {}

  /** A namespace reached from this one. */
  within(...entrance: string[]): Namespace {
    return new Namespace([...this.entrance, ...entrance])
  }

  /** Runs a program to its end and answers its standard output; throws unless it succeeds. */
  run(command: readonly string[], options?: RunOptions): Promise<string> {
    return run([...this.entrance, ...command], options)
  }

  /** Runs a program to its end, whatever its exit code. */
  attempt(command: readonly string[], options?: RunOptions): Promise<Outcome> {
    return attempt([...this.entrance, ...command], options)
  }

  /** Starts a program that the caller stops, or that ends with the process. */
  start(command: readonly string[], options?: RunOptions): RunningProgram {
    return new RunningProgram([...this.entrance, ...command], options)
  }
}
