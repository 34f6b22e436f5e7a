// SPDX-License-Identifier: Apache-2.0
// The command line: what it takes, and what it refuses before anything starts.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DEFAULT_POLICY } from '@inkev/bpf/catalogue/policy'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { parseOptions } from './options'

const POLICIES = {
  narrow: { max_map_entries: 1024, map_types: ['hash'], helpers: ['map_lookup_elem', '6'] },
  field: { max_elf: 5 },
  type: { map_types: ['prog_array'] },
  helper: { helpers: ['map_lookup_elem', 'trace_printk'] },
  key: { keys: ['MCowBQYDK2VwAyEA'] }
}

let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'inkev-options-'))
  writeFileSync(join(folder, 'pem'), 'PEM')
  writeFileSync(join(folder, 'tokens.json'), JSON.stringify([{ token_sha256: 'a'.repeat(64), roles: ['read'] }]))
  writeFileSync(join(folder, 'bad.json'), '[{"token": "secret"}]')
  for (const [name, policy] of Object.entries(POLICIES)) writeFileSync(join(folder, `${name}.json`), JSON.stringify(policy))
})

afterAll(() => rmSync(folder, { recursive: true }))

function parse(...args: string[]) {
  return parseOptions(['--name', 'edge-1', ...args.map(arg => arg.replace('@', `${folder}/`))])
}

describe('the command line', () => {
  test('takes a unix socket and loopback without credentials', () => {
    expect(parse('--listen', 'unix:/run/a.sock', '--listen', 'tcp://127.0.0.1:7443', '--listen', 'tcp://[::1]:7443')?.listen).toEqual([
      { unix: '/run/a.sock' },
      { host: '127.0.0.1', port: 7443 },
      { host: '::1', port: 7443 }
    ])
  })

  test('takes a policy for programs, whose other fields are as without one', () => {
    expect(parse()?.programs).toEqual(DEFAULT_POLICY)
    expect(parse('--program-policy', '@narrow.json')?.programs).toEqual({ ...DEFAULT_POLICY, ...POLICIES.narrow })
  })

  const TLS = ['--tls-cert', '@pem', '--tls-key', '@pem']

  test.each([
    ['no TLS at all', []],
    ['TLS, but no way to tell callers apart', TLS],
    ['tokens, but no TLS', ['--token-file', '@tokens.json']]
  ])('refuses an address beyond this host with %s', (_, args) => {
    expect(() => parse('--listen', 'tcp://0.0.0.0:7443', ...args)).toThrow(expect.objectContaining({ code: 'INKEV_ERR_INSECURE' }))
  })

  test.each([
    ['client certificates', ['--tls-ca', '@pem']],
    ['tokens', ['--token-file', '@tokens.json']]
  ])('takes any address with TLS and %s', (_, args) => {
    expect(parse('--listen', 'tcp://0.0.0.0:7443', ...TLS, ...args)?.listen).toEqual([{ host: '0.0.0.0', port: 7443 }])
  })

  test.each([
    [['--colour', 'red'], 'INKEV_ERR_OPTION', /colour/],
    [['--listen', 'http://x'], 'INKEV_ERR_OPTION', /neither unix/],
    [['--listen', 'tcp://127.0.0.1:70000'], 'INKEV_ERR_OPTION', /no port number/],
    [['--vtep', '192.0.2.1'], 'INKEV_ERR_OPTION', /needs --uplink/],
    [['--uplink', 'eth0', '--uplink', 'eth0'], 'INKEV_ERR_OPTION', /twice/],
    [['--tls-cert', '@pem'], 'INKEV_ERR_OPTION', /go together/],
    [['--token-file', '@none.json'], 'INKEV_ERR_OPTION', /cannot be read \(ENOENT\)/],
    [['--token-file', '@bad.json'], 'INKEV_ERR_OPTION', /not a JSON list/],
    [['--program-policy', '@none.json'], 'INKEV_ERR_OPTION', /cannot be read \(ENOENT\)/],
    [['--program-policy', '@pem'], 'INKEV_ERR_OPTION', /pem is not JSON/],
    [['--program-policy', '@field.json'], 'INKEV_ERR_OPTION', /max_elf: /],
    [['--program-policy', '@type.json'], 'INKEV_ERR_OPTION', /map_types\.0: "prog_array"/],
    [['--program-policy', '@helper.json'], 'INKEV_ERR_OPTION', /helpers\.1: inkev has no name trace_printk/],
    [['--program-policy', '@key.json'], 'INKEV_ERR_OPTION', /keys\.0: is no Ed25519 public key/],
    [['--log-level', 'loud'], 'INKEV_ERR_OPTION', /loud/],
    [['--name', 'Edge 1'], 'INKEV_ERR_NAME', /Edge 1/]
  ] as const)('refuses %j', (args, code, message) => {
    expect(() => parse(...args)).toThrow(expect.objectContaining({ code, message: expect.stringMatching(message) }))
  })

  test('asked for help is nothing to start with', () => {
    expect(parse('--help')).toBeUndefined()
  })
})
