// SPDX-License-Identifier: Apache-2.0
// What a bridge must do, in the plainest words: who has been declared, who has been heard where, and who is to get a copy. Written from the README.

/** Where a frame enters the network, and where a station is. */
export interface Place {
  at: 'workload' | 'peer' | 'port'
  number: number
}

export interface ModelConfig {
  learning: boolean
  suppression: boolean
  /** Where declared addresses are, and the IP addresses that they have. */
  stations: { mac: string; addresses: string[]; place: Place }[]
  /** Who gets what is for all. */
  copies: Place[]
}

export interface Sent {
  src: string
  dst: string
  /** The frame asks who has this address; or it announces it, or no station may believe it. */
  asks?: { target: string; isQuestion: boolean }
}

/** What becomes of a frame, and the counters that move. */
export type Fate =
  | { goes: Place; counted: string[] }
  | { goes: 'to all'; copies: number; counted: string[] }
  | { goes: 'nowhere'; counted: string[] }
  | { goes: Place; answers: { mac: string; isRouter: boolean }; counted: string[] }

/** Seconds. */
export const AGING = 1250

const same = (a: Place, b: Place) => a.at === b.at && a.number === b.number
const isGroup = (mac: string) => Number.parseInt(mac.slice(0, 2), 16) % 2 === 1

export class BridgeModel {
  private now = 0
  private readonly learned = new Map<string, { place: Place; heard: number }>()

  /** `own`: the addresses of the workload ports themselves. */
  constructor(
    private config: ModelConfig,
    private readonly own: Record<number, string>
  ) {}

  configure(config: ModelConfig): void {
    this.config = config
  }

  wait(seconds: number): void {
    this.now += seconds
  }

  flush(): void {
    this.learned.clear()
  }

  fateOf(from: Place, frame: Sent): Fate {
    if (isGroup(frame.src)) return { goes: 'nowhere', counted: ['bad_source'] }
    const counted = this.hear(from, frame.src) ? ['moved'] : []
    const fate = this.bring(from, frame)
    return { ...fate, counted: [...fate.counted, ...counted].sort() }
  }

  /** Whether an address has moved. */
  private hear(from: Place, mac: string): boolean {
    const isOwn = from.at === 'workload' && this.own[from.number] === mac
    if (!this.config.learning || isOwn || this.declared(mac)) return false
    const known = this.learned.get(mac)
    this.learned.set(mac, { place: from, heard: this.now })
    return known !== undefined && !same(known.place, from)
  }

  private bring(from: Place, { src, dst, asks }: Sent): Fate {
    if (/^01:80:c2:00:00:0.$/.test(dst)) return { goes: 'nowhere', counted: ['reserved'] }
    const owner = asks && this.config.stations.find(({ addresses }) => addresses.includes(asks.target))
    if (isGroup(dst) && this.config.suppression && asks?.isQuestion && owner && owner.mac !== src)
      return {
        goes: from,
        answers: { mac: owner.mac, isRouter: asks.target.includes(':') && owner.place.at === 'port' },
        counted: ['suppressed']
      }
    const to = isGroup(dst) ? undefined : this.find(dst)
    if (!to) return { goes: 'to all', copies: this.config.copies.filter(copy => !isFiltered(from, copy)).length, counted: ['flooded'] }
    return isFiltered(from, to) ? { goes: 'nowhere', counted: ['filtered'] } : { goes: to, counted: [] }
  }

  private declared(mac: string): Place | undefined {
    return this.config.stations.find(station => station.mac === mac)?.place
  }

  private find(mac: string): Place | undefined {
    const declared = this.declared(mac)
    if (declared || !this.config.learning) return declared
    const known = this.learned.get(mac)
    if (known && this.now - known.heard <= AGING) return known.place
    this.learned.delete(mac)
    return undefined
  }
}

/** It would go back where it came from; or from one host to the next, which has had its own. */
function isFiltered(from: Place, to: Place): boolean {
  return same(from, to) || (from.at === 'peer' && to.at === 'peer')
}
