// SPDX-License-Identifier: Apache-2.0
// What the user sees while set-up works: one line per event with the elapsed time, and never a long silence.

const SILENCE_MS = 3000
const started = performance.now()
const running = new Map()
let lastLine = started
let stream = process.stdout

/** Seconds since the command began, as `12.3 s`. */
export function elapsed(since = started) {
  return `${((performance.now() - since) / 1000).toFixed(1)} s`
}

/** From now on progress goes to another stream. */
export function tellOn(other) {
  stream = other
}

/** Prints one line, headed by the elapsed time. */
export function say(text) {
  lastLine = performance.now()
  stream.write(`[${elapsed().padStart(8)}] ${text}\n`)
}

/** Runs `work` under a title: whenever nothing was printed for a while, a line tells how far it is. `work` gets a function for news. */
export async function watched(title, work) {
  const entry = { since: performance.now(), news: '' }
  running.set(title, entry)
  const timer = setInterval(heartbeat, 500)
  try {
    return await work(news => {
      entry.news = news
    })
  } finally {
    clearInterval(timer)
    running.delete(title)
  }
}

function heartbeat() {
  if (performance.now() - lastLine < SILENCE_MS) return
  const parts = [...running].map(([title, { since, news }]) => `${title} (${elapsed(since)})${news ? `: ${news.slice(0, 100)}` : ''}`)
  say(`… ${parts.join('; ')}`)
}
