// SPDX-License-Identifier: Apache-2.0
// The provider block: its schema, its environment fall-backs, and the agents that follow from it.

import { readFileSync } from 'node:fs'
import { group, NAME_PATTERN, optional, text } from '@inkev/bpf/catalogue/fields'
import { type TProperties, Type } from '@sinclair/typebox'
import { Agent } from './agent'
import { type Problem, schemaProblems } from './check'
import { type Diagnostic, problemDiagnostic, Refusal } from './diagnostics'
import { type Endpoint, parseEndpoint } from './http'
import { type Attributes, attributesOf } from './schema'
import { isMembers, type Members, UNKNOWN, type Value } from './value'
import type { Path } from './walk'

const ENDPOINT_HINT = 'Write unix:///run/inkev/agent.sock, https://10.0.0.1:7443, or http://127.0.0.1:7080 on the same machine.'

/** The environment variable behind each credential. */
const ENVIRONMENT = {
  token: 'INKEV_TOKEN',
  ca_cert: 'INKEV_CA_CERT',
  client_cert: 'INKEV_CLIENT_CERT',
  client_key: 'INKEV_CLIENT_KEY'
}
type Credential = keyof typeof ENVIRONMENT
const CREDENTIALS = Object.keys(ENVIRONMENT) as Credential[]

/** The credentials, with a note to each. */
function credentials(note: (credential: Credential) => string): TProperties {
  const pem = (credential: Credential, doc: string) => ({
    doc: `${doc} PEM text, or the path of a file that holds it. ${note(credential)}`,
    maxLength: 100_000
  })
  return {
    token: optional(text({ doc: `Token that the agents know. ${note('token')}`, maxLength: 4096, sensitive: true })),
    ca_cert: optional(text(pem('ca_cert', 'Certificate of the authority that signed the agents’ certificates.'))),
    client_cert: optional(text(pem('client_cert', 'Certificate that this side shows.'))),
    client_key: optional(text({ ...pem('client_key', 'Key of `client_cert`.'), sensitive: true }))
  }
}

const host = group({
  endpoint: text({ doc: `Where the agent answers. ${ENDPOINT_HINT}` }),
  ...credentials(() => 'Takes the place of the provider-wide one.')
})

const provider = group({
  hosts: optional(
    Type.Record(Type.String({ pattern: NAME_PATTERN }), host, {
      description:
        'The hosts, by name, and where their agents answer. All hosts stand in one provider block. ' +
        'Fall-back: `INKEV_HOSTS`, as `edge-1=https://10.0.0.1:7443,edge-2=https://10.0.0.2:7443`.'
    })
  ),
  ...credentials(credential => `For all hosts that have none of their own. Fall-back: \`${ENVIRONMENT[credential]}\`.`)
})

export const providerDescription = 'Virtual networks of eBPF functions in the kernels of your hosts, stitched into graphs.'
export const providerAttributes: Attributes = attributesOf(provider)

/** Pure: what is wrong with a provider block whatever the hosts say. */
export function providerProblems(config: Members): Problem[] {
  const hosts = isMembers(config.hosts) ? Object.entries(config.hosts) : []
  return [
    ...schemaProblems(providerAttributes, config),
    ...certificateProblems(config, []),
    ...hosts.flatMap(([key, host]) => (isMembers(host) ? hostProblems(host, [{ attribute: 'hosts' }, { key }]) : []))
  ]
}

function hostProblems(host: Members, path: Path): Problem[] {
  const problems = certificateProblems(host, path)
  if (typeof host.endpoint !== 'string') return problems
  const here = [...path, { attribute: 'endpoint' }]
  try {
    const address = parseEndpoint(host.endpoint)
    if (address instanceof URL && address.protocol === 'http:' && !isLoopback(address.hostname))
      problems.push({
        path: here,
        message: `${host.endpoint} would carry everything in the clear.`,
        hint: 'Beyond this machine use https://.'
      })
  } catch (error) {
    problems.push({ path: here, message: `${(error as Error).message}.`, hint: ENDPOINT_HINT })
  }
  return problems
}

function certificateProblems({ client_cert, client_key }: Members, path: Path): Problem[] {
  if ((client_cert ?? null) === null || (client_key ?? null) !== null) return []
  return [{ path: [...path, { attribute: 'client_key' }], message: 'client_cert needs a client_key.', hint: 'Give both, or neither.' }]
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\./.test(hostname)
}

/** The agents of a provider block; undefined while the block is not wholly known. Throws Refusal. */
export function agentsOf(config: Members, environment: NodeJS.ProcessEnv): Map<string, Agent> | undefined {
  const hosts = config.hosts ?? hostsFromEnvironment(environment.INKEV_HOSTS)
  if (hosts === UNKNOWN) return undefined
  if (!isMembers(hosts) || Object.keys(hosts).length === 0)
    throw refusal([], 'No host is named.', 'Give hosts in the provider block, or set INKEV_HOSTS.')
  const shared = Object.fromEntries(CREDENTIALS.map(name => [name, config[name] ?? environment[ENVIRONMENT[name]] ?? null]))
  const entries = Object.entries(hosts).map(([key, host]) => ({ key, host: { ...shared, ...withoutNulls(host) } as Members }))
  if (entries.some(({ host }) => Object.values(host).includes(UNKNOWN))) return undefined
  return new Map(entries.map(({ key, host }) => [key, new Agent(key, endpointOf(host, [{ attribute: 'hosts' }, { key }]))]))
}

function withoutNulls(host: Value): Members {
  if (!isMembers(host)) return { endpoint: UNKNOWN }
  return Object.fromEntries(Object.entries(host).filter(([, value]) => value !== null))
}

function hostsFromEnvironment(listed = ''): Members {
  const pairs = listed.split(',').filter(Boolean)
  return Object.fromEntries(
    pairs.map(pair => {
      const [name, endpoint] = [pair.slice(0, pair.indexOf('=')).trim(), pair.slice(pair.indexOf('=') + 1).trim()]
      const problems = hostProblems({ endpoint }, [])
      if (problems.length > 0 || !new RegExp(NAME_PATTERN).test(name))
        throw refusal([], `INKEV_HOSTS holds ${JSON.stringify(pair)}.`, 'Write name=endpoint, several with commas between them.')
      return [name, { endpoint }]
    })
  )
}

function endpointOf(host: Members, path: Path): Endpoint {
  const fileOrText = (name: string) => (typeof host[name] === 'string' ? readPem(host[name], [...path, { attribute: name }]) : undefined)
  return {
    url: host.endpoint as string,
    token: (host.token as string | null) ?? undefined,
    ca: fileOrText('ca_cert'),
    cert: fileOrText('client_cert'),
    key: fileOrText('client_key')
  }
}

function readPem(given: string, path: Path): string {
  if (given.includes('-----BEGIN')) return given
  try {
    return readFileSync(given, 'utf8')
  } catch (error) {
    throw refusal(path, `neither PEM text nor a file that can be read (${(error as NodeJS.ErrnoException).code}).`)
  }
}

function refusal(path: Path, message: string, hint?: string): Refusal {
  const diagnostic: Diagnostic = problemDiagnostic({ path, message, hint })
  return new Refusal([diagnostic])
}
