// SPDX-License-Identifier: Apache-2.0
// Builds the provider: bundles the core, has it describe itself, and compiles the shim around that. Run: node provider/build.mjs; with `check`, it only
// compares the description with the one that is committed.

import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'

const VERSION = '0.1.0'
const folder = import.meta.dirname
const at = (...parts) => join(folder, ...parts)

const DESCRIPTOR = at('shim/descriptor.json')

/** The client half of grpc-js, which would be loaded at every start. */
const withoutClient = {
  name: 'without client',
  setup: ({ onResolve, onLoad }) => {
    onResolve({ filter: /^\.\/make-client$/ }, ({ path }) => ({ path, namespace: 'nothing' }))
    onLoad({ filter: /.*/, namespace: 'nothing' }, () => ({ contents: '' }))
  }
}

if (process.argv[2] === 'check') await check()
else await compile()

async function compile() {
  const described = await describe()
  if (isStale(described)) writeFileSync(DESCRIPTOR, described)
  await bundle('main.ts', 'core.cjs', { DESCRIPTOR_SHA256: JSON.stringify(JSON.parse(described).sha256) })

  mkdirSync(at('dist'), { recursive: true })
  rmSync(at('dist/core.cjs'), { force: true })
  copyFileSync(at('core/dist/core.cjs'), at('dist/core.cjs'))
  const binary = at('dist', `terraform-provider-inkev_v${VERSION}`)
  execFileSync('go', ['build', '-trimpath', '-ldflags', '-s -w', '-o', binary, '.'], { cwd: at('shim'), stdio: 'inherit' })
}

async function check() {
  if (!isStale(await describe())) return
  console.error('provider: shim/descriptor.json is not as generated: run `node provider/build.mjs`')
  process.exitCode = 1
}

/** The schemas, as the core tells them. */
async function describe() {
  await bundle('describe.ts', 'describe.cjs')
  return execFileSync('node', [at('core/dist/describe.cjs')], { encoding: 'utf8', maxBuffer: 64 << 20 })
}

/** Where nothing changed the file's time is left alone, so that Go need not compile again. */
function isStale(described) {
  return !existsSync(DESCRIPTOR) || readFileSync(DESCRIPTOR, 'utf8') !== described
}

async function bundle(source, target, define = {}) {
  await build({
    entryPoints: [at('core', source)],
    outfile: at('core/dist', target),
    bundle: true,
    platform: 'node',
    format: 'cjs',
    define,
    target: 'node20',
    minifySyntax: true,
    minifyWhitespace: true,
    // grpc-js needs it for its own diagnostics service only, which the core does not offer.
    external: ['@grpc/proto-loader'],
    plugins: [withoutClient],
    legalComments: 'none',
    logLevel: 'warning'
  })
}
