// SPDX-License-Identifier: Apache-2.0
// Bundles the agent into dist/inkev-agent.js, and what it starts in namespaces into dist/inkev-probe.js: `node agent/build.mjs`. The database and the native addon stay what they are: compiled code beside it.

import { join } from 'node:path'
import { build } from 'esbuild'

const ROOT = import.meta.dirname
const ADDON = /inkev\.node$/

/** The addon is found from the bundle's place, as from the source's. */
const addon = {
  name: 'addon',
  setup({ onResolve }) {
    onResolve({ filter: ADDON }, () => ({ path: '../../native/build/inkev.node', external: true }))
  }
}

await build({
  entryPoints: { 'inkev-agent': join(ROOT, 'src/main.ts'), 'inkev-probe': join(ROOT, 'src/probing/child.ts') },
  outdir: join(ROOT, 'dist'),
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  external: ['lmdb'],
  plugins: [addon],
  sourcemap: true,
  logLevel: 'warning'
})
