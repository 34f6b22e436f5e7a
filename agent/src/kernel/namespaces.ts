// SPDX-License-Identifier: Apache-2.0
// Network namespaces of workloads: those that inkev created go with their last port, others are left alone.

import { rmSync } from 'node:fs'
import type { Net } from '@inkev/native'
import { hasNetns, netnsPath } from './devices'

/** Names of the namespaces that inkev created, kept over restarts. */
export interface OwnedNamespaces {
  all(): Iterable<string>
  has(netns: string): boolean
  /** Outlives this process when it resolves. */
  add(netns: string): Promise<void>
  remove(netns: string): Promise<void>
}

export class Namespaces {
  constructor(
    private readonly net: Net,
    private readonly owned: OwnedNamespaces
  ) {}

  /** Of those that inkev created: whether they are there. */
  find(): Map<string, boolean> {
    return new Map([...this.owned.all()].map(name => [name, hasNetns(name)]))
  }

  /** Answers whether it is ours: one that is there already stays its maker's. The intention is written down first: nothing is left behind, whenever the agent dies, and what is half made is made anew. */
  async found(name: string): Promise<boolean> {
    if (hasNetns(name)) return this.owned.has(name)
    if (this.owned.has(name)) rmSync(netnsPath(name), { force: true })
    await this.owned.add(name)
    this.net.createNetns(name).close()
    return true
  }

  async dissolve(name: string): Promise<void> {
    if (hasNetns(name)) this.net.deleteNetns(name)
    else rmSync(netnsPath(name), { force: true })
    await this.owned.remove(name)
  }
}
