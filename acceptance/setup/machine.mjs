// SPDX-License-Identifier: Apache-2.0
// What the machine must have before anything can be built: checked first, and installed where Debian packages can help.

import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { release } from 'node:os'
import { command, Failure } from './commands.mjs'

const OLDEST_KERNEL = [6, 1]
const OLDEST_GO = [1, 21]
const OLDEST_NODE = [20, 19]

const PACKAGES = [
  'bpftool',
  'clang-19',
  'clang-format-19',
  'curl',
  'ethtool',
  'g++',
  'iperf3',
  'iproute2',
  'iptables',
  'iputils-ping',
  'isc-dhcp-client',
  'libbpf-dev',
  'libnetfilter-queue-dev',
  'libnl-route-3-dev',
  'llvm-19',
  'make',
  'nftables',
  'pkg-config',
  'procps',
  'tcpdump',
  'tshark',
  'udhcpc',
  'util-linux'
]

/** Throws a `Failure` at the first thing that is missing and that set-up cannot install; answers a line that sums the machine up. */
export function checkMachine() {
  if (process.platform !== 'linux') throw new Failure('inkev lives in the Linux kernel: run this on Linux.')
  if (process.getuid() !== 0) throw new Failure('eBPF programs and network namespaces need root: run this as root, or with `sudo -E`.')
  if (!atLeast(process.versions.node, OLDEST_NODE)) {
    throw new Failure(`Node ${process.versions.node} is too old: install Node ${OLDEST_NODE.join('.')} or newer.`)
  }
  checkKernel()
  return `root, Linux ${release()}, Node ${process.versions.node}, Go ${goVersion()}`
}

function checkKernel() {
  if (!atLeast(release(), OLDEST_KERNEL))
    throw new Failure(`Linux ${release()} is too old: boot a kernel of ${OLDEST_KERNEL.join('.')} or newer.`)
  if (!existsSync('/sys/kernel/btf/vmlinux')) throw new Failure('This kernel has no BTF: boot one built with CONFIG_DEBUG_INFO_BTF=y.')
  if (!readFileSync('/proc/filesystems', 'utf8').includes('\tbpf\n')) {
    throw new Failure('This kernel has no BPF file system: boot one built with CONFIG_BPF_SYSCALL=y.')
  }
}

/** Creates the device types the lab needs, in a namespace that is gone with the command. Needs iproute2. */
export function checkDevices() {
  for (const device of ['type veth peer name trial1', 'type bridge', 'type vxlan external dstport 4789']) {
    const trial = spawnSync('unshare', ['--net', 'ip', 'link', 'add', 'name', 'trial0', ...device.split(' ')], { encoding: 'utf8' })
    if (trial.status === 0) continue
    const [, type] = device.split(' ')
    throw new Failure(
      `This kernel cannot create ${type} devices in a network namespace: load or build in its ${type} module.`,
      trial.stderr
    )
  }
}

function goVersion() {
  const go = spawnSync('go', ['env', 'GOVERSION'], { encoding: 'utf8' })
  const advice = `install Go ${OLDEST_GO.join('.')} or newer (https://go.dev/dl) and put it on the PATH.`
  if (go.status !== 0) throw new Failure(`Go is missing: ${advice}`)
  const version = go.stdout.trim().replace(/^go/, '')
  if (!atLeast(version, OLDEST_GO)) throw new Failure(`Go ${version} is too old: ${advice}`)
  return version
}

function atLeast(version, [major, minor]) {
  const [haveMajor, haveMinor] = version.split('.').map(Number)
  return haveMajor > major || (haveMajor === major && haveMinor >= minor)
}

/** The step that installs Debian packages, if any is missing. */
export const debianPackages = {
  name: 'Debian packages',
  current: () => missingPackages().length === 0,
  async run(news) {
    const missing = missingPackages()
    const advice = `Installing ${missing.join(', ')} failed: install ${missing.length > 1 ? 'them' : 'it'} by hand and try again.`
    if (spawnSync('apt-get', ['--version']).error)
      throw new Failure(`Missing: ${missing.join(', ')} (as Debian names them). Install them and try again.`)
    const options = { news, advice, env: { DEBIAN_FRONTEND: 'noninteractive' } }
    news('apt-get update')
    await command('apt-get', ['update', '-q'], options)
    await command('apt-get', ['install', '-q', '-y', '--no-install-recommends', ...missing], options)
  }
}

function missingPackages() {
  const query = spawnSync('dpkg-query', ['-W', '-f', '${Package} ${db:Status-Status}\n', ...PACKAGES], { encoding: 'utf8' })
  const installed = new Set(
    (query.stdout ?? '')
      .split('\n')
      .filter(line => line.endsWith(' installed'))
      .map(line => line.split(' ')[0])
  )
  return PACKAGES.filter(name => !installed.has(name))
}
