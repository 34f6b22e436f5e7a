// SPDX-License-Identifier: Apache-2.0
// Faults of an inspection: within a rule or a pattern, between patterns that contradict each other, and of all patterns together.

import type { Problem } from '../../catalogue/define'
import { protocolNumber } from '../../catalogue/fields'
import { type Config, countStates, STATES_MAX } from './image'
import { bytesOf, FORMS, formOf, ignoresCase, isName, LENGTH_MAX, type Pattern, type Patterns, windowOf } from './pattern'
import { hasPorts, meet, protocolOf, type Rule, type Rules } from './rule'

/** Patterns that contradict each other do so in many places: the first few say it all. */
const CONTRADICTIONS_TOLD = 8

/** Rules and patterns have been found valid by their schemas. */
export function checkInspection({ rules, patterns, depth }: Config): Problem[] {
  const problems = [
    ...Object.entries(rules).flatMap(([key, rule]) => within(`rules.${key}`, checkRule(rule))),
    ...Object.entries(patterns).flatMap(([key, pattern]) => within(`patterns.${key}`, checkPattern(pattern, rules, depth)))
  ]
  return problems.length > 0 ? problems : [...contradictions(rules, patterns), ...tooMany(patterns)]
}

function within(prefix: string, problems: Problem[]): Problem[] {
  return problems.map(problem => ({ ...problem, path: problem.path ? `${prefix}.${problem.path}` : prefix }))
}

function checkRule(rule: Rule): Problem[] {
  const message = `${rule.protocol ?? 'any protocol'} has no ports`
  const withoutPorts = (['ports', 'source_ports'] as const)
    .filter(field => rule[field] !== undefined && !hasPorts(rule))
    .map(path => ({ path, message, hint: 'Set protocol to tcp, udp or sctp.' }))
  if (!rule.follow || rule.action !== 'count') return withoutPorts
  return [...withoutPorts, { path: 'follow', message: 'a rule that counts has no verdict that a flow could have' }]
}

function checkPattern(pattern: Pattern, rules: Rules, depth: number): Problem[] {
  const forms = FORMS.filter(form => pattern[form] !== undefined)
  if (forms.length !== 1)
    return [
      {
        path: '',
        message: `${forms.length === 0 ? 'there is nothing' : forms.join(' and ')} to look for`,
        hint: `Set exactly one of ${FORMS.join(', ')}.`
      }
    ]
  const rule = Object.hasOwn(rules, pattern.rule) ? rules[pattern.rule] : undefined
  if (!rule)
    return [{ path: 'rule', message: `there is no rule ${pattern.rule}`, hint: `There are ${Object.keys(rules).join(', ') || 'none'}.` }]
  return isName(pattern) ? checkName(pattern, rule) : checkBytes(pattern, depth)
}

const LABEL = '[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?'
const NAME = new RegExp(`^${LABEL}(\\.${LABEL})*\\.?$`)
const NAME_MAX = 253

function checkName(pattern: Pattern, rule: Rule): Problem[] {
  const form = formOf(pattern)
  const name = pattern[form]!
  const problems: Problem[] = []
  const { length } = name.replace(/\.$/, '')
  if (length > NAME_MAX) problems.push({ path: form, message: `the name has ${length} characters, of which ${NAME_MAX} fit into DNS` })
  else if (!NAME.test(name))
    problems.push({
      path: form,
      message: `${JSON.stringify(name)} is not a DNS name`,
      hint: 'Write bank.example; the names below it are meant as well.'
    })
  if (pattern.offset > 0) problems.push({ path: 'offset', message: 'a name is looked for where its protocol has it' })
  if (pattern.within !== undefined) problems.push({ path: 'within', message: 'a name is looked for where its protocol has it' })
  const carriers = form === 'dns_name' ? ['udp', 'tcp'] : ['tcp']
  const protocol = protocolOf(rule)
  if (protocol !== undefined && !carriers.map(protocolNumber).includes(protocol))
    problems.push({
      path: 'rule',
      message: `${pattern.rule} looks into ${rule.protocol}, which does not carry this`,
      hint: `It is in ${carriers.join(' and ')}.`
    })
  return problems
}

function checkBytes(pattern: Pattern, depth: number): Problem[] {
  const form = formOf(pattern)
  if (form === 'hex' && !/^( *[0-9A-Fa-f]{2})* *$/.test(pattern.hex!))
    return [
      { path: form, message: `${JSON.stringify(pattern.hex)} is not made of pairs of hexadecimal digits`, hint: 'Write 0d 0a 0d 0a.' }
    ]
  const { length } = bytesOf(pattern)
  if (length === 0) return [{ path: form, message: 'an empty pattern is found in every packet' }]
  if (length > LENGTH_MAX) return [{ path: form, message: `the pattern has ${length} bytes, of which ${LENGTH_MAX} fit` }]
  if (form === 'hex' && pattern.ignore_case)
    return [{ path: 'ignore_case', message: 'hex means bytes, which have no case', hint: 'Use text.' }]
  const [first, end] = windowOf(pattern, depth)
  if (end - first >= length) return []
  if (first + length > depth)
    return [
      {
        path: 'offset',
        message: `${length} bytes from ${first} on end behind the first ${depth}, which is the depth`,
        hint: 'Raise depth.'
      }
    ]
  return [{ path: 'within', message: `the pattern has ${length} bytes, more than the ${pattern.within} in which it is to lie` }]
}

/** The same pattern may not mean two verdicts for the same packets. */
function contradictions(rules: Rules, patterns: Patterns): Problem[] {
  const same = new Map<string, [key: string, pattern: Pattern][]>()
  const problems: Problem[] = []
  for (const [key, pattern] of Object.entries(patterns)) {
    const { offset, within: length } = pattern
    const identity = [isName(pattern) && formOf(pattern), ignoresCase(pattern), offset, length, bytesOf(pattern).toString('hex')].join(' ')
    const others = same.get(identity) ?? []
    for (const [other, { rule }] of others) {
      const [theirs, ours] = [rules[rule]!, rules[pattern.rule]!]
      if (theirs.action === ours.action || !meet(theirs, ours) || problems.length === CONTRADICTIONS_TOLD) continue
      problems.push({
        path: `patterns.${key}.rule`,
        message: `${other} is the same pattern, and some packets that hold it would have two verdicts: ${theirs.action} by ${rule}, ${ours.action} by ${pattern.rule}`,
        hint: 'Leave one of them out, or let their rules look into different packets.'
      })
    }
    same.set(identity, [...others, [key, pattern]])
  }
  return problems
}

function tooMany(patterns: Patterns): Problem[] {
  const count = countStates(patterns)
  if (count <= STATES_MAX) return []
  return [
    {
      path: 'patterns',
      message: `the patterns make ${count} states of the search, of which ${STATES_MAX} fit`,
      hint: 'Use fewer or shorter patterns.'
    }
  ]
}
