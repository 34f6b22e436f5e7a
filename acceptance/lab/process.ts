// SPDX-License-Identifier: Apache-2.0
// Programs run by the lab: every one has a limit, and none outlives the process that started it.

import { type ChildProcess, spawn } from 'node:child_process'

const DEFAULT_LIMIT_MS = 30_000

export interface RunOptions {
  /** Milliseconds until it is killed, with all its children. Default 30 s for `run`, none for `start`. */
  limit?: number
  cwd?: string
  env?: NodeJS.ProcessEnv
  input?: string
  /** Hears the output as it comes. */
  listen?: (text: string) => void
}

export interface Outcome {
  /** Exit code; 128 + n after signal n is not told apart from -1, which stands for every death by signal. */
  code: number
  stdout: string
  stderr: string
}

const alive = new Set<RunningProgram>()
process.on('exit', () => {
  for (const program of alive) program.kill('SIGKILL')
})

/** A program in a process group of its own. */
export class RunningProgram {
  stdout = ''
  stderr = ''
  readonly done: Promise<Outcome>
  readonly #child: ChildProcess

  constructor(
    readonly command: readonly string[],
    { limit, cwd, env, input, listen }: RunOptions = {}
  ) {
    const [program = '', ...args] = command
    this.#child = spawn(program, args, { cwd, env: { ...process.env, ...env }, detached: true, stdio: ['pipe', 'pipe', 'pipe'] })
    alive.add(this)
    const { stdin, stdout, stderr } = this.#child
    stdin?.on('error', () => {}).end(input ?? '')
    stdout?.on('data', text => {
      this.stdout += text
      listen?.(String(text))
    })
    stderr?.on('data', text => {
      this.stderr += text
      listen?.(String(text))
    })
    const timer = limit === undefined ? undefined : setTimeout(() => this.#expire(limit), limit)
    this.done = new Promise((resolve, reject) => {
      this.#child.on('error', reject)
      this.#child.on('close', code => resolve({ code: code ?? -1, stdout: this.stdout, stderr: this.stderr }))
    })
    this.done
      .catch(() => {})
      .finally(() => {
        clearTimeout(timer)
        alive.delete(this)
      })
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** Signals the program and all its children; no error when they have ended. */
  kill(signal: NodeJS.Signals): void {
    try {
      if (this.pid > 0) process.kill(-this.pid, signal)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }

  /** Ends it by `signal`, by SIGKILL if that does not help within 5 s, and answers what it said. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Outcome> {
    this.kill(signal)
    const last = setTimeout(() => this.kill('SIGKILL'), 5000)
    return this.done.finally(() => clearTimeout(last))
  }

  /** Waits until its output holds `text`. */
  async says(text: string, limit = 10_000): Promise<void> {
    await until(
      () => `${this.stdout}${this.stderr}`.includes(text),
      limit,
      () => `${this} did not say "${text}" but:\n${this.stdout}${this.stderr}`
    )
  }

  toString(): string {
    return this.command.join(' ')
  }

  #expire(limit: number): void {
    this.stderr += `\nkilled after ${limit / 1000} s\n`
    this.kill('SIGKILL')
  }
}

/** Runs a program to its end, whatever its exit code. */
export function attempt(command: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  return new RunningProgram(command, { limit: DEFAULT_LIMIT_MS, ...options }).done
}

/** Runs a program to its end and answers its standard output; throws with what it said unless it succeeds. */
export async function run(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await attempt(command, options)
  if (code !== 0) throw new Error(`\`${command.join(' ')}\` failed (${code}): ${(stderr || stdout).trim()}`)
  return stdout
}

export const sleep = (milliseconds: number) => new Promise<void>(resolve => setTimeout(resolve, milliseconds))

/** Polls until `holds`; throws `complaint` after `limit` milliseconds. */
export async function until(
  holds: () => boolean | Promise<boolean>,
  limit: number,
  complaint: () => string | Promise<string>
): Promise<void> {
  const end = performance.now() + limit
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(await complaint())
    await sleep(20)
  }
}
