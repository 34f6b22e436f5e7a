// SPDX-License-Identifier: Apache-2.0
// The build: what is made from what, by which command. Everything made lies in build/, dist/ or .cache/, save generated files that are committed.

import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { command } from './commands.mjs'
import { gitHooks } from './hooks.mjs'

const PROVIDER_VERSION = '0.1.0'
/** terraform looks below the first host name, tofu below the second. */
const REGISTRIES = ['registry.terraform.io', 'registry.opentofu.org']
const GENERATING = ['catalogue', 'provider']
const GO_ARCH = { x64: 'amd64', arm64: 'arm64' }[process.arch]

/** The steps that make the project in `root`. */
export function buildSteps(root) {
  const node =
    (script, ...args) =>
    news =>
      command('node', [script, ...args], { cwd: root, news })
  return [
    gitHooks(root),
    {
      name: 'npm packages',
      current: () => npmPackagesAreCurrent(root),
      // Not `npm ci`: it refuses a registry that lacks a package of another platform, which nobody here installs.
      run: news =>
        command('npm', ['install', '--no-save', '--loglevel=http'], {
          cwd: root,
          news,
          advice: 'npm install failed: check that the npm registry can be reached.'
        })
    },
    {
      name: 'catalogue',
      after: ['npm packages'],
      inputs: ['bpf'],
      outputs: ['bpf/functions/index.gen.ts'],
      run: node('bpf/build.mjs', 'generate')
    },
    {
      name: 'BPF objects',
      after: ['catalogue', 'Debian packages'],
      inputs: ['bpf'],
      outputs: ['bpf/build'],
      run: node('bpf/build.mjs', 'compile')
    },
    {
      name: 'native addon',
      after: ['npm packages', 'Debian packages'],
      inputs: ['native', 'package-lock.json'],
      version: process.version,
      outputs: ['native/build/inkev.node'],
      run: news => command('make', ['-C', 'native', '-j2'], { cwd: root, news })
    },
    {
      name: 'agent',
      after: ['catalogue'],
      inputs: ['agent', 'bpf', 'native', 'package-lock.json'],
      outputs: ['agent/dist/inkev-agent.js'],
      run: node('agent/build.mjs')
    },
    {
      name: 'provider',
      after: ['catalogue'],
      inputs: ['provider', 'agent', 'bpf', 'package-lock.json'],
      outputs: ['provider/dist'],
      run: node('provider/build.mjs')
    },
    { name: 'OpenTofu', current: () => findCli(root) !== undefined, run: news => buildTofu(root, news) },
    {
      name: 'provider mirror',
      after: ['provider'],
      inputs: ['provider/dist', 'acceptance/setup/build.mjs'],
      outputs: ['.cache/mirror', '.cache/terraformrc'],
      run: async () => mirrorProvider(root)
    }
  ]
}

/** The steps that write generated files, whether or not their sources changed. */
export function generationSteps(root) {
  const steps = buildSteps(root)
  const npmPackages = steps.find(step => step.name === 'npm packages')
  const generating = steps.filter(step => GENERATING.includes(step.name))
  return [npmPackages, ...generating.map(step => ({ ...step, current: () => false }))]
}

/** Compares what npm noted when it last installed with the lock file. */
function npmPackagesAreCurrent(root) {
  const installed = join(root, 'node_modules/.package-lock.json')
  if (!existsSync(installed)) return false
  const have = JSON.parse(readFileSync(installed, 'utf8')).packages
  const want = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages
  return Object.entries(want).every(([path, { version, optional, peer, link }]) => {
    if (!path.includes('node_modules/') || link) return true
    return have[path] ? have[path].version === version : Boolean(optional || peer)
  })
}

/** The program that applies HCL: terraform or tofu from the PATH, else the tofu built here. */
export function findCli(root) {
  const built = join(root, '.cache/bin/tofu')
  return ['terraform', 'tofu', built].find(
    cli => spawnSync(cli, ['version'], { env: { ...process.env, CHECKPOINT_DISABLE: '1' } }).status === 0
  )
}

async function buildTofu(root, news) {
  const cwd = join(root, 'acceptance/opentofu')
  const env = { GOWORK: 'off' }
  const advice = 'Building OpenTofu failed: install terraform or tofu and put it on the PATH.'
  await command('go', ['mod', 'download', '-x'], { cwd, env, news, advice })
  const target = join(root, '.cache/bin/tofu')
  await command('go', ['build', '-v', '-ldflags', '-s -w', '-o', target, 'github.com/opentofu/opentofu/cmd/tofu'], {
    cwd,
    env,
    news,
    advice
  })
}

/** A filesystem mirror that serves the provider just built, and the CLI configuration that names it. */
function mirrorProvider(root) {
  const mirror = join(root, '.cache/mirror')
  rmSync(mirror, { recursive: true, force: true })
  for (const registry of REGISTRIES) {
    const folder = join(mirror, registry, 'inkev/inkev', PROVIDER_VERSION)
    cpSync(join(root, 'provider/dist'), join(folder, `linux_${GO_ARCH}`), { recursive: true })
  }
  const sources = REGISTRIES.map(registry => `"${registry}/inkev/inkev"`).join(', ')
  writeFileSync(
    join(root, '.cache/terraformrc'),
    [
      'provider_installation {',
      `  filesystem_mirror {\n    path    = "${mirror}"\n    include = [${sources}]\n  }`,
      `  direct {\n    exclude = [${sources}]\n  }`,
      '}',
      ''
    ].join('\n')
  )
}
