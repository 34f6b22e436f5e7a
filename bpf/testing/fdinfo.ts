// SPDX-License-Identifier: Apache-2.0
// What the kernel tells of maps and programs only beside the descriptors that a process holds of them (/proc/self/fdinfo).

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import type { BpfMap, Program } from '@inkev/native'

/** Bytes that the kernel has set aside for the map. */
export function memoryOf({ info: { id } }: BpfMap): number {
  return told('map_id', id, 'memlock')
}

/** Instructions that the verifier has walked to check the program. */
export function stepsOf({ info: { id } }: Program): number {
  return told('prog_id', id, 'verified_insns')
}

function told(subject: 'map_id' | 'prog_id', id: number, what: string): number {
  const descriptors = readdirSync('/proc/self/fdinfo').map(fd => `/proc/self/fdinfo/${fd}`)
  for (const path of descriptors.filter(existsSync)) {
    const said = readFileSync(path, 'utf8')
    const number = new RegExp(`^${what}:\\s*(\\d+)$`, 'm').exec(said)?.[1]
    if (number !== undefined && new RegExp(`^${subject}:\\s*${id}$`, 'm').test(said)) return Number(number)
  }
  throw new Error(`no descriptor of this process with ${subject} ${id} tells ${what}`)
}
