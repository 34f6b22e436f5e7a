// SPDX-License-Identifier: Apache-2.0
// Where the project lies, seen from a source file, a bundle or a test.

import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'

function rootAbove(folder: string): string {
  if (existsSync(join(folder, 'package-lock.json'))) return folder
  const parent = dirname(folder)
  if (parent === folder) throw new Error(`${__dirname} lies outside the project`)
  return rootAbove(parent)
}

/** The root folder of the project. */
export const PROJECT = rootAbove(__dirname)
