// SPDX-License-Identifier: Apache-2.0
// The core's log: one line of JSON each, which the shim hands on to Terraform's. No configuration values and no credentials go into it.

export type Level = 'debug' | 'info' | 'warn' | 'error'

const { TF_LOG, TF_LOG_PROVIDER, TF_LOG_PROVIDER_INKEV } = process.env
const isRead = Boolean(TF_LOG_PROVIDER_INKEV ?? TF_LOG_PROVIDER ?? TF_LOG)

/** Lines of level debug are written only where somebody asked for a log. */
export function log(level: Level, message: string, fields: Record<string, string | number> = {}): void {
  if (isRead || level !== 'debug') process.stderr.write(`${JSON.stringify({ ...fields, level, message })}\n`)
}
