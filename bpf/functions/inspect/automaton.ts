// SPDX-License-Identifier: Apache-2.0
// Many words looked for at once: A. V. Aho, M. J. Corasick, "Efficient string matching" (CACM 18(6), 1975), with all transitions worked out.

/** A word of one byte or more, and the number by which it is known. Several numbers may stand for the same bytes. */
export interface Word {
  bytes: Uint8Array
  number: number
}

/** Its states are numbered from 0, where the search begins: those behind fewer bytes first. */
export interface Automaton {
  /** For each state, 256 numbers: the state behind each byte. */
  readonly next: Uint16Array
  /** For each state, the word that ends there; undefined: none. Others are found by `chained`. */
  readonly match: (number | undefined)[]
  /** How many states stand for one byte. */
  readonly firstBytes: number
  /** The next of the words that end in the same place, by the number of the one before it. */
  readonly chained: Map<number, number>
}

/** How many states the words make. */
export function stateCount(words: Word[]): number {
  return words.length === 0 ? 0 : countStates(inOrder(words))
}

/** `foldCase`: capital letters of what is searched are taken for small ones, of which the words consist. */
export function buildAutomaton(words: Word[], foldCase: boolean): Automaton {
  const draft = new Draft(inOrder(words), foldCase)
  const longest = Math.max(0, ...words.map(({ bytes }) => bytes.length))
  for (let position = 0; position < longest; position++) draft.read(position)
  return draft
}

/** One of all words in their order: those that begin alike stand together. */
interface Reading extends Word {
  /** How many bytes the word has in common with the one before it. */
  common: number
  /** The state behind the bytes that have been read so far. */
  state: number
}

function inOrder(words: Word[]): Reading[] {
  const sorted = words.toSorted((a, b) => Buffer.compare(a.bytes, b.bytes))
  return sorted.map((word, n) => ({ ...word, common: n === 0 ? 0 : commonLength(sorted[n - 1]!.bytes, word.bytes), state: 0 }))
}

function commonLength(a: Uint8Array, b: Uint8Array): number {
  let length = 0
  while (length < a.length && length < b.length && a[length] === b[length]) length++
  return length
}

function countStates(readings: Reading[]): number {
  return readings.reduce((count, { bytes, common }) => count + bytes.length - common, 1)
}

/** An automaton that grows as all its words are read at once, byte by byte: a state falls back to one behind fewer bytes, which is finished before it. */
class Draft implements Automaton {
  readonly next: Uint16Array
  readonly match: Automaton['match'] = [undefined]
  readonly chained = new Map<number, number>()
  firstBytes = 0
  /** For each state, that behind the longest end of its bytes with which a word begins. */
  private readonly fallbacks = [0]

  constructor(
    private readonly readings: Reading[],
    private readonly foldCase: boolean
  ) {
    this.next = new Uint16Array(256 * countStates(readings))
  }

  read(position: number): void {
    const first = this.fallbacks.length
    for (const [n, reading] of this.readings.entries())
      if (position < reading.common) reading.state = this.readings[n - 1]!.state
      else if (position < reading.bytes.length) reading.state = this.addState(reading.state, reading.bytes[position]!)
    if (position === 0) this.firstBytes = this.fallbacks.length - 1
    for (let state = first; state < this.fallbacks.length; state++) this.goOnAsFallback(state)
    for (const { bytes, number, state } of this.readings) if (bytes.length === position + 1) this.addMatch(state, number)
  }

  /** The state behind one more byte than `before`. */
  private addState(before: number, byte: number): number {
    const state = this.fallbacks.length
    this.fallbacks.push(before === 0 ? 0 : this.next[256 * this.fallbacks[before]! + byte]!)
    this.next[256 * before + byte] = state
    if (this.foldCase) this.next[256 * before + upperCase(byte)] = state
    return state
  }

  /** Until words are found to go on from there. */
  private goOnAsFallback(state: number): void {
    const fallback = this.fallbacks[state]!
    this.next.copyWithin(256 * state, 256 * fallback, 256 * (fallback + 1))
    this.match[state] = this.match[fallback]
  }

  private addMatch(state: number, number: number): void {
    const other = this.match[state]
    if (other !== undefined) this.chained.set(number, other)
    this.match[state] = number
  }
}

export function lowerCase(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte
}

function upperCase(byte: number): number {
  return byte >= 0x61 && byte <= 0x7a ? byte - 0x20 : byte
}
