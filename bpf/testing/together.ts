// SPDX-License-Identifier: Apache-2.0
// Packets that run through one program on several CPUs at the same moment: threads, each pinned to a CPU of its own.

import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import type { Program, TestResult, TestRun } from '@inkev/native'

/** Runs its packets one by one; before each it waits, without sleeping, until all threads have come as far. */
const THREAD = `
  const { parentPort, workerData } = require('node:worker_threads')
  const { addon, id, cpu, threads, shared, runs } = workerData
  const program = require(addon).bpf.openProgramById(id)
  const [, tid] = /task\\/(\\d+)$/.exec(require('node:fs').readlinkSync('/proc/thread-self'))
  require('node:child_process').execFileSync('taskset', ['-p', '-c', String(cpu), tid])
  const come = new Int32Array(shared)
  parentPort.postMessage(runs.map((run, n) => {
    Atomics.add(come, 0, 1)
    while (Atomics.load(come, 0) < (n + 1) * threads);
    const { verdict, data, context, durationNs } = program.testRun(run)
    return { verdict, data, context, durationNs }
  }))
`

/** Of each thread its runs, as many as all others have; returns their results. */
export async function runTogether(program: Program, threads: TestRun[][]): Promise<TestResult[][]> {
  const shared = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)
  const common = { addon: require.resolve('@inkev/native/build/inkev.node'), id: program.info.id, threads: threads.length, shared }
  const workers = threads.map((runs, n) => {
    return new Worker(THREAD, { eval: true, workerData: { ...common, cpu: n % availableParallelism(), runs } })
  })
  try {
    return await Promise.all(workers.map(resultsOf))
  } finally {
    await Promise.all(workers.map(worker => worker.terminate()))
  }
}

/** Throws what the thread has thrown: the others wait for it until they are ended. */
async function resultsOf(worker: Worker): Promise<TestResult[]> {
  const [results] = (await once(worker, 'message')) as [TestResult[]]
  return results.map(result => ({ ...result, data: Buffer.from(result.data), context: Buffer.from(result.context) }))
}
