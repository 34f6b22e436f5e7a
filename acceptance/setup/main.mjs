// SPDX-License-Identifier: Apache-2.0
// The project's commands: `node acceptance/setup/main.mjs setup|demo|lab|test|bench|generate|format|staged`. Plain Node: it runs before anything is installed.

import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { buildSteps, findCli, generationSteps } from './build.mjs'
import { attached, Failure } from './commands.mjs'
import { checkDevices, checkMachine, debianPackages } from './machine.mjs'
import { say, tellOn } from './progress.mjs'
import { runSteps } from './steps.mjs'
import { checkEverything, checkStaged, format, generatedFiles } from './tests.mjs'

const root = join(import.meta.dirname, '../..')

/** Each command makes ready what it needs, does its work and answers the exit code. */
const commands = {
  setup: async () => {
    await setUp()
    return 0
  },
  demo: args => runTypeScript('demo', args),
  lab: args => {
    tellOn(process.stderr)
    return runTypeScript('lab', args)
  },
  bench: args => runTypeScript('bench', args),
  test: async args => {
    const generatedBefore = await generatedFiles(root)
    await setUp()
    return checkEverything(root, args, generatedBefore)
  },
  generate: async () => {
    await runSteps(root, generationSteps(root))
    return 0
  },
  format: async () => {
    await setUp()
    return format(root)
  },
  /** What the commit hook runs: on what set-up has left, in a second or two. */
  staged: () => checkStaged(root)
}

async function setUp() {
  say(`set-up on this machine: ${checkMachine()}`)
  await runSteps(root, [debianPackages, ...buildSteps(root)])
  checkDevices()
  say('set-up is complete')
}

/** Bundled modules find what lies beside them as if each were still in its own folder. */
const inPlace = {
  name: 'in place',
  setup: build => {
    build.onResolve({ filter: /\.node$/ }, ({ path, resolveDir }) => ({ path: join(resolveDir, path), external: true }))
    build.onLoad({ filter: /\.ts$/ }, ({ path }) => {
      const contents = readFileSync(path, 'utf8').replaceAll('__dirname', JSON.stringify(dirname(path)))
      return { contents, loader: 'ts' }
    })
  }
}

/** Bundles acceptance/<name>/main.ts and runs it on the user's terminal. */
async function runTypeScript(name, args) {
  await setUp()
  const bundle = join(root, `.cache/commands/${name}.cjs`)
  const { build } = await import('esbuild')
  await build({
    entryPoints: [join(root, `acceptance/${name}/main.ts`)],
    outfile: bundle,
    bundle: true,
    platform: 'node',
    plugins: [inPlace],
    logLevel: 'error'
  })
  return attached('node', [bundle, ...args], { env: { INKEV_CLI: findCli(root) } })
}

async function main([name, ...args]) {
  const run = commands[name]
  if (!run) throw new Failure(`Say what to do: ${Object.keys(commands).join(', ')}.`)
  process.exitCode = await run(args)
}

main(process.argv.slice(2)).catch(error => {
  if (!(error instanceof Failure)) throw error
  if (error.detail) console.error(error.detail)
  console.error(`\n${error.message}`)
  process.exitCode = 1
})
