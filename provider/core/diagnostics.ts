// SPDX-License-Identifier: Apache-2.0
// What the user reads when something is wrong: the attribute, what happened, what to do.

import { AgentError } from './agent'
import type { Problem } from './check'
import { log } from './log'
import type { Attributes } from './schema'
import type { Path, Step } from './walk'

export interface Diagnostic {
  severity: 'error' | 'warning'
  summary: string
  detail: string
  path?: Path
}

/** Thrown where no further work makes sense; holds all there is to say. */
export class Refusal extends Error {
  constructor(readonly diagnostics: Diagnostic[]) {
    super(diagnostics.map(({ summary, detail }) => `${summary}: ${detail}`).join('; '))
  }
}

export function problemDiagnostic({ path, message, hint }: Problem): Diagnostic {
  const leaf = pathText(path)
  return {
    severity: 'error',
    summary: leaf ? `Invalid ${leaf}` : 'Invalid configuration',
    detail: sentences(message, hint),
    path: shown(path)
  }
}

/** Any failure, told on the attribute that it concerns where that is known. */
export function errorDiagnostics(error: unknown, attributes: Attributes = {}): Diagnostic[] {
  if (error instanceof Refusal) return error.diagnostics
  if (error instanceof AggregateError) return distinct(error.errors.flatMap(one => errorDiagnostics(one, attributes)))
  if (error instanceof AgentError) return [agentDiagnostic(error, attributes)]
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
  log('error', 'internal error', { stack })
  return [
    { severity: 'error', summary: 'The inkev provider failed', detail: `This is a fault of the provider; please report it.\n\n${stack}` }
  ]
}

function agentDiagnostic({ host, message, hint, path: field, summary }: AgentError, attributes: Attributes): Diagnostic {
  const path = field === undefined ? [] : pathOf(attributes, field)
  return {
    severity: 'error',
    summary: summary ?? (path.length > 0 ? `${host} refuses ${pathText(path)}` : `${host} refuses`),
    detail: sentences(message, hint),
    ...(path.length > 0 && { path: shown(path) })
  }
}

/** The same sentence of several hosts is said once. */
function distinct(diagnostics: Diagnostic[]): Diagnostic[] {
  return [...new Map(diagnostics.map(diagnostic => [diagnostic.detail, diagnostic])).values()]
}

function sentences(...parts: (string | undefined)[]): string {
  return parts
    .filter(part => part)
    .map(part => (/[.!?]$/.test(part!) ? part : `${part}.`))
    .join(' ')
}

/** The path of a dotted field name, as `subnets.v4.cidr`. What the schema does not know ends it. */
export function pathOf(attributes: Attributes, field: string): Path {
  const [first, ...rest] = field.split('.')
  const found = Object.entries(attributes).find(([name, { sentAs }]) => name === first || sentAs === first)
  if (!found) return []
  const [name, attribute] = found
  const here: Step = { attribute: name }
  if (rest.length === 0) return [here]
  if (attribute.shape === 'object') return [here, ...pathOf(attribute.attributes!, rest.join('.'))]
  if (attribute.shape === 'list' || attribute.shape === 'set') return [here, { index: Number(rest[0]) }]
  return [here, ...rowPath(attribute.attributes ?? {}, rest)]
}

/** Keys may hold dots themselves: the key ends where a field of the row begins. */
function rowPath(row: Attributes, segments: string[]): Path {
  const end = segments.findIndex((segment, index) => index > 0 && segment in row)
  const length = end === -1 ? segments.length : end
  return [{ key: segments.slice(0, length).join('.') }, ...pathOf(row, segments.slice(length).join('.'))]
}

/** A path as the user would write it, without brackets. */
export function pathText(path: Path): string {
  return path.map(step => ('attribute' in step ? step.attribute : 'key' in step ? step.key : String(step.index))).join('.')
}

/** Terraform shows the source line of an attribute and of its elements, and loses it for any deeper path. */
function shown(path: Path): Path {
  const [first, second] = path
  return second && !('attribute' in second) ? [first!, second] : path.slice(0, 1)
}
