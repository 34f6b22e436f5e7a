// SPDX-License-Identifier: Apache-2.0
// The example content-filter: what clients send decides whether it arrives, is copied, or takes another way.

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type KernelState, kernelState, whatIsLeft } from '../lab/kernel'
import { Lab } from '../lab/lab'
import type { Namespace } from '../lab/namespace'
import type { RunningProgram } from '../lab/process'
import { Terraform } from '../lab/terraform'
import { ping, serveHttp } from '../lab/traffic'

const SHOP = ['10.0.2.11', 'fd00:2::11'] as const

let lab: Lab
let desk: Namespace
let shop: Namespace
let sensor: Namespace
let terraform: Terraform
let before: KernelState

beforeAll(async () => {
  lab = await Lab.up({ hosts: 1 })
  const edge = lab.host('edge-1')
  desk = edge.workload('desk')
  shop = edge.workload('shop')
  sensor = edge.workload('sensor')
  before = await kernelState(lab)
  terraform = Terraform.ofExample('content-filter', lab)
  await terraform.init()
  await terraform.apply()
})

afterAll(() => lab?.down())

/** What a web server answers, or nothing after two seconds. */
async function fetched(address: string, path: string, ...more: string[]): Promise<string | undefined> {
  const url = `http://${address.includes(':') ? `[${address}]` : address}${path}`
  const { code, stdout } = await desk.attempt(['curl', '--silent', '--globoff', '--noproxy', '*', '--max-time', '2', ...more, url])
  return code === 0 ? stdout : undefined
}

/** Answers every query with one address, and tells what it is asked and what else it gets. */
const RESOLVER = `
  const socket = require('node:dgram').createSocket('udp6')
  socket.on('message', (message, { address, port }) => {
    const answer = Buffer.from(message)
    answer.writeUInt16BE(0x8180, 2)
    answer.writeUInt16BE(1, 6)
    socket.send(Buffer.concat([answer, Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 80])]), port, address)
  })
  socket.bind(53, '::', () => console.log('listening'))`

const ASK = `
  const [server, name] = process.argv.slice(1)
  const resolver = new (require('node:dns').promises.Resolver)({ timeout: 700, tries: 2 })
  resolver.setServers([server])
  resolver.resolve4(name).then(([address]) => console.log(address), () => console.log('no answer'))`

const ask = async (server: string, name: string) => (await desk.run(['node', '-e', ASK, server, name])).trim()

const SEND = `
  const [address, port, hex] = process.argv.slice(1)
  const socket = require('node:dgram').createSocket(address.includes(':') ? 'udp6' : 'udp4')
  socket.send(Buffer.from(hex, 'hex'), Number(port), address, () => socket.close())`

/** Prints packets as text. Its first line stands for being ready. */
async function listen(on: Namespace, filter: string): Promise<RunningProgram> {
  const program = on.start(['sh', '-c', `exec tcpdump -i any -n -l -A -s 0 '${filter}' 2>&1`])
  await program.says('listening on')
  return program
}

describe('the example content-filter', () => {
  test('lets through what holds nothing forbidden', async () => {
    const server = await serveHttp(shop, 80, 'goods')
    for (const address of SHOP) {
      expect(await ping(desk, address, 3)).toBe(true)
      expect(await fetched(address, '/')).toBe('goods')
      expect(await fetched(address, '/index?of=/secret/plan')).toBe('goods')
    }
    await server.stop()
  })

  test('lets no request for a secret page arrive', async () => {
    const server = await serveHttp(shop, 80, 'goods')
    for (const address of SHOP) expect(await fetched(address, '/secret/plan')).toBeUndefined()
    expect(await fetched(SHOP[0], '/')).toBe('goods')
    await server.stop()
  })

  test('lets nobody ask for a forbidden name, or for one below it', async () => {
    const resolver = shop.start(['node', '-e', RESOLVER])
    await resolver.says('listening')
    for (const server of [SHOP[0], `[${SHOP[1]}]`]) {
      expect(await ask(server, 'shop.example')).toBe('192.0.2.80')
      expect(await ask(server, 'www.Lookalike-Bank.example')).toBe('no answer')
      expect(await ask(server, 'not-lookalike-bank.example')).toBe('192.0.2.80')
    }
    await resolver.stop()
  })

  test('forbids another name after an apply in place', async () => {
    const resolver = shop.start(['node', '-e', RESOLVER])
    await resolver.says('listening')
    expect(await terraform.apply(['-var', 'forbidden_name=shop.example'])).toContain('0 added, 1 changed, 0 destroyed')
    expect(await ask(SHOP[0], 'shop.example')).toBe('no answer')
    expect(await ask(SHOP[0], 'lookalike-bank.example')).toBe('192.0.2.80')
    await terraform.apply()
    await resolver.stop()
  })

  test('sends a copy of what is confidential to the sensor, and the original on its way', async () => {
    const server = await serveHttp(shop, 80, 'goods')
    for (const address of SHOP) {
      const seen = await listen(sensor, 'dst port 80')
      expect(await fetched(address, '/', '--data', 'This is STRICTLY Confidential.')).toBe('goods')
      await seen.says('STRICTLY Confidential')
      await seen.stop('SIGINT')
    }
    await server.stop()
  })

  test('leads a beacon to the sensor, and not to where it was sent', async () => {
    for (const address of SHOP) {
      const [seen, missed] = [await listen(sensor, 'udp port 9999'), await listen(shop, 'udp port 9999')]
      await desk.run([
        'node',
        '-e',
        SEND,
        address,
        '9999',
        `${Buffer.from('abcd').toString('hex')}deadbeef${Buffer.from('beacon').toString('hex')}`
      ])
      await desk.run(['node', '-e', SEND, address, '9999', Buffer.from('harmless').toString('hex')])
      await missed.says('harmless')
      await seen.says('beacon')
      expect((await seen.stop('SIGINT')).stdout).not.toContain('harmless')
      expect((await missed.stop('SIGINT')).stdout).not.toContain('beacon')
    }
  })

  test('is followed by an empty plan, and leaves nothing in the kernel once destroyed', async () => {
    expect(await terraform.plan()).toMatchObject({ empty: true })
    await terraform.destroy()
    expect(await whatIsLeft(lab, before)).toEqual([])
  })
})
