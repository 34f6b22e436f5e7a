// SPDX-License-Identifier: Apache-2.0
// Who may do what: real sockets, real tokens, real certificates.

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { request as httpRequest, type RequestOptions } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { InkevError } from '../../api/errors'
import type { Options, Role } from '../options'
import { buildApp } from './app'
import { authorizer } from './auth'
import { listenOn } from './listen'

let folder: string
let close: (() => Promise<void>) | undefined

const tokens = [
  { token_sha256: sha256('reader'), roles: ['read' as const] },
  { token_sha256: sha256('operator'), roles: ['operate' as const] },
  { token_sha256: sha256('author'), roles: ['program' as const] },
  { token_sha256: sha256('analyst'), roles: ['capture' as const] }
]

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'inkev-auth-'))
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' })
  const authority = ['-CA', 'ca.pem', '-CAkey', 'ca.key']
  openssl(
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-keyout',
    'ca.key',
    '-out',
    'ca.pem',
    '-subj',
    '/CN=test CA'
  )
  for (const [name, subject] of [
    ['server', '/CN=localhost'],
    ['client', '/CN=terraform'],
    ['reader', '/CN=watcher/OU=read']
  ] as const) {
    openssl(
      'req',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.csr`,
      '-subj',
      subject
    )
    openssl('x509', '-req', '-in', `${name}.csr`, ...authority, '-out', `${name}.pem`)
  }
})

afterEach(async () => {
  await close?.()
  close = undefined
})

afterAll(() => rmSync(folder, { recursive: true }))

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function read(name: string): string {
  return readFileSync(join(folder, name), 'utf8')
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
}

/** A server whose path is the role it asks for. */
async function serve(options: Pick<Options, 'tls' | 'tokens'>): Promise<{ port: number; socket: string }> {
  const [port, socket] = [await freePort(), join(folder, 'run/agent.sock')]
  const authorize = authorizer(options)
  close = await listenOn({ listen: [{ host: '127.0.0.1', port }, { unix: socket }], ...options }, (request, response, trusted) => {
    try {
      authorize(request, request.url!.slice(1) as Role, trusted)
      response.end()
    } catch (error) {
      response.writeHead((error as InkevError).status).end((error as InkevError).code)
    }
  })
  return { port, socket }
}

/** `ok`, the code of the server's error, or that by which the connection failed. */
function ask(options: RequestOptions & { ca?: string; cert?: string; key?: string }): Promise<string> {
  const request = options.ca ? httpsRequest : httpRequest
  return new Promise(resolve => {
    const sent = request({ host: '127.0.0.1', servername: 'localhost', agent: false, ...options } as RequestOptions, response => {
      let said = ''
      response.on('data', text => {
        said += text
      })
      response.on('end', () => resolve(said || 'ok'))
    })
    sent.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message)).end()
  })
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

describe('without credentials configured', () => {
  test('whoever reaches the socket may do all', async () => {
    const { port, socket } = await serve({})
    expect(await ask({ port, path: '/program' })).toBe('ok')
    expect(await ask({ socketPath: socket, path: '/program' })).toBe('ok')
  })

  test('the unix socket is its owner’s alone, and a second agent is refused', async () => {
    const { socket } = await serve({})
    expect(statSync(socket).mode & 0o777).toBe(0o600)
    await expect(listenOn({ listen: [{ unix: socket }] }, () => {})).rejects.toMatchObject({ code: 'INKEV_ERR_OPTION' })
  })
})

describe('with tokens', () => {
  test.each([
    [undefined, 'read', 'INKEV_ERR_UNAUTHENTICATED'],
    ['stranger', 'read', 'INKEV_ERR_UNAUTHENTICATED'],
    ['reader', 'read', 'ok'],
    ['reader', 'operate', 'INKEV_ERR_FORBIDDEN'],
    ['operator', 'read', 'ok'],
    ['operator', 'operate', 'ok'],
    ['operator', 'program', 'INKEV_ERR_FORBIDDEN'],
    ['operator', 'capture', 'INKEV_ERR_FORBIDDEN'],
    ['author', 'program', 'ok'],
    ['author', 'operate', 'INKEV_ERR_FORBIDDEN'],
    ['analyst', 'capture', 'ok'],
    ['analyst', 'read', 'INKEV_ERR_FORBIDDEN']
  ])('who shows %p and wants to %s gets %s', async (token, role, answer) => {
    const { port } = await serve({ tokens })
    expect(await ask({ port, path: `/${role}`, headers: token === undefined ? {} : bearer(token) })).toBe(answer)
  })

  test('the unix socket still needs none', async () => {
    const { socket } = await serve({ tokens })
    expect(await ask({ socketPath: socket, path: '/operate' })).toBe('ok')
  })
})

describe('with client certificates', () => {
  const tls = () => ({ cert: read('server.pem'), key: read('server.key'), ca: read('ca.pem') })
  const shown = (name: string) => ({ ca: read('ca.pem'), cert: read(`${name}.pem`), key: read(`${name}.key`) })

  test('who shows one may do all; who has units in it, what they name', async () => {
    const { port } = await serve({ tls: tls() })
    expect(await ask({ port, path: '/program', ...shown('client') })).toBe('ok')
    expect(await ask({ port, path: '/read', ...shown('reader') })).toBe('ok')
    expect(await ask({ port, path: '/operate', ...shown('reader') })).toBe('INKEV_ERR_FORBIDDEN')
  })

  test('who shows none is not even heard, unless tokens are taken too', async () => {
    const { port } = await serve({ tls: tls() })
    expect(await ask({ port, path: '/read', ca: read('ca.pem') })).not.toMatch(/^ok|INKEV/)
    await close?.()
    const { port: other } = await serve({ tls: tls(), tokens })
    expect(await ask({ port: other, path: '/read', ca: read('ca.pem') })).toBe('INKEV_ERR_UNAUTHENTICATED')
    expect(await ask({ port: other, path: '/read', ca: read('ca.pem'), headers: bearer('reader') })).toBe('ok')
  })
})

test('programs come and go by the role program, whatever else changes by operate', async () => {
  const authorize = (_: unknown, role: Role) => {
    throw new InkevError('INKEV_ERR_FORBIDDEN', role)
  }
  const app = await buildApp({ authorize, host: () => {} } as never)
  const asked = async (method: 'PUT' | 'DELETE' | 'POST', path: string) =>
    (await app.inject({ method, url: `/v1/${path}` })).json().error.message
  expect(await asked('PUT', 'programs/limiter')).toBe('program')
  expect(await asked('DELETE', 'programs/limiter')).toBe('program')
  expect(await asked('PUT', 'functions/limit')).toBe('operate')
  expect(await asked('POST', 'bulk')).toBe('operate')
})
