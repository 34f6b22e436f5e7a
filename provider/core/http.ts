// SPDX-License-Identifier: Apache-2.0
// One request to one agent: over a unix socket, HTTP or HTTPS, with kept connections and a limit on how many are open at once.

import { Agent as HttpAgent, request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'

/** Where an agent answers and how it knows us. Certificates and the key are PEM texts. */
export interface Endpoint {
  /** `unix:///run/inkev/agent.sock`, `https://10.0.0.1:7443` or `http://127.0.0.1:7080`. */
  url: string
  token?: string
  ca?: string
  cert?: string
  key?: string
}

export interface Answer {
  status: number
  headers: IncomingMessage['headers']
  /** The parsed JSON, or the text where it is none. */
  body: unknown
}

export interface Ask {
  method: string
  path: string
  body?: unknown
  headers?: Record<string, string>
  signal: AbortSignal
}

export type Connection = (ask: Ask) => Promise<Answer>

/** More at once only queue in the agent, which has one writer. */
const REQUESTS_IN_FLIGHT = 8
const ANSWER_LIMIT_MS = { GET: 10_000, other: 30_000 }

/** Reads an endpoint's address; throws a sentence where it is none. */
export function parseEndpoint(url: string): { socketPath: string } | URL {
  const [, socketPath] = /^unix:(?:\/\/)?(\/.+)$/.exec(url) ?? []
  if (socketPath) return { socketPath }
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (!parsed || !['http:', 'https:'].includes(parsed.protocol) || !parsed.hostname)
    throw new RangeError(`${JSON.stringify(url)} is no endpoint`)
  return parsed
}

export function connectTo({ url, token, ca, cert, key }: Endpoint): Connection {
  const address = parseEndpoint(url)
  const isTls = address instanceof URL && address.protocol === 'https:'
  const pool = { keepAlive: true, maxSockets: REQUESTS_IN_FLIGHT }
  const target: RequestOptions = {
    ...(address instanceof URL
      ? { host: address.hostname.replace(/^\[|\]$/g, ''), port: address.port || undefined }
      : { socketPath: address.socketPath, host: 'localhost' }),
    agent: isTls ? new HttpsAgent({ ...pool, ca, cert, key }) : new HttpAgent(pool)
  }
  const send = isTls ? httpsRequest : httpRequest
  const credentials: Record<string, string> = token ? { authorization: `Bearer ${token}` } : {}

  return ({ method, path, body, headers, signal }) =>
    new Promise((resolve, reject) => {
      const text = body === undefined ? undefined : JSON.stringify(body)
      const content = text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }
      const sent = send({ ...target, method, path, headers: { ...headers, ...credentials, ...content }, signal }, response => {
        readAnswer(response).then(resolve, reject)
      })
      const limit = ANSWER_LIMIT_MS[method === 'GET' ? 'GET' : 'other']
      const timer = setTimeout(() => sent.destroy(Object.assign(new Error('no answer in time'), { code: 'ETIMEDOUT' })), limit)
      sent.on('close', () => clearTimeout(timer))
      sent.on('error', reject)
      sent.end(text)
    })
}

async function readAnswer(response: IncomingMessage): Promise<Answer> {
  response.setEncoding('utf8')
  let text = ''
  for await (const chunk of response) text += chunk
  return { status: response.statusCode ?? 0, headers: response.headers, body: parsed(text) }
}

function parsed(text: string): unknown {
  try {
    return text === '' ? undefined : JSON.parse(text)
  } catch {
    return text
  }
}
