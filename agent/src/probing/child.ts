// SPDX-License-Identifier: Apache-2.0
// A process inside a workload's namespace that asks what it is told to, by the clock. On stdin lines of all questions by id; on stdout a line for each answer. It ends with stdin.

import { createSocket } from 'node:dgram'
import http from 'node:http'
import net from 'node:net'
import { networkInterfaces } from 'node:os'
import { createInterface } from 'node:readline'
import type { Probe } from '@inkev/bpf/catalogue/define'

export type Question = Omit<Probe, 'from' | 'healthyThreshold' | 'unhealthyThreshold'>
export type Questions = Record<string, Question>

/** Without `fault` and `hindrance` all is well. */
export interface Heard {
  id: string
  /** What is wrong with the one who was asked. */
  fault?: string
  /** Why nothing could be asked from here. */
  hindrance?: string
}

/** Many questions that come at once are spread over so many milliseconds. */
const SPREAD_MS = 500

const FAULTS: Record<string, string> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  EHOSTUNREACH: 'host unreachable',
  ENETUNREACH: 'network unreachable'
}

const asked = new Map<string, { text: string; timer: NodeJS.Timeout }>()

function follow(questions: Questions): void {
  for (const [id, { text, timer }] of asked)
    if (JSON.stringify(questions[id]) !== text) {
      clearTimeout(timer)
      asked.delete(id)
    }
  for (const [id, question] of Object.entries(questions)) {
    if (asked.has(id)) continue
    const text = JSON.stringify(question)
    asked.set(id, { text, timer: setTimeout(repeat, Math.random() * Math.min(SPREAD_MS, question.interval), id, text, question) })
  }
}

async function repeat(id: string, text: string, question: Question): Promise<void> {
  const began = performance.now()
  const fault = await ask(question)
  const hindrance = fault === undefined ? undefined : await hindranceTo(question)
  const told = hindrance === undefined ? { fault } : { hindrance }
  const known = asked.get(id)
  if (known?.text !== text) return
  process.stdout.write(`${JSON.stringify({ id, ...told } satisfies Heard)}\n`)
  known.timer = setTimeout(repeat, Math.max(0, question.interval - (performance.now() - began)), id, text, question)
}

/** Resolves within the timeout to what is wrong, if anything is. */
function ask(question: Question): Promise<string | undefined> {
  return new Promise(resolve => {
    const connection = question.protocol === 'tcp' ? connect(question, answer) : get(question, answer)
    const deadline = setTimeout(() => answer(`no answer within ${question.timeout / 1000} s`), question.timeout)
    connection.on('error', error => answer(inWords(error)))
    function answer(fault?: string): void {
      clearTimeout(deadline)
      connection.destroy()
      resolve(fault)
    }
  })
}

function connect({ address: host, port }: Question, answer: () => void): net.Socket {
  return net.connect({ host, port }, answer)
}

function get({ address: host, port, path }: Question, answer: (fault?: string) => void): http.ClientRequest {
  const headers = { connection: 'close', 'user-agent': 'inkev-agent' }
  return http.get({ host, port, path, headers, agent: false }, ({ statusCode = 0 }) =>
    answer(statusCode >= 200 && statusCode < 400 ? undefined : `HTTP ${statusCode}`)
  )
}

/** What keeps a packet from leaving the namespace towards the one who is asked, if anything does. Nothing is sent. */
function hindranceTo({ address, port }: Question): Promise<string | undefined> {
  return new Promise(resolve => {
    const socket = createSocket(net.isIPv6(address) ? 'udp6' : 'udp4')
    socket.connect(port, address, (error?: NodeJS.ErrnoException) => {
      const isCut = !error && !hasLink(socket.address().address)
      socket.close()
      resolve(error ? `its namespace has no way there: ${inWords(error)}` : isCut ? 'its link is down' : undefined)
    })
  })
}

/** Whether the device with that address is up, and at its other end as well. */
function hasLink(own: string): boolean {
  return Object.values(networkInterfaces()).some(addresses => addresses?.some(({ address }) => address === own))
}

function inWords({ code, message }: NodeJS.ErrnoException): string {
  return FAULTS[code ?? ''] ?? message
}

createInterface({ input: process.stdin })
  .on('line', line => follow(JSON.parse(line)))
  .on('close', () => process.exit(0))
