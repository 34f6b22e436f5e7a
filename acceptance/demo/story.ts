// SPDX-License-Identifier: Apache-2.0
// How the demo speaks: chapters, and lines with the elapsed time.

import type { RunOptions } from '../lab/process'

const started = performance.now()
/** What of terraform's output is worth a line. */
const TERRAFORM_NEWS = /complete after|Still |^Plan:|^No changes|complete!|^Error/

export function chapter(title: string): void {
  console.log(`\n${title}`)
}

export function tell(text: string): void {
  console.log(`[${((performance.now() - started) / 1000).toFixed(1).padStart(6)} s] ${text}`)
}

/** Tells what was tried; throws when it does not hold. */
export function check(claim: string, holds: boolean): void {
  tell(`${holds ? 'ok' : 'FAILED'}  ${claim}`)
  if (!holds) throw new Error(`The demo failed: ${claim}`)
}

/** Tells of a terraform run as it goes. */
export const terraformTold: RunOptions = {
  listen: text => {
    for (const line of text.split('\n')) if (TERRAFORM_NEWS.test(line)) tell(`terraform: ${line.trim()}`)
  }
}
