// SPDX-License-Identifier: Apache-2.0
// Traffic between workloads, by the tools that a user would reach for: ping, HTTP, iperf3.

import type { Namespace } from './namespace'
import { type RunningProgram, until } from './process'

/** Milliseconds between the packets of a ping that watches for losses. */
const PING_INTERVAL_MS = 10
/** The last requests may still be under way when ping is told to stop: they count neither way. */
const IN_FLIGHT = 2

/** One ping is answered within two seconds. The first packet may wait for neighbours to be resolved, so `attempts` are made. */
export async function ping(from: Namespace, address: string, attempts = 1): Promise<boolean> {
  const { code } = await from.attempt(['ping', '-n', '-c', String(attempts), '-i', '0.2', '-W', '2', address])
  return code === 0
}

/** A ping that runs until it is stopped, and counts what got lost. */
export class SteadyPing {
  readonly #program: RunningProgram

  private constructor(program: RunningProgram) {
    this.#program = program
  }

  /** Starts, and returns once the first answer has come. */
  static async start(from: Namespace, address: string): Promise<SteadyPing> {
    const program = from.start(['ping', '-n', '-i', String(PING_INTERVAL_MS / 1000), '-W', '2', address])
    await program.says('bytes from')
    return new SteadyPing(program)
  }

  /** Waits for a text in ping's output, such as a sequence number. */
  says(text: string): Promise<void> {
    return this.#program.says(text)
  }

  /** Stops, and answers how many packets were sent and how many of them got no answer. */
  async stop(): Promise<{ sent: number; lost: number }> {
    const { stdout } = await this.#program.stop('SIGINT')
    const answered = new Set([...stdout.matchAll(/bytes from .* icmp_seq=(\d+) /g)].map(([, sequence]) => Number(sequence)))
    const [, sent] = /(\d+) packets transmitted/.exec(stdout) ?? []
    if (sent === undefined) throw new Error(`ping did not say what it sent:\n${stdout}`)
    const due = Number(sent) - IN_FLIGHT
    const lost = Array.from({ length: due }, (_, n) => n + 1).filter(sequence => !answered.has(sequence)).length
    return { sent: due, lost }
  }
}

const ECHO_SERVER = `
  require('node:net').createServer(socket => socket.pipe(socket)).listen(Number(process.argv[1]), '::', () => console.log('listening'))`
const ECHO_CLIENT = `
  const [address, port] = process.argv.slice(1)
  const socket = require('node:net').connect(Number(port), address)
  let [back, ended] = [0, '']
  socket.on('connect', () => {
    console.log('connected')
    setInterval(() => socket.write(Buffer.alloc(1000)), 2)
  })
  socket.on('data', bytes => console.log('back', back += bytes.length))
  socket.on('error', ({ code }) => { ended = code })
  socket.on('close', () => { ended ||= 'closed' })
  process.on('SIGINT', () => { console.log(JSON.stringify({ back, ended })); process.exit() })`

/** What is under way while an end moves is less. */
const MANY_BYTES = 50_000

/** One TCP connection, on which bytes go there and come back until it is stopped. */
export class SteadyConnection {
  private constructor(
    private readonly server: RunningProgram,
    private readonly client: RunningProgram
  ) {}

  /** Starts, and returns once it is established. */
  static async start(from: Namespace, to: Namespace, address: string, port = 7): Promise<SteadyConnection> {
    const server = to.start(['node', '-e', ECHO_SERVER, String(port)])
    await server.says('listening')
    const client = from.start(['node', '-e', ECHO_CLIENT, address, String(port)])
    await client.says('connected')
    return new SteadyConnection(server, client)
  }

  /** Of the server, whose namespace is the connection's other end wherever it is moved. */
  get serverPid(): number {
    return this.server.pid
  }

  /** Waits until it has gone on for a while. */
  async goesOn(): Promise<void> {
    const back = () => Number(/back (\d+)\n[^\n]*$/.exec(this.client.stdout)?.[1] ?? 0)
    const before = back()
    await until(
      () => back() >= before + MANY_BYTES,
      15_000,
      () => `no more than ${back()} bytes came back: ${this.client.stdout.slice(-200)}${this.client.stderr}`
    )
  }

  /** Stops, and answers how many bytes have come back, and how the connection ended before if it did. */
  async stop(): Promise<{ back: number; ended: string }> {
    const { stdout } = await this.client.stop('SIGINT')
    await this.server.stop()
    return JSON.parse(stdout.trimEnd().split('\n').at(-1)!)
  }
}

const HTTP_SERVER = `
  const [text, port] = process.argv.slice(1)
  require('node:http').createServer((_, response) => response.end(text)).listen(Number(port), '::', () => console.log('listening'))`

/** A web server that answers every request with `text`, on IPv4 and IPv6. The caller stops it. */
export async function serveHttp(on: Namespace, port: number, text: string): Promise<RunningProgram> {
  const server = on.start(['node', '-e', HTTP_SERVER, text, String(port)])
  await server.says('listening')
  return server
}

/** What a web server answers, or `refused`, or `no answer` after two seconds. */
export async function fetchHttp(from: Namespace, address: string, port: number): Promise<string> {
  const host = address.includes(':') ? `[${address}]` : address
  const { code, stdout } = await from.attempt([
    'curl',
    '--silent',
    '--globoff',
    '--noproxy',
    '*',
    '--max-time',
    '2',
    `http://${host}:${port}/`
  ])
  if (code === 0) return stdout
  return code === 7 ? 'refused' : 'no answer'
}

/** The different answers to `sessions` requests, each by a connection of its own; sorted, and `failed` among them where one has none. */
export async function fetchRepeatedly(from: Namespace, address: string, port: number, sessions: number): Promise<string[]> {
  const url = `http://${address.includes(':') ? `[${address}]` : address}:${port}/`
  const options = ['--silent', '--globoff', '--noproxy', '*', '--max-time', '2', '--header', 'Connection: close', '--write-out', '\n']
  const { stdout } = await from.attempt(['curl', ...options, ...Array(sessions).fill(url)])
  return [...new Set(stdout.trimEnd().split('\n'))].map(answer => answer || 'failed').sort()
}

/** Gigabits per second beyond which a stream flows, however busy the machine is: one whose large packets are lost crawls from timeout to timeout. */
export const FLOWING = 0.01

/** Gigabits per second of one TCP stream. */
export async function throughput(from: Namespace, to: Namespace, address: string, seconds = 2): Promise<number> {
  const server = to.start(['iperf3', '-s', '-1', '--forceflush'], { limit: seconds * 1000 + 20_000 })
  await server.says('Server listening')
  const report = await from.run(['iperf3', '-c', address, '-t', String(seconds), '-C', 'reno', '-J'], { limit: seconds * 1000 + 15_000 })
  await server.stop()
  return JSON.parse(report).end.sum_received.bits_per_second / 1e9
}
