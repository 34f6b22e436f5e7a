// SPDX-License-Identifier: Apache-2.0
// Writes an instance's number into the code of a compiled function, as its loader must.

import { readElf } from '../catalogue/elf'

/** INSTANCE_MARK of graph.h. */
export const INSTANCE_MARK = 0x6b656e69

const INSTRUCTION_SIZE = 8
/** BPF_ALU | BPF_MOV | BPF_K and its 64-bit form: register = immediate. */
const MOVES = [0xb4, 0xb7]

/** A copy of an object whose functions know themselves as `number`. */
export function numbered(elf: Uint8Array, number: number): Buffer {
  const copy = Buffer.from(elf)
  for (const code of readElf(copy).code) {
    for (let at = 0; at < code.length; at += INSTRUCTION_SIZE) if (isMark(code, at)) code.writeUInt32LE(number, at + 4)
  }
  return copy
}

function isMark(code: Buffer, at: number): boolean {
  return MOVES.includes(code[at]!) && code.readUInt32LE(at + 4) === INSTANCE_MARK
}
