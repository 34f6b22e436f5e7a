// SPDX-License-Identifier: Apache-2.0
// The core's log: one line of JSON each, which the shim hands on to Terraform's. No configuration values and no credentials go into it.

export type Level = 'debug' | 'info' | 'warn' | 'error'

export function log(level: Level, message: string, fields: Record<string, string | number | boolean> = {}): void {
  process.stderr.write(`${JSON.stringify({ ...fields, level, message })}\n`)
}
