// SPDX-License-Identifier: Apache-2.0
// Conversations of one workload with others, by processes that stay: TCP, UDP, pings and bulk, as the kernel's own ends hold them.

import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Workload } from './workload'

const ANSWER_LIMIT_MS = 20_000

/** Echoes every stream, and every datagram, at port 7000 of both IP versions. */
const SERVER = `import socket, threading
stream = socket.create_server(('::', 7000), family=socket.AF_INET6, dualstack_ipv6=True)
datagrams = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
datagrams.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
datagrams.bind(('::', 7000))
def echo_datagrams():
    while True:
        data, peer = datagrams.recvfrom(65536)
        datagrams.sendto(data, peer)
def echo(connection):
    with connection:
        while data := connection.recv(1 << 18): connection.sendall(data)
threading.Thread(target=echo_datagrams, daemon=True).start()
print('ready', flush=True)
while True: threading.Thread(target=echo, args=(stream.accept()[0],), daemon=True).start()`

/** For each address that it reads, the conversations that failed, and how. */
const CLIENT = `import json, os, socket, struct, sys, threading
LIMIT = 3
BULK = os.urandom(1 << 20)
def family(address): return socket.AF_INET6 if ':' in address else socket.AF_INET
def listen(s, length):
    heard = bytearray()
    while len(heard) < length:
        data = s.recv(1 << 18)
        if not data: break
        heard += data
    return bytes(heard)
def stream(address, said):
    with socket.create_connection((address, 7000), LIMIT) as s:
        speaker = threading.Thread(target=s.sendall, args=(said,))
        speaker.start()
        heard = listen(s, len(said))
        speaker.join()
        s.shutdown(socket.SHUT_WR)
        return heard == said and s.recv(1) == b''
def tcp(address): return stream(address, b'hello')
def bulk(address): return stream(address, BULK)
def udp(address, length=100):
    said = os.urandom(length)
    with socket.socket(family(address), socket.SOCK_DGRAM) as s:
        s.settimeout(LIMIT)
        s.connect((address, 7000))
        s.send(said)
        return s.recv(65536) == said
def fragments(address): return udp(address, 4000)
def ping(address):
    v6 = ':' in address
    said = os.urandom(56)
    with socket.socket(family(address), socket.SOCK_DGRAM, socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP) as s:
        s.settimeout(LIMIT)
        s.sendto(struct.pack('!BBHHH', 128 if v6 else 8, 0, 0, 0, 1) + said, (address, 0))
        return s.recv(2048)[8:] == said
def failure(talk, address):
    try: return None if talk(address) else f'{talk.__name__}: other bytes'
    except OSError as error: return f'{talk.__name__}: {error}'
print('ready', flush=True)
for line in sys.stdin:
    failures = [failure(talk, line.strip()) for talk in (ping, udp, fragments, tcp, bulk)]
    print(json.dumps([each for each in failures if each]), flush=True)`

export interface Conversant {
  /** A ping, a datagram, one in fragments, a TCP connection, and a bulk transfer both ways at once; resolves to those that failed. */
  talk(address: string): Promise<string[]>
  close(): void
}

/** Servers listen when it resolves. */
export async function converse(client: Workload, servers: Workload[]): Promise<Conversant> {
  client.net.sysctl('ipv4/ping_group_range', '0 0')
  const speaker = new Speaker(client, CLIENT)
  const all = [speaker, ...servers.map(server => new Speaker(server, SERVER))]
  const close = () => {
    for (const each of all) each.close()
  }
  try {
    for (const each of all) await each.line()
  } catch (error) {
    close()
    throw error
  }
  const talk = async (address: string) => {
    speaker.say(address)
    return JSON.parse(await speaker.line()) as string[]
  }
  return { talk, close }
}

/** A Python program in a workload that answers line by line. */
class Speaker {
  private readonly process: ChildProcess
  private readonly lines: AsyncIterator<string>

  constructor(workload: Workload, program: string) {
    this.process = spawn('ip', ['netns', 'exec', workload.name, 'python3', '-c', program], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.lines = createInterface({ input: this.process.stdout! })[Symbol.asyncIterator]()
  }

  say(line: string): void {
    this.process.stdin!.write(`${line}\n`)
  }

  /** Throws when none comes in time, or the program has ended. */
  async line(): Promise<string> {
    const limit = setTimeout(() => this.close(), ANSWER_LIMIT_MS)
    const { value, done } = await this.lines.next()
    clearTimeout(limit)
    if (done) throw new Error('the program in the workload gives no more answers')
    return value
  }

  close(): void {
    this.process.kill('SIGKILL')
  }
}
