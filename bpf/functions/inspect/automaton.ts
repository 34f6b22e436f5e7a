// SPDX-License-Identifier: Apache-2.0
// Many words looked for at once: A. V. Aho, M. J. Corasick, "Efficient string matching" (CACM 18(6), 1975), with all transitions worked out.

/** A word, and the number by which it is known. Several numbers may stand for the same bytes. */
export interface Word {
  bytes: Uint8Array
  number: number
}

export interface State {
  /** The state behind each byte. */
  next: Uint16Array
  /** The word that ends here; undefined: none. Others are found by `chained`. */
  match?: number
}

export interface Automaton {
  /** The first is where the search begins. */
  states: State[]
  /** How many states follow the first that stand for one byte. */
  firstBytes: number
  /** The next of the words that end in the same place, by the number of the one before it. */
  chained: Map<number, number>
}

interface Node {
  children: Map<number, Node>
  words: number[]
  index: number
  /** Whose bytes are the longest end of this node's that begins a word. */
  fallback?: Node
  state: State
}

/** How many states the words make. */
export function stateCount(words: Word[]): number {
  return words.length === 0 ? 0 : nodesOf(words).length
}

/** `foldCase`: capital letters of what is searched are taken for small ones, of which the words consist. */
export function buildAutomaton(words: Word[], foldCase: boolean): Automaton {
  const nodes = nodesOf(words)
  const chained = new Map<number, number>()
  for (const node of nodes) {
    linkChildren(node, nodes[0]!)
    linkMatches(node, chained)
    linkNext(node, foldCase)
  }
  return { states: nodes.map(({ state }) => state), firstBytes: nodes[0]!.children.size, chained }
}

/** The trie of all words, nearest to the root first. */
function nodesOf(words: Word[]): Node[] {
  const root = newNode()
  for (const { bytes, number } of words) {
    let node = root
    for (const byte of bytes) {
      if (!node.children.has(byte)) node.children.set(byte, newNode())
      node = node.children.get(byte)!
    }
    node.words.push(number)
  }
  const nodes = [root]
  for (const node of nodes) nodes.push(...node.children.values())
  for (const [index, node] of nodes.entries()) node.index = index
  return nodes
}

function newNode(): Node {
  return { children: new Map(), words: [], index: 0, state: { next: new Uint16Array(256) } }
}

/** The fallback's own transitions are known: it is nearer to the root. */
function linkChildren(node: Node, root: Node): void {
  for (const [byte, child] of node.children) {
    let fallback = node.fallback
    while (fallback && !fallback.children.has(byte)) fallback = fallback.fallback
    child.fallback = fallback?.children.get(byte) ?? root
  }
}

function linkMatches({ words, fallback, state }: Node, chained: Map<number, number>): void {
  const all = fallback?.state.match === undefined ? words : [...words, fallback.state.match]
  state.match = all[0]
  for (const [n, word] of words.entries()) if (all[n + 1] !== undefined) chained.set(word, all[n + 1]!)
}

/** As after the fallback, but where the node itself goes on. */
function linkNext({ children, fallback, state: { next } }: Node, foldCase: boolean): void {
  if (fallback) next.set(fallback.state.next)
  for (const [byte, { index }] of children) {
    next[byte] = index
    if (foldCase) next[upperCase(byte)] = index
  }
}

export function lowerCase(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte
}

function upperCase(byte: number): number {
  return byte >= 0x61 && byte <= 0x7a ? byte - 0x20 : byte
}
