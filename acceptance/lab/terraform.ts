// SPDX-License-Identifier: Apache-2.0
// The real CLI, terraform or tofu, on a working copy of a configuration, with the provider that was built here.

import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { Lab } from './lab'
import { attempt, type Outcome, RunningProgram, type RunOptions } from './process'
import { PROJECT } from './project'

const LIMIT_MS = 300_000

/** Which CLI: set-up says so, a user may. */
export const CLI = process.env.INKEV_CLI ?? 'terraform'

/** What a shell needs for `terraform init && terraform apply` to reach a lab from any folder. */
export function terraformEnvironment(lab: Lab): Record<string, string> {
  return {
    TF_CLI_CONFIG_FILE: join(lab.project, '.cache/terraformrc'),
    CHECKPOINT_DISABLE: '1',
    TF_VAR_hosts: JSON.stringify(lab.terraformHosts)
  }
}

export class Terraform {
  constructor(
    readonly folder: string,
    readonly environment: Record<string, string>,
    /** The command that enters another namespace, where the CLI is to run there. */
    readonly entrance: readonly string[] = []
  ) {}

  /** A working copy of one of examples/terraform, which goes with the lab. */
  static ofExample(example: string, lab: Lab): Terraform {
    return Terraform.of(join(PROJECT, 'examples/terraform', example), lab)
  }

  /** A working copy of the configuration in `source`, which goes with the lab. */
  static of(source: string, lab: Lab): Terraform {
    const folder = join(lab.folder, basename(source))
    cpSync(source, folder, {
      recursive: true,
      errorOnExist: true,
      force: false,
      filter: path => !/\.terraform|\.tfstate/.test(basename(path))
    })
    return new Terraform(folder, terraformEnvironment(lab))
  }

  init(options?: RunOptions): Promise<string> {
    return this.run(['init'], options)
  }

  /** Whether a plan has changes, and its text. */
  async plan(args: string[] = [], options?: RunOptions): Promise<{ empty: boolean; text: string }> {
    const outcome = await this.attempt(['plan', '-detailed-exitcode', ...args], options)
    if (outcome.code !== 0 && outcome.code !== 2) throw failure('plan', outcome)
    return { empty: outcome.code === 0, text: outcome.stdout }
  }

  apply(args: string[] = [], options?: RunOptions): Promise<string> {
    return this.run(['apply', '-auto-approve', ...args], options)
  }

  destroy(args: string[] = [], options?: RunOptions): Promise<string> {
    return this.run(['destroy', '-auto-approve', ...args], options)
  }

  /** Runs a command and answers its output; throws with its diagnostics unless it succeeds. */
  async run(args: string[], options?: RunOptions): Promise<string> {
    const outcome = await this.attempt(args, options)
    if (outcome.code !== 0) throw failure(args[0]!, outcome)
    return outcome.stdout
  }

  /** Runs a command, whatever becomes of it. */
  attempt(args: string[], options: RunOptions = {}): Promise<Outcome> {
    return attempt(this.#command(args), { limit: LIMIT_MS, ...this.#options(options) })
  }

  /** Starts a command that the caller ends. */
  start(args: string[], options: RunOptions = {}): RunningProgram {
    return new RunningProgram(this.#command(args), this.#options(options))
  }

  /** Replaces a text of main.tf, which must be there. */
  edit(old: string, replacement: string): void {
    const file = join(this.folder, 'main.tf')
    const text = readFileSync(file, 'utf8')
    if (!text.includes(old)) throw new Error(`main.tf does not say ${old}`)
    writeFileSync(file, text.replace(old, replacement))
  }

  #command([name = '', ...args]: string[]): string[] {
    const options = ['init', 'plan', 'apply', 'destroy', 'import'].includes(name) ? ['-no-color', '-input=false'] : []
    return [...this.entrance, CLI, name, ...options, ...args]
  }

  #options({ env, ...options }: RunOptions): RunOptions {
    return { cwd: this.folder, env: { ...this.environment, ...env }, ...options }
  }
}

function failure(command: string, { code, stdout, stderr }: Outcome): Error {
  return new Error(`\`${CLI} ${command}\` failed (${code}):\n${stderr.trim() || stdout.trim()}`)
}
