// SPDX-License-Identifier: Apache-2.0
// What the tests of the addon share: programs compiled on the spot, bytes, names of their own, and the error of a call.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { NativeError } from './types'

let names = 0
/** A name that no other test run has: at most 13 characters, so that it fits an interface with two more. */
export const uniqueName = (): string => `t${process.pid.toString(36)}x${(names++).toString(36)}`

export const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

export const u64 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}

/** An Ethernet frame of zeros. */
export const frame = (length = 64): Buffer => Buffer.alloc(length)

/** Runs `use` with a directory that is removed afterwards. */
export async function withDirectory<T>(use: (directory: string) => T | Promise<T>): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), 'inkev-native-'))
  try {
    return await use(directory)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** The ELF of a C source for BPF; libbpf's headers and the licence need no mention in it. */
export function compile(source: string): Buffer {
  const machine = execFileSync('uname', ['-m'], { encoding: 'utf8' }).trim()
  const whole = `#include <linux/bpf.h>\n#include <bpf/bpf_helpers.h>\n${source}\nchar _license[] SEC("license") = "GPL";\n`
  const options = ['-O2', '-g', '-target', 'bpf', '-mcpu=v3', `-I/usr/include/${machine}-linux-gnu`]
  return execFileSync('clang-19', [...options, '-x', 'c', '-c', '-', '-o', '-'], { input: whole })
}

/** The error that a call throws. */
export function errorOf(call: () => unknown): NativeError {
  try {
    call()
  } catch (error) {
    return error as NativeError
  }
  throw new Error('the call should have failed')
}

/** The error that a promise is rejected with. */
export const rejectionOf = (promise: Promise<unknown>): Promise<NativeError> =>
  promise.then(
    () => {
      throw new Error('the call should have failed')
    },
    error => error as NativeError
  )

/** Waits until `holds`, 5 s at most. */
export async function until(holds: () => boolean): Promise<void> {
  for (let waited = 0; !holds(); waited += 10) {
    if (waited > 5000) throw new Error(`still not so after 5 s: ${holds}`)
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}
