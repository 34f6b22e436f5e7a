// SPDX-License-Identifier: Apache-2.0
// A network grows onto another host and shrinks back, is renumbered, and a workload moves between hosts.

import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type KernelState, kernelState, whatIsLeft } from '../lab/kernel'
import { Lab } from '../lab/lab'
import { Terraform } from '../lab/terraform'
import { ping, SteadyPing } from '../lab/traffic'

const ALICE = { v4: '10.0.0.11', v6: 'fd00::11' }
const BOB = { v4: '10.0.0.12', v6: 'fd00::12' }
const CAROL = '10.0.0.13'
const RENUMBERED = { ALICE: '10.0.7.11', BOB: '10.0.7.12', CAROL: '10.0.7.13' }
const CAROL_ON_EDGE_2 = `
resource "inkev_port" "carol" {
  name         = "carol"
  network      = inkev_network.home.name
  host         = "edge-2"
  netns        = "carol"
  create_netns = true
  ip_addresses = ["${CAROL}"]
}
`

let lab: Lab
let terraform: Terraform
let before: KernelState

beforeAll(async () => {
  lab = await Lab.up({ hosts: 2 })
  before = await kernelState(lab)
  terraform = Terraform.ofExample('quickstart', lab)
  await terraform.init()
  await terraform.apply()
})

afterAll(() => lab?.down())

const onEdge1 = (name: string) => lab.host('edge-1').workload(name)
const onEdge2 = (name: string) => lab.host('edge-2').workload(name)

/** What is degraded on either host. */
async function degraded(): Promise<unknown[]> {
  const lists = ['edge-1', 'edge-2'].flatMap(host =>
    ['networks', 'endpoints', 'ports'].map(async type => (await lab.host(host).request('GET', `/v1/${type}`)).body.items)
  )
  return (await Promise.all(lists)).flat().filter(({ status }) => status.state === 'degraded')
}

describe('a network', () => {
  test('grows onto another host in place, and what was there is not disturbed', async () => {
    const steady = await SteadyPing.start(onEdge1('alice'), BOB.v4)
    terraform.edit('hosts = ["edge-1"]', 'hosts = ["edge-1", "edge-2"]')
    terraform.edit('resource "inkev_port" "alice"', `${CAROL_ON_EDGE_2}\nresource "inkev_port" "alice"`)
    await terraform.apply()
    expect((await steady.stop()).lost).toBe(0)
    for (const address of [ALICE.v4, BOB.v4]) expect(await ping(onEdge2('carol'), address)).toBe(true)
    expect(await terraform.plan()).toMatchObject({ empty: true })
  })

  test('is renumbered together with its ports by one apply, which refuses to leave one behind', async () => {
    terraform.edit('"10.0.0.0/24"', '"10.0.7.0/24"')
    terraform.edit(`"${ALICE.v4}"`, `"${RENUMBERED.ALICE}"`)
    terraform.edit(`"${CAROL}"`, `"${RENUMBERED.CAROL}"`)
    const { code, stderr } = await terraform.attempt(['plan'])
    expect(code).toBe(1)
    expect(stderr).toMatch(/in resource "inkev_port" "bob"[\s\S]*ip_addresses[\s\S]*10\.0\.0\.12 lies outside 10\.0\.7\.0\/24/)
    terraform.edit(`"${BOB.v4}"`, `"${RENUMBERED.BOB}"`)
    await terraform.apply()
    for (const address of [RENUMBERED.BOB, RENUMBERED.CAROL, BOB.v6]) expect(await ping(onEdge1('alice'), address, 3)).toBe(true)
    expect(await ping(onEdge2('carol'), RENUMBERED.ALICE, 3)).toBe(true)
    expect(await terraform.plan()).toMatchObject({ empty: true })
    expect(await degraded()).toEqual([])
  })

  test('finds a workload where it has moved to', async () => {
    expect(await ping(onEdge1('alice'), RENUMBERED.BOB)).toBe(true)
    terraform.edit('host         = "edge-1"\n  netns        = "bob"', 'host         = "edge-2"\n  netns        = "bob"')
    await terraform.apply()
    expect(await lab.host('edge-1').workloads()).not.toContain('bob')
    for (const address of [RENUMBERED.BOB, BOB.v6]) expect(await ping(onEdge1('alice'), address, 3)).toBe(true)
    for (const address of [RENUMBERED.ALICE, ALICE.v6, RENUMBERED.CAROL]) expect(await ping(onEdge2('bob'), address, 3)).toBe(true)
    expect(await terraform.plan()).toMatchObject({ empty: true })
  })

  test('shrinks back, and the host that it left holds nothing of it', async () => {
    terraform.edit('host         = "edge-2"\n  netns        = "bob"', 'host         = "edge-1"\n  netns        = "bob"')
    terraform.edit(CAROL_ON_EDGE_2.replace(CAROL, RENUMBERED.CAROL), '')
    terraform.edit('hosts = ["edge-1", "edge-2"]', 'hosts = ["edge-1"]')
    await terraform.apply()
    expect(await ping(onEdge1('alice'), RENUMBERED.BOB, 3)).toBe(true)
    for (const resource of ['networks', 'peers', 'endpoints', 'ports']) {
      expect((await lab.host('edge-2').request('GET', `/v1/${resource}`)).body.items).toEqual([])
    }
  })

  test('grows and is renumbered at once', async () => {
    terraform.edit('"10.0.7.0/24"', '"10.0.0.0/24"')
    terraform.edit(`"${RENUMBERED.ALICE}"`, `"${ALICE.v4}"`)
    terraform.edit(`"${RENUMBERED.BOB}"`, `"${BOB.v4}"`)
    terraform.edit('hosts = ["edge-1"]', 'hosts = ["edge-1", "edge-2"]')
    terraform.edit('resource "inkev_port" "alice"', `${CAROL_ON_EDGE_2}\nresource "inkev_port" "alice"`)
    await terraform.apply()
    for (const address of [ALICE.v4, BOB.v4]) expect(await ping(onEdge2('carol'), address, 3)).toBe(true)
    expect(await degraded()).toEqual([])
  })

  test('leaves nothing behind', async () => {
    await terraform.destroy()
    expect(await whatIsLeft(lab, before)).toEqual([])
  })
})
