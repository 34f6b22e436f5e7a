// SPDX-License-Identifier: Apache-2.0
// The network card of a virtual machine (tapcard.c): sends packets that the kernel has to finish, as virtio's drivers do, and receives what it hands over.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { internetChecksum, pseudoHeader } from '../packets/checksum'
import type { Frame } from '../packets/frame'
import { type Parsed, parse } from '../packets/parse'
import { compiled } from './compiled'

/** What the machine takes unfinished (TUN_F_…): checksums, trains of TCP segments and of UDP datagrams, over IPv4 and IPv6. */
const EVERY_OFFLOAD = 0x01 | 0x02 | 0x04 | 0x20 | 0x40

/** struct virtio_net_hdr of <linux/virtio_net.h>. */
const VNET_HEADER = 10
const NEEDS_CSUM = 1
const GSO_TYPES = { tcp4: 1, tcp6: 4, udp: 5 }

const [TCP, UDP] = [6, 17]
const [IPV4, TAGGED] = [0x0800, 0x8100]
const STEP_MS = 5
const LIMIT_MS = 10_000

/** A packet, with its checksum completed where the machine was left to do it. */
export interface Received extends Parsed {
  /** Of a train: bytes of payload in each segment; else 0. */
  gso_size: number
  /** Of the IP packet. */
  size: number
}

export class Card {
  private readonly packets: Received[] = []
  private rest = Buffer.alloc(0)

  private constructor(
    private readonly process: ChildProcess,
    private readonly mac: string
  ) {}

  /** Makes the tap `device` in the namespace. A machine without offloads gets each packet whole and with its checksum. */
  static async open(netns: string, device: string, { mac, offloads = true }: { mac: string; offloads?: boolean }): Promise<Card> {
    const flags = `${offloads ? EVERY_OFFLOAD : 0}`
    const child = spawn(compiled('tapcard'), [netns, device, flags], { stdio: ['pipe', 'pipe', 'inherit'] })
    const card = new Card(child, mac)
    child.stdout.on('data', (bytes: Buffer) => card.take(bytes))
    const ready = await Promise.race([once(child.stdout, 'data').then(() => true), once(child, 'exit').then(() => false)])
    if (!ready) throw new Error(`tapcard ended: no tap ${device} in ${netns}`)
    return card
  }

  /** With its checksum left to the kernel; `train`: to be cut so that each packet has so many bytes of payload. */
  send(frame: Frame, train = 0): void {
    const message = unfinished(frame.bytes(), train)
    const length = Buffer.alloc(4)
    length.writeUInt32LE(message.length)
    this.process.stdin!.write(Buffer.concat([length, message]))
  }

  /** What has come for this machine until `enough` of it has. Throws when it does not come, or a checksum is wrong. */
  async received(enough: (packets: Received[]) => boolean): Promise<Received[]> {
    for (let waited = 0; !enough(this.packets); waited += STEP_MS) {
      if (waited > LIMIT_MS) throw new Error(`received only ${JSON.stringify(this.packets.map(({ size, eth }) => ({ ...eth, size })))}`)
      await sleep(STEP_MS)
    }
    return this.packets.splice(0)
  }

  close(): void {
    this.process.kill('SIGKILL')
  }

  private take(bytes: Buffer): void {
    this.rest = Buffer.concat([this.rest, bytes])
    for (let length = 0; this.rest.length >= 4; this.rest = this.rest.subarray(4 + length)) {
      length = this.rest.readUInt32LE(0)
      if (this.rest.length < 4 + length) return
      if (length > 0) this.receive(this.rest.subarray(4, 4 + length))
    }
  }

  private receive(message: Buffer): void {
    const frame = Buffer.from(message.subarray(VNET_HEADER))
    if (message[0]! & NEEDS_CSUM) {
      const [start, offset] = [message.readUInt16LE(6), message.readUInt16LE(8)]
      frame.writeUInt16BE(internetChecksum(frame.subarray(start)), start + offset)
    }
    const parsed = parse(frame)
    if (parsed.eth.dst !== this.mac) return
    this.packets.push({ ...parsed, gso_size: message[1] ? message.readUInt16LE(4) : 0, size: frame.length - (parsed.vlan ? 18 : 14) })
  }
}

/** struct virtio_net_hdr and the frame, with the sum of the pseudo header where the checksum is to be. */
function unfinished(bytes: Buffer, train: number): Buffer {
  const l3 = bytes.readUInt16BE(12) === TAGGED ? 18 : 14
  const ip = bytes.subarray(l3)
  const ipv4 = bytes.readUInt16BE(l3 - 2) === IPV4
  const protocol = ip[ipv4 ? 9 : 6]!
  const header = Buffer.alloc(VNET_HEADER)
  if (protocol !== TCP && protocol !== UDP) return Buffer.concat([header, bytes])
  const start = l3 + (ipv4 ? 20 : 40)
  const [offset, length] = protocol === TCP ? [16, (bytes[start + 12]! >> 4) * 4] : [6, 8]
  const addresses = ipv4 ? [ip.subarray(12, 16), ip.subarray(16, 20)] : [ip.subarray(8, 24), ip.subarray(24, 40)]
  const pseudo = pseudoHeader(addresses[0]!, addresses[1]!, protocol, bytes.length - start)
  bytes.writeUInt16BE(~internetChecksum(pseudo) & 0xffff, start + offset)
  header[0] = NEEDS_CSUM
  header[1] = train === 0 ? 0 : protocol === UDP ? GSO_TYPES.udp : ipv4 ? GSO_TYPES.tcp4 : GSO_TYPES.tcp6
  header.writeUInt16LE(start + length, 2)
  header.writeUInt16LE(train, 4)
  header.writeUInt16LE(start, 6)
  header.writeUInt16LE(offset, 8)
  return Buffer.concat([header, bytes])
}
