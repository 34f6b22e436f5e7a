// SPDX-License-Identifier: Apache-2.0
// The core's process. The shim gives it one end of a socket pair as descriptor 3, and a standard input that ends when the core must.

import { createServer, Socket } from 'node:net'
import { serve } from './server'

const inject = serve()

// Ctrl-C reaches every process of a terminal's foreground group; only the shim decides when the core ends.
process.on('SIGINT', () => {})

const [flag, path] = process.argv.slice(2)
if (flag === '--listen' && path) {
  // For a developer: node --inspect core.cjs --listen PATH, and terraform with INKEV_CORE_SOCKET=PATH.
  const server = createServer(inject).listen(path)
  process.on('SIGTERM', () => server.close(() => process.exit(0)))
} else {
  process.stdin.on('end', () => process.exit(0)).resume()
  inject(new Socket({ fd: 3, readable: true, writable: true }))
}
