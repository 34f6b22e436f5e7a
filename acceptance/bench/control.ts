// SPDX-License-Identifier: Apache-2.0
// Measures what an operator waits for: a function created, a stitch moved under load, a configuration of many ports applied and refreshed.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Host } from '../lab/host'
import type { Lab } from '../lab/lab'
import { run } from '../lab/process'
import { PROJECT } from '../lab/project'
import { Terraform, terraformEnvironment } from '../lab/terraform'
import { SteadyPing } from '../lab/traffic'
import { median } from './median'
import { FIREWALL, put } from './own'

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await work()
  return (performance.now() - start) / 1000
}

async function remove(host: Host, ...paths: string[]): Promise<void> {
  for (const path of paths) {
    const { status, body } = await host.request('DELETE', `/v1/${path}`)
    if (status !== 204) throw new Error(`DELETE ${path} on ${host.name} was refused (${status}): ${JSON.stringify(body)}`)
  }
}

/** Median milliseconds of the request that creates a firewall which the network `web` already waits for, so that it is loaded at once. */
export async function functionCreateMs(host: Host, times: number): Promise<number> {
  const taken: number[] = []
  for (let n = 0; n < times; n++) {
    const [stitch, created] = [`stitches/bench-${n}`, `functions/bench-${n}`]
    await put(host, stitch, { a: { function: `bench-${n}`, port: 'outside' }, b: { network: 'web' } })
    taken.push(1000 * (await seconds(() => put(host, created, { firewall: FIREWALL }))))
    await remove(host, stitch, created)
  }
  return median(taken)
}

/**
 * Moves the router's stitch between the network and a firewall before it, `times` times, under a ping that passes it. Answers the
 * requests' median and how many packets of how many were lost.
 */
export async function restitch(lab: Lab, times: number): Promise<{ requestMs: number; lost: number; packets: number }> {
  const host = lab.hosts[0]!
  const move = (b: object) => put(host, 'stitches/gateway-web', { a: { function: 'gateway', port: 'web' }, b })
  await put(host, 'functions/inspector', { firewall: { ...FIREWALL, default_egress: 'allow' } })
  await put(host, 'stitches/inspector-web', { a: { function: 'inspector', port: 'inside' }, b: { network: 'web' } })
  const ping = await SteadyPing.start(host.workload('client'), '10.8.2.11')
  const taken: number[] = []
  for (let n = 0; n < times; n++) {
    const b = n % 2 ? { network: 'web' } : { function: 'inspector', port: 'outside' }
    taken.push(1000 * (await seconds(() => move(b))))
  }
  const { sent, lost } = await ping.stop()
  await move({ network: 'web' })
  await remove(host, 'stitches/inspector-web', 'functions/inspector')
  return { requestMs: median(taken), lost, packets: sent }
}

/** A tenant of `ports` workloads over the lab's hosts: a network for every hundred of them, a firewall for every ten. */
function configuration(lab: Lab, ports: number): string {
  const hosts = lab.hosts.map(({ name }) => name)
  return `
terraform {
  required_providers {
    inkev = { source = "inkev/inkev" }
  }
}
variable "hosts" {
  type = map(object({ endpoint = string }))
}
provider "inkev" {
  hosts = var.hosts
}
locals {
  hosts    = ${JSON.stringify(hosts)}
  ports    = ${ports}
  networks = ceil(local.ports / 100)
  rules    = ceil(local.ports / 10)
}
resource "inkev_network" "n" {
  count   = local.networks
  name    = "n\${count.index}"
  vni     = 1000 + count.index
  hosts   = local.hosts
  subnets = { v4 = { cidr = "10.\${100 + count.index}.0.0/24" } }
}
resource "inkev_function" "f" {
  count = local.rules
  name  = "f\${count.index}"
  firewall = {
    rules = { web = { priority = 10, direction = "ingress", protocol = "tcp", ports = "80" } }
  }
}
resource "inkev_port" "p" {
  count        = local.ports
  name         = "p\${count.index}"
  network      = inkev_network.n[floor(count.index / 100)].name
  host         = local.hosts[count.index % length(local.hosts)]
  netns        = "p\${count.index}"
  create_netns = true
  ip_addresses = ["10.\${100 + floor(count.index / 100)}.0.\${11 + count.index % 100}"]
  chain        = [inkev_function.f[floor(count.index / 10)].name]
}
resource "inkev_function" "gateway" {
  name = "gateway"
  router = {
    interfaces = { for i in range(local.networks) : "n\${i}" => { address = "10.\${100 + i}.0.1/24" } }
  }
}
resource "inkev_stitch" "gateway" {
  count = local.networks
  name  = "gateway-n\${count.index}"
  a     = { function = inkev_function.gateway.name, port = "n\${count.index}" }
  b     = { network = inkev_network.n[count.index].name }
}
`
}

/** Seconds of `apply` and of the plan after it; that plan must be empty. */
export async function terraformSeconds(lab: Lab, ports: number): Promise<{ apply: number; refresh: number }> {
  const folder = join(lab.folder, `bench-${ports}`)
  mkdirSync(folder)
  writeFileSync(join(folder, 'main.tf'), configuration(lab, ports))
  const terraform = new Terraform(folder, terraformEnvironment(lab))
  await terraform.init()
  const apply = await seconds(() => terraform.apply())
  let empty = false
  const refresh = await seconds(async () => {
    empty = (await terraform.plan()).empty
  })
  await terraform.destroy()
  if (!empty) throw new Error(`the plan after an apply of ${ports} ports is not empty`)
  return { apply, refresh }
}

/** Medians of what the provider's own test measures: milliseconds from its start to its schema, and to its core's first answer. */
export async function providerStartMs(times: number): Promise<{ schema: number; core: number }> {
  const command = ['go', 'test', '-v', '-run', '^TestStartTimes$', '-count', String(times), '.']
  const output = await run(command, { cwd: join(PROJECT, 'provider/shim'), limit: 120_000 })
  const found = [...output.matchAll(/start to schema (\d+)ms .*with core (\d+)ms/g)]
  if (found.length !== times) throw new Error(`the provider's test of its start did not tell its times:\n${output}`)
  return { schema: median(found.map(([, schema]) => Number(schema))), core: median(found.map(([, , core]) => Number(core))) }
}
