// SPDX-License-Identifier: Apache-2.0
// What an inspection's configuration is refused for, before it comes near a kernel.

import { describe, expect, test } from '@jest/globals'
import { validateConfig } from '../../catalogue/validate'
import { inspect } from './inspect'

const RULES = {
  web: { action: 'drop', protocol: 'tcp', ports: '80' },
  any: { action: 'drop' },
  voice: { action: 'count', protocol: 'sctp' }
}

type Rows = Record<string, Record<string, unknown>>
const problemsOf = (patterns: Rows, rules: Rows = RULES, more = {}) => validateConfig(inspect, { rules, patterns, ...more }).problems

describe('a pattern is refused', () => {
  test.each([
    ['that looks for nothing', {}, '', /nothing to look for/],
    ['that looks for two things', { text: 'a', dns_name: 'a.example' }, '', /text and dns_name/],
    ['of no rule', { rule: 'none', text: 'a' }, '.rule', /no rule none/],
    ['that is empty', { text: '' }, '.text', /empty pattern/],
    ['of no bytes', { hex: ' ' }, '.hex', /empty pattern/],
    ['of half a byte', { hex: '0d 0' }, '.hex', /pairs of hexadecimal digits/],
    ['that is too long', { text: 'x'.repeat(129) }, '.text', /129 bytes, of which 128 fit/],
    ['that is too long for its characters are', { text: 'ö'.repeat(65) }, '.text', /130 bytes/],
    ['of too many bytes', { hex: '61 '.repeat(129) }, '.hex', /129 bytes, of which 128 fit/],
    ['of more digits than any has', { hex: '61'.repeat(300) }, '.hex', /512/],
    ['of bytes without case', { hex: '61', ignore_case: true }, '.ignore_case', /no case/],
    ['behind the depth', { text: 'ab', offset: 1499 }, '.offset', /behind the first 1500/],
    ['that does not fit its window', { text: 'abc', within: 2 }, '.within', /3 bytes, more than the 2/],
    ['whose offset no packet has', { text: 'a', offset: 70_000 }, '.offset', /65534/],
    ['of a name that is none', { dns_name: 'a..example' }, '.dns_name', /not a DNS name/],
    ['of a name with a label that is too long', { tls_name: `${'x'.repeat(64)}.example` }, '.tls_name', /not a DNS name/],
    ['of a name that is too long', { dns_name: `${'label.'.repeat(41)}examples.` }, '.dns_name', /254 characters, of which 253 fit/],
    ['of a name at an offset', { dns_name: 'a.example', offset: 2 }, '.offset', /where its protocol has it/],
    ['of a name within a window', { tls_name: 'a.example', within: 20 }, '.within', /where its protocol has it/],
    ['of DNS in a protocol that does not carry it', { rule: 'voice', dns_name: 'a.example' }, '.rule', /sctp, which does not carry/]
  ])('%s', (_, pattern, field, message) => {
    expect(problemsOf({ bad: { rule: 'any', ...pattern } })).toMatchObject([
      { path: `patterns.bad${field}`, message: expect.stringMatching(message) }
    ])
  })
})

describe('a rule is refused', () => {
  test.each([
    ['with ports of a protocol without', { action: 'drop', protocol: 'icmp', ports: '80' }, 'ports', /icmp has no ports/],
    ['with source ports and no protocol', { action: 'drop', source_ports: '80' }, 'source_ports', /any protocol has no ports/],
    ['whose ports are reversed', { action: 'drop', protocol: 'tcp', ports: '9-8' }, 'ports', /9-8/],
    ['that counts and follows', { action: 'count', follow: true }, 'follow', /no verdict/]
  ])('%s', (_, rule, field, message) => {
    expect(problemsOf({}, { bad: rule })).toMatchObject([{ path: `rules.bad.${field}`, message: expect.stringMatching(message) }])
  })
})

describe('a pattern under two rules with different verdicts', () => {
  const rules = (a: object, b: object) => ({ first: { action: 'drop', ...a }, second: { action: 'divert', ...b } })
  const patterns = { one: { rule: 'first', text: 'evil' }, two: { rule: 'second', text: 'evil' } }

  test('is refused where both look into the same packets', () => {
    expect(problemsOf(patterns, rules({}, { protocol: 'tcp' }))).toMatchObject([
      { path: 'patterns.two.rule', message: expect.stringMatching(/^one is the same pattern.* drop by first, divert by second$/) }
    ])
  })

  test.each([
    ['agree', {}, { action: 'drop' }],
    ['look into other directions', { direction: 'egress' }, { direction: 'ingress' }],
    ['look into other protocols', { protocol: 'tcp' }, { protocol: 'udp' }],
    ['look into other ports', { protocol: 'tcp', ports: '80-90' }, { protocol: 'tcp', ports: '91' }]
  ])('is accepted where the rules %s', (_, a, b) => {
    expect(problemsOf(patterns, rules(a, b))).toEqual([])
  })

  test('is accepted where the patterns differ by place or case', () => {
    const other = (more: object) => problemsOf({ ...patterns, two: { ...patterns.two, ...more } }, rules({}, {}))
    expect([{ offset: 1 }, { within: 9 }, { ignore_case: true }, { text: undefined, hex: '6576696d' }].map(other)).toEqual([[], [], [], []])
  })
})

test('rules are refused of which there are too many', () => {
  const many = Object.fromEntries(Array.from({ length: 33 }, (_, n) => [`r${n}`, { action: 'drop' }]))
  expect(problemsOf({}, many)).toMatchObject([{ path: 'rules', message: expect.stringMatching(/33 entries are too many/) }])
})

describe('patterns are refused', () => {
  test('of which there are too many', () => {
    const many = Object.fromEntries(Array.from({ length: 1025 }, (_, n) => [`p${n}`, { rule: 'any', text: `${n}` }]))
    expect(problemsOf(many)).toMatchObject([{ path: 'patterns', message: expect.stringMatching(/1025 entries are too many/) }])
  })

  test('that need more states than the kernel’s table has', () => {
    const long = Object.fromEntries(Array.from({ length: 140 }, (_, n) => [`p${n}`, { rule: 'any', text: `${n}`.padEnd(128, 'x') }]))
    expect(problemsOf(long)).toMatchObject([
      { path: 'patterns', message: expect.stringMatching(/\d+ states of the search, of which 16384 fit/) }
    ])
  })
})
