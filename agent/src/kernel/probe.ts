// SPDX-License-Identifier: Apache-2.0
// Whether this machine has what inkev needs, found out before anything is made, and told in sentences.

import { existsSync } from 'node:fs'
import type { Native } from '@inkev/native'
import { InkevError } from '../../api/errors'

/** What the kernel offers, by name. */
export type Features = Record<'bpf' | 'btf' | 'tcx', boolean>

const LOOPBACK = 1

/** Throws INKEV_ERR_UNSUPPORTED, INKEV_ERR_OPTION. */
export function probe(native: Native, bpffs: string): Features {
  if (!existsSync(bpffs) || !native.isBpffs(bpffs))
    throw new InkevError('INKEV_ERR_OPTION', `--bpffs ${bpffs} is no BPF file system`, undefined, `Mount one: mount -t bpf bpf ${bpffs}`)
  const features = {
    bpf: works(() => native.bpf.createMap({ name: 'inkev_probe', type: 'array', keySize: 4, valueSize: 4, maxEntries: 1 }).close()),
    btf: existsSync('/sys/kernel/btf/vmlinux'),
    tcx: works(() => native.bpf.queryTcx(LOOPBACK, 'ingress'))
  }
  if (!features.bpf)
    throw new InkevError(
      'INKEV_ERR_UNSUPPORTED',
      'this process may not use eBPF',
      undefined,
      'Start the agent as root, on a kernel with CONFIG_BPF_SYSCALL.'
    )
  if (!features.btf) throw new InkevError('INKEV_ERR_UNSUPPORTED', 'the kernel has no BTF of itself (/sys/kernel/btf/vmlinux)')
  if (!features.tcx) throw new InkevError('INKEV_ERR_UNSUPPORTED', 'the kernel has no tcx, by which programs are attached to devices')
  return features
}

function works(attempt: () => unknown): boolean {
  try {
    attempt()
    return true
  } catch {
    return false
  }
}
