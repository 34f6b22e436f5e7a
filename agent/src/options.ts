// SPDX-License-Identifier: Apache-2.0
// The agent's command line: what it may say, and what is refused before anything starts.

import { existsSync, readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { dirname, isAbsolute, join } from 'node:path'
import { parseArgs } from 'node:util'
import { NAME_PATTERN } from '@inkev/bpf/catalogue/fields'
import { DEFAULT_POLICY, helpersNamed, type ProgramPolicy, programPolicy } from '@inkev/bpf/catalogue/policy'
import { validate } from '@inkev/bpf/catalogue/validate'
import { InkevError } from '../api/errors'
import { publicKey } from './model/signature'

export type Listen = { unix: string } | { host: string; port: number }

/** May read; may change; may upload programs; may see what packets hold. `operate` includes `read`; the others stand by themselves. */
export const ROLES = ['read', 'operate', 'program', 'capture'] as const
export type Role = (typeof ROLES)[number]

export interface Token {
  /** SHA-256 of the token, hex: the file holds no secret. */
  token_sha256: string
  roles: Role[]
}

export interface Tls {
  cert: string
  key: string
  /** Clients must show a certificate that this authority signed. */
  ca?: string
}

export interface Options {
  name: string
  listen: Listen[]
  /** Devices towards the other hosts, the first of which is shown; none: networks end at this host. */
  uplinks: string[]
  vtep?: string
  bpffs: string
  state: string
  objects: string
  tls?: Tls
  tokens?: Token[]
  /** What users' programs may be. */
  programs: ProgramPolicy
  vxlanPort: number
  logLevel: string
  /** Remove everything from the kernel and end. The desired state is kept. */
  teardown: boolean
}

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']

export const USAGE = `usage: inkev-agent [options]

  --name NAME           name of this host (default: its host name)
  --listen ADDRESS      unix:/path/to/socket or tcp://address:port; may be repeated (default: unix:/run/inkev/agent.sock)
  --uplink DEVICE       device towards the other hosts; without one, networks end at this host; may be repeated: the kernel's routes spread flows
  --vtep ADDRESS        underlay address of this host's tunnel end; with several uplinks, of any device, such as lo
                        (default: first address of the first uplink)
  --vxlan-port PORT     UDP port of VXLAN (default: 4789)
  --bpffs DIR           a BPF file system, for what must outlive the agent (default: /sys/fs/bpf)
  --state DIR           where the desired state is kept (default: /var/lib/inkev)
  --objects DIR         where the compiled functions are (default: beside the agent)
  --tls-cert FILE, --tls-key FILE   the agent's certificate and key (PEM)
  --tls-ca FILE         authority of the clients' certificates
  --token-file FILE     JSON: [{"token_sha256": "<hex>", "roles": ["read", "operate", "program", "capture"]}]
  --program-policy FILE JSON: what uploaded programs may be, and whose signature they need; GET /v1/host shows it, and all its fields
  --log-level LEVEL     ${LOG_LEVELS.join(', ')} (default: info)
  --teardown            remove everything that inkev has in the kernel, then end; a next start brings it back
  --help
`

const SPEC = {
  name: { type: 'string', default: hostname().split('.')[0]!.toLowerCase() },
  listen: { type: 'string', multiple: true, default: ['unix:/run/inkev/agent.sock'] as string[] },
  uplink: { type: 'string', multiple: true, default: [] as string[] },
  vtep: { type: 'string' },
  'vxlan-port': { type: 'string', default: '4789' },
  bpffs: { type: 'string', default: '/sys/fs/bpf' },
  state: { type: 'string', default: '/var/lib/inkev' },
  objects: { type: 'string' },
  'tls-cert': { type: 'string' },
  'tls-key': { type: 'string' },
  'tls-ca': { type: 'string' },
  'token-file': { type: 'string' },
  'program-policy': { type: 'string' },
  'log-level': { type: 'string', default: 'info' },
  teardown: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false }
} as const

/** Throws `InkevError` with a sentence for a terminal. Undefined when only help is wanted. */
export function parseOptions(argv: string[]): Options | undefined {
  const given = parse(argv)
  if (given.help) return undefined
  const options: Options = {
    name: given.name,
    uplinks: given.uplink,
    listen: given.listen.map(parseListen),
    bpffs: given.bpffs,
    state: given.state,
    objects: given.objects ?? defaultObjects(),
    vxlanPort: parsePort(given['vxlan-port'], '--vxlan-port'),
    programs: given['program-policy'] === undefined ? DEFAULT_POLICY : readPolicy(given['program-policy']),
    logLevel: given['log-level'],
    teardown: given.teardown,
    ...(given.vtep && { vtep: given.vtep }),
    ...parseTls(given['tls-cert'], given['tls-key'], given['tls-ca']),
    ...(given['token-file'] && { tokens: readTokens(given['token-file']) })
  }
  if (!new RegExp(NAME_PATTERN).test(options.name)) throw new InkevError('INKEV_ERR_NAME', `--name ${options.name} is no name for a host`)
  if (!LOG_LEVELS.includes(options.logLevel)) throw wrong(`--log-level ${options.logLevel} is none of ${LOG_LEVELS.join(', ')}`)
  if (options.vtep && options.uplinks.length === 0) throw wrong('--vtep needs --uplink')
  if (new Set(options.uplinks).size < options.uplinks.length) throw wrong('--uplink names a device twice')
  options.listen.forEach(listen => void requireCredentials(listen, options))
  return options
}

function parse(argv: string[]) {
  try {
    return parseArgs({ args: argv, options: SPEC, strict: true, allowPositionals: false }).values
  } catch (error) {
    throw wrong((error as Error).message)
  }
}

function wrong(message: string): InkevError {
  return new InkevError('INKEV_ERR_OPTION', message)
}

function parseListen(text: string): Listen {
  const unix = /^unix:(?:\/\/)?(\/.+)$/.exec(text)
  if (unix) return { unix: unix[1]! }
  const tcp = /^tcp:\/\/(?:\[([^\]]+)\]|([^:[\]]+)):([0-9]+)$/.exec(text)
  if (!tcp) throw wrong(`--listen ${text} is neither unix:/path nor tcp://address:port`)
  return { host: (tcp[1] ?? tcp[2])!, port: parsePort(tcp[3]!, '--listen', 0) }
}

function parsePort(text: string, option: string, smallest = 1): number {
  const port = Number(text)
  if (!Number.isInteger(port) || port < smallest || port > 65535) throw wrong(`${option} ${text} is no port number`)
  return port
}

function parseTls(cert?: string, key?: string, ca?: string): { tls?: Tls } {
  if (!cert && !key && !ca) return {}
  if (!cert || !key) throw wrong('--tls-cert, --tls-key and --tls-ca go together: certificate and key are needed')
  return { tls: { cert: read(cert, '--tls-cert'), key: read(key, '--tls-key'), ...(ca && { ca: read(ca, '--tls-ca') }) } }
}

function readTokens(path: string): Token[] {
  const text = read(path, '--token-file')
  try {
    const tokens = JSON.parse(text) as Token[]
    if (tokens.every(isToken)) return tokens
  } catch {}
  throw wrong(`--token-file ${path} is not a JSON list of {token_sha256, roles}`)
}

function isToken({ token_sha256, roles }: Token): boolean {
  return /^[0-9a-f]{64}$/.test(token_sha256) && Array.isArray(roles) && roles.every(role => ROLES.includes(role))
}

function readPolicy(path: string): ProgramPolicy {
  const option = '--program-policy'
  const { value, problems } = validate(programPolicy, parseJson(read(path, option), `${option} ${path}`))
  const [problem] = problems
  if (problem) throw wrong(`${option} ${path}: ${problem.path || 'it'}: ${problem.message}`)
  const { helpers, keys } = value as ProgramPolicy
  const stranger = helpers.findIndex(word => helpersNamed(word).length === 0)
  if (stranger >= 0)
    throw wrong(`${option} ${path}: helpers.${stranger}: inkev has no name ${helpers[stranger]}: give the number (enum bpf_func_id)`)
  const broken = keys.findIndex(key => !publicKey(key))
  if (broken >= 0)
    throw wrong(
      `${option} ${path}: keys.${broken}: is no Ed25519 public key: give what openssl pkey -pubout writes, without its first and last line`
    )
  return value as ProgramPolicy
}

function parseJson(text: string, place: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw wrong(`${place} is not JSON: ${(error as Error).message}`)
  }
}

function read(path: string, option: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw wrong(`${option} ${path} cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
}

/** A unix socket is guarded by its mode and loopback by the host; all else needs TLS and someone to tell callers apart. */
function requireCredentials(listen: Listen, { tls, tokens }: Options): void {
  if ('unix' in listen || isLoopback(listen.host) || (tls && (tls.ca || tokens))) return
  throw new InkevError(
    'INKEV_ERR_INSECURE',
    `--listen tcp://${listen.host}:${listen.port} is open to other hosts, and demands TLS with client certificates or tokens`
  )
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.[0-9.]+$/.test(host)
}

/** Beside the bundle as it is shipped, or in the source tree. */
function defaultObjects(): string {
  const directory = isAbsolute(process.argv[1] ?? '') ? dirname(process.argv[1]!) : process.cwd()
  const candidates = [join(directory, 'objects'), join(directory, '../../bpf/build')]
  return candidates.find(candidate => existsSync(candidate)) ?? candidates[0]!
}
