// SPDX-License-Identifier: Apache-2.0
// Builds the provider: bundles the core, has it describe itself, and compiles the shim around that. Run: node provider/build.mjs

import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildSync } from 'esbuild'

const VERSION = '0.1.0'
const folder = import.meta.dirname
const at = (...parts) => join(folder, ...parts)

bundle('main.ts', 'core.cjs')
bundle('describe.ts', 'describe.cjs')
writeIfChanged(at('shim/descriptor.json'), execFileSync('node', [at('core/dist/describe.cjs')], { encoding: 'utf8', maxBuffer: 64 << 20 }))

mkdirSync(at('dist'), { recursive: true })
rmSync(at('dist/core.cjs'), { force: true })
copyFileSync(at('core/dist/core.cjs'), at('dist/core.cjs'))
const binary = at('dist', `terraform-provider-inkev_v${VERSION}`)
execFileSync('go', ['build', '-trimpath', '-ldflags', '-s -w', '-o', binary, '.'], { cwd: at('shim'), stdio: 'inherit' })

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

/** Leaves the file's time alone where nothing changed, so that Go need not compile again. */
function writeIfChanged(path, text) {
  if (!existsSync(path) || readFileSync(path, 'utf8') !== text) writeFileSync(path, text)
}
