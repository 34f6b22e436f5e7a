// SPDX-License-Identifier: Apache-2.0
// `npm run demo [-- --keep]`: from `terraform apply` to packets between two hosts, a rule change under load, and back to nothing.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type KernelState, kernelState, whatIsLeft } from '../lab/kernel'
import { Lab } from '../lab/lab'
import type { Namespace } from '../lab/namespace'
import { Terraform } from '../lab/terraform'
import { fetchHttp, ping, SteadyPing, serveHttp, throughput } from '../lab/traffic'
import { drawTopology } from './drawing'
import { chapter, check, tell, terraformTold } from './story'

const LAB = 'lab'
const EXAMPLE = 'two-hosts'

interface Workload {
  host: string
  v4: string
  v6: string
}

/** The workloads that the example describes. */
const WORKLOADS = {
  web1: { host: 'edge-1', v4: '10.0.1.11', v6: 'fd00:1::11' },
  web2: { host: 'edge-1', v4: '10.0.1.12', v6: 'fd00:1::12' },
  web3: { host: 'edge-2', v4: '10.0.1.13', v6: 'fd00:1::13' },
  db1: { host: 'edge-1', v4: '10.0.2.11', v6: 'fd00:2::11' },
  db2: { host: 'edge-2', v4: '10.0.2.12', v6: 'fd00:2::12' }
} satisfies Record<string, Workload>

/** From web1 to each. */
const WAYS: Array<[to: keyof typeof WORKLOADS, way: string]> = [
  ['web2', 'one network, one host'],
  ['web3', 'one network, across hosts'],
  ['db1', 'between the networks, one host'],
  ['db2', 'between the networks, across hosts']
]

/** The example's variable `db_port`: its default, and what the demo changes it to. */
const DB_PORT = 5432
const NEW_DB_PORT = 5433

async function main(): Promise<void> {
  const { keep } = parseArgs({ options: { keep: { type: 'boolean', default: false } } }).values
  const lab = await bringUp()
  const interrupted = () => void lab.down().finally(() => process.exit(130))
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted)
  try {
    const before = await kernelState(lab)
    const terraform = Terraform.ofExample(EXAMPLE, lab)
    await apply(terraform)
    await showTopology(lab)
    await showTraffic(lab)
    await changeRule(lab, terraform)
    if (keep) return leaveUp(lab, terraform)
    await destroy(lab, terraform, before)
  } catch (error) {
    for (const host of lab.hosts) console.error(`\nThe last words of the agent of ${host.name}:\n${host.logTail(10)}`)
    throw error
  } finally {
    if (!lab.isKept) await lab.down()
  }
}

async function bringUp(): Promise<Lab> {
  chapter('A lab of two hosts: a network namespace, a bpffs and an agent each, joined by an underlay')
  for (const name of await Lab.sweep()) tell(`removed the lab ${name}, which a run that died had left`)
  const present = Lab.find(LAB)
  if (present?.isKept) throw new Error('A lab is up: take it down first with `npm run lab -- down`.')
  if (present) throw new Error('Another demo is running: wait for it to end.')
  const lab = await Lab.up({ name: LAB, hosts: 2 })
  for (const host of lab.hosts) tell(`${host.name}: namespace ${host.netns}, underlay ${host.vtep}, agent ${host.endpoint}`)
  return lab
}

async function apply(terraform: Terraform): Promise<void> {
  chapter(`terraform init, plan, apply: examples/terraform/${EXAMPLE}`)
  await terraform.init(terraformTold)
  await terraform.plan(['-out=plan'], terraformTold)
  await terraform.run(['apply', 'plan'], terraformTold)
  const { empty } = await terraform.plan()
  check('a second plan is empty', empty)
}

async function showTopology(lab: Lab): Promise<void> {
  chapter('The graph that each kernel runs')
  for (const host of lab.hosts) {
    const { body } = await host.request('GET', '/v1/topology?format=json')
    console.log(drawTopology(host.name, body))
  }
}

async function showTraffic(lab: Lab): Promise<void> {
  chapter('Traffic from the workload web1')
  const web1 = place(lab, 'web1')
  for (const [to, way] of WAYS) {
    const { v4, v6 } = WORKLOADS[to]
    check(`ping ${to} (${way}): IPv4 ${v4}, IPv6 ${v6}`, (await ping(web1, v4)) && (await ping(web1, v6)))
  }
  for (const [to, way] of WAYS) {
    const server = await serveHttp(place(lab, to), DB_PORT, `hello from ${to}`)
    const { v4, v6 } = WORKLOADS[to]
    const answers = [await fetchHttp(web1, v4, DB_PORT), await fetchHttp(web1, v6, DB_PORT)]
    check(
      `HTTP from ${to} (${way}): ${answers.join(', ')}`,
      answers.every(answer => answer === `hello from ${to}`)
    )
    await server.stop()
  }
  const server = await serveHttp(place(lab, 'db2'), NEW_DB_PORT, 'hello')
  const answer = await fetchHttp(web1, WORKLOADS.db2.v4, NEW_DB_PORT)
  check(`HTTP from db2 on port ${NEW_DB_PORT}, which the firewall forbids: ${answer}`, answer === 'refused')
  await server.stop()
  for (const to of ['web2', 'web3'] as const) {
    const gigabits = await throughput(web1, place(lab, to), WORKLOADS[to].v4)
    check(`iperf3 to ${to}: ${gigabits.toFixed(1)} Gb/s`, gigabits > 0)
  }
}

async function changeRule(lab: Lab, terraform: Terraform): Promise<void> {
  chapter(`A change of one rule while a ping runs: db_port = ${NEW_DB_PORT}, terraform apply`)
  const web1 = place(lab, 'web1')
  const server = await serveHttp(place(lab, 'db2'), NEW_DB_PORT, 'hello from db2')
  const steady = await SteadyPing.start(web1, WORKLOADS.db2.v4)
  writeFileSync(join(terraform.folder, 'terraform.tfvars'), `db_port = ${NEW_DB_PORT}\n`)
  await terraform.apply([], terraformTold)
  const answer = await fetchHttp(web1, WORKLOADS.db2.v4, NEW_DB_PORT)
  const { sent, lost } = await steady.stop()
  await server.stop()
  check(`HTTP from db2 on port ${NEW_DB_PORT}, now allowed: ${answer}`, answer === 'hello from db2')
  check(`ping meanwhile: ${sent} sent, ${lost} lost`, lost === 0)
}

async function destroy(lab: Lab, terraform: Terraform, before: KernelState): Promise<void> {
  chapter('terraform destroy')
  await terraform.destroy([], terraformTold)
  const left = await whatIsLeft(lab, before)
  check(`left in the kernel: ${left.length === 0 ? 'nothing' : `\n  ${left.join('\n  ')}`}`, left.length === 0)
}

function leaveUp(lab: Lab, terraform: Terraform): void {
  lab.keep()
  chapter('Left up, to play with')
  console.log(`
  a ping between workloads      npm run lab -- shell edge-1 ip netns exec web1 ping ${WORKLOADS.db2.v4}
  a shell on a host             npm run lab -- shell edge-1
  another rule, another plan    cd ${terraform.folder}
                                eval "$(npm run --silent --prefix ${process.cwd()} lab -- env)"
                                edit what you like, then terraform apply
  take it all down              npm run lab -- down
`)
}

function place(lab: Lab, name: keyof typeof WORKLOADS): Namespace {
  return lab.host(WORKLOADS[name].host).workload(name)
}

main().catch(error => {
  console.error(`\n${error.message}`)
  process.exitCode = 1
})
