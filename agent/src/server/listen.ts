// SPDX-License-Identifier: Apache-2.0
// The sockets of the REST interface: unix sockets of mode 0600, loopback, or TLS.

import { chmodSync, mkdirSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import { InkevError } from '../../api/errors'
import type { Listen, Options } from '../options'

/** A request, and whether it came by a way that the host itself guards. */
export type OnRequest = (request: IncomingMessage, response: ServerResponse, trusted: boolean) => void

/** Opens every address or none. Resolves to a function that closes them, open connections included. */
export async function listenOn(options: Pick<Options, 'listen' | 'tls' | 'tokens'>, onRequest: OnRequest): Promise<() => Promise<void>> {
  const servers: Server[] = []
  const close = async () => void (await Promise.all(servers.map(closeServer)))
  try {
    for (const address of options.listen) servers.push(await openServer(address, options, onRequest))
  } catch (error) {
    await close()
    throw error
  }
  return close
}

async function openServer(address: Listen, { tls, tokens }: Pick<Options, 'tls' | 'tokens'>, onRequest: OnRequest): Promise<Server> {
  if ('unix' in address) {
    await freeSocket(address.unix)
    const server = createServer((request, response) => onRequest(request, response, true))
    const mask = process.umask(0o177)
    return started(server, { path: address.unix }, address.unix).finally(() => process.umask(mask))
  }
  const untrusted = (request: IncomingMessage, response: ServerResponse) => onRequest(request, response, false)
  const server = tls
    ? createTlsServer({ ...tls, requestCert: Boolean(tls.ca), rejectUnauthorized: Boolean(tls.ca) && !tokens }, untrusted)
    : createServer(untrusted)
  return started(server, address, `${address.host}:${address.port}`)
}

function started(server: Server, address: { path: string } | { host: string; port: number }, words: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        new InkevError(
          'INKEV_ERR_OPTION',
          `--listen ${words} cannot be opened (${error.code})`,
          undefined,
          'Choose an address that is free.'
        )
      )
    )
    server.listen(address, () => {
      if ('path' in address) chmodSync(address.path, 0o600)
      resolve(server)
    })
  })
}

/** Removes what an agent left that was killed; a socket at which someone answers stays, and is refused. */
async function freeSocket(path: string): Promise<void> {
  mkdirSync(dirname(path), { recursive: true })
  const answered = await new Promise<boolean>(resolve => {
    const socket = connect(path, () => {
      socket.destroy()
      resolve(true)
    }).on('error', () => resolve(false))
  })
  if (answered) throw new InkevError('INKEV_ERR_OPTION', `--listen unix:${path} is in use by another process`)
  rmSync(path, { force: true })
}

function closeServer(server: Server): Promise<void> {
  return new Promise(resolve => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}
