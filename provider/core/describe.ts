// SPDX-License-Identifier: Apache-2.0
// Prints the descriptor: the build keeps what it prints as provider/shim/descriptor.json.

import { descriptor } from './descriptor'

process.stdout.write(`${JSON.stringify(descriptor(), null, 1)}\n`)
