// SPDX-License-Identifier: Apache-2.0
// Builds the provider: bundles the core, has it describe itself, and compiles the shim around that. Run: node provider/build.mjs; with `check`, it only
// compares the description with the one that is committed.

import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildSync } from 'esbuild'

const VERSION = '0.1.0'
const folder = import.meta.dirname
const at = (...parts) => join(folder, ...parts)

const DESCRIPTOR = at('shim/descriptor.json')

if (process.argv[2] === 'check') check()
else build()

function build() {
  bundle('main.ts', 'core.cjs')
  const described = describe()
  if (isStale(described)) writeFileSync(DESCRIPTOR, described)

  mkdirSync(at('dist'), { recursive: true })
  rmSync(at('dist/core.cjs'), { force: true })
  copyFileSync(at('core/dist/core.cjs'), at('dist/core.cjs'))
  const binary = at('dist', `terraform-provider-inkev_v${VERSION}`)
  execFileSync('go', ['build', '-trimpath', '-ldflags', '-s -w', '-o', binary, '.'], { cwd: at('shim'), stdio: 'inherit' })
}

function check() {
  if (!isStale(describe())) return
  console.error('provider: shim/descriptor.json is not as generated: run `node provider/build.mjs`')
  process.exitCode = 1
}

/** The schemas, as the core tells them. */
function describe() {
  bundle('describe.ts', 'describe.cjs')
  return execFileSync('node', [at('core/dist/describe.cjs')], { encoding: 'utf8', maxBuffer: 64 << 20 })
}

/** Where nothing changed the file's time is left alone, so that Go need not compile again. */
function isStale(described) {
  return !existsSync(DESCRIPTOR) || readFileSync(DESCRIPTOR, 'utf8') !== described
}

function bundle(source, target) {
  buildSync({
    entryPoints: [at('core', source)],
    outfile: at('core/dist', target),
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    minifySyntax: true,
    minifyWhitespace: true,
    // grpc-js needs it for its own diagnostics service only, which the core does not offer.
    external: ['@grpc/proto-loader'],
    legalComments: 'none',
    logLevel: 'warning'
  })
}
