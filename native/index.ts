// SPDX-License-Identifier: Apache-2.0
// Loads the addon. A bundler must copy build/inkev.node beside its output (esbuild: `--loader:.node=copy`) or resolve it itself.
import type { Native } from './types'

export const native: Native = require('./build/inkev.node')
export type * from './types'
