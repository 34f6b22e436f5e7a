// SPDX-License-Identifier: Apache-2.0
// Runs programs: their output is kept, and told only when they fail.

import { spawn } from 'node:child_process'
import { stripVTControlCharacters } from 'node:util'

const TAIL_LINES = 40

/** Something the user has to know or do. `detail` is what a failing program said. */
export class Failure extends Error {
  constructor(message, detail = '') {
    super(message)
    this.detail = detail
  }
}

/**
 * Runs a program to its end and answers its standard output. A failure is a `Failure` with `advice` and the tail of what it printed.
 * `news` hears each line; `accept` lists exit codes that are no failure.
 */
export function command(program, args, { cwd, env, news, advice, accept = [0] } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    let all = ''
    const hear = chunk => {
      all += chunk
      const line = stripVTControlCharacters(chunk.toString().trimEnd().split('\n').at(-1)).trim()
      if (line) news?.(line)
    }
    child.stdout.on('data', chunk => {
      output += chunk
      hear(chunk)
    })
    child.stderr.on('data', hear)
    child.on('error', error => reject(new Failure(advice ?? `${program} cannot be run: ${error.message}.`)))
    child.on('close', code => {
      if (accept.includes(code)) resolve(output)
      else reject(new Failure(advice ?? `\`${program} ${args.join(' ')}\` failed.`, tail(all)))
    })
  })
}

/** Runs a program on the user's own terminal and answers its exit code. Ctrl-C reaches it directly; we wait for it to tidy up. */
export function attached(program, args, { cwd, env } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { cwd, env: { ...process.env, ...env }, stdio: 'inherit' })
    const ignore = () => {}
    process.on('SIGINT', ignore)
    child.on('error', error => reject(new Failure(`${program} cannot be run: ${error.message}.`)))
    child.on('close', (code, signal) => {
      process.off('SIGINT', ignore)
      resolve(signal ? 1 : code)
    })
  })
}

function tail(text) {
  return text.trimEnd().split('\n').slice(-TAIL_LINES).join('\n')
}
