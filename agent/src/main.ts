// SPDX-License-Identifier: Apache-2.0
// The agent's process: options in, log lines on stderr, and an exit code. What runs in the kernel outlives it.

import { native } from '@inkev/native'
import pino from 'pino'
import { InkevError } from '../api/errors'
import { parseOptions, USAGE } from './options'
import { start } from './start'

/** A clean end must not wait for a client that never closes. */
const STOP_LIMIT_MS = 5_000

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2))
  if (!options) {
    process.stdout.write(USAGE)
    return
  }
  const log = pino({ level: options.logLevel }, pino.destination({ fd: 2, sync: true }))
  const { stop } = await start(options, native, log)
  if (options.teardown) return stop()
  log.info({ listen: options.listen }, 'ready')
  const end = (signal: string) => {
    log.info({ signal }, 'ending; what runs in the kernel runs on')
    setTimeout(() => process.exit(1), STOP_LIMIT_MS).unref()
    stop().then(() => process.exit(0))
  }
  process.once('SIGTERM', end)
  process.once('SIGINT', end)
}

main().catch(error => {
  if (!(error instanceof InkevError)) throw error
  process.stderr.write(`inkev-agent: ${error.message} (${error.code})\n${error.hint ? `  ${error.hint}\n` : ''}`)
  process.exit(1)
})
