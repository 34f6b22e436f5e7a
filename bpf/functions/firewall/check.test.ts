// SPDX-License-Identifier: Apache-2.0
// What a firewall's configuration is refused for, before it comes near a kernel.

import { describe, expect, test } from '@jest/globals'
import { validateConfig } from '../../catalogue/validate'
import { firewall } from './firewall'

const problemsOf = (rules: Record<string, unknown>) => validateConfig(firewall, { rules }).problems
const egress = { direction: 'egress' }

test('a firewall needs no configuration at all', () => {
  expect(validateConfig(firewall, {}).problems).toEqual([])
})

describe('a rule is refused', () => {
  test.each([
    ['whose ports are reversed', { protocol: 'tcp', ports: '9000-8000' }, 'ports', /9000-8000/],
    ['whose ports do not exist', { protocol: 'tcp', source_ports: '70000' }, 'source_ports', /65535/],
    ['with ports and no protocol', { ports: '80' }, 'ports', /any protocol has no ports/],
    ['with ports of a protocol without', { protocol: 'icmp', ports: '80' }, 'ports', /icmp has no ports/],
    ['with source ports of a protocol without', { protocol: '47', source_ports: '80' }, 'source_ports', /47 has no ports/],
    ['with an ICMP type of another protocol', { protocol: 'tcp', icmp_type: 8 }, 'icmp_type', /tcp has no ICMP messages/],
    ['with an ICMP type and no protocol', { icmp_type: 8 }, 'icmp_type', /any protocol has no ICMP messages/],
    ['with an ICMP code without a type', { protocol: 'icmp', icmp_code: 1 }, 'icmp_code', /within a type/],
    ['from one IP version to the other', { source: '10.0.0.0/8', destination: 'fd00::/8' }, 'destination', /one is IPv4, the other IPv6/],
    ['of IPv4’s ICMP with IPv6’s addresses', { protocol: 'icmp', source: 'fd00::/8' }, 'protocol', /icmp is not of the IP version/],
    ['of ICMPv6 with IPv4’s addresses', { protocol: 'icmpv6', destination: '10.0.0.0/8' }, 'protocol', /icmpv6 is not/],
    ['whose address has host bits set', { source: '10.0.0.1/8' }, 'source', /10\.0\.0\.0\/8/],
    ['of a protocol that is none', { protocol: '256' }, 'protocol', /256/]
  ])('%s', (_, rule, field, message) => {
    expect(problemsOf({ bad: { ...egress, ...rule } })).toMatchObject([
      { path: `rules.bad.${field}`, message: expect.stringMatching(message) }
    ])
  })
})

describe('rules of equal priority', () => {
  test('that do different things with the same packets are refused', () => {
    const rules = { web: { ...egress, protocol: 'tcp', ports: '80-90' }, none: { ...egress, protocol: 'tcp', ports: '85', action: 'deny' } }
    expect(problemsOf(rules)).toEqual([
      {
        path: 'rules.none.priority',
        message: 'web (allow) and none (deny) have the same priority, 1000, and some packets match both',
        hint: 'Give one of them another priority: the lower number decides.'
      }
    ])
  })

  test.each([
    ['agree', {}, {}],
    ['have other ports', { protocol: 'tcp', ports: '80' }, { protocol: 'tcp', ports: '81', action: 'deny' }],
    ['have other source ports', { protocol: 'tcp', source_ports: '80' }, { protocol: 'tcp', source_ports: '81', action: 'deny' }],
    ['have other protocols', { protocol: 'tcp' }, { protocol: 'udp', action: 'deny' }],
    ['have other directions', {}, { direction: 'ingress', action: 'deny' }],
    ['have other sources', { source: '10.0.0.0/24' }, { source: '10.0.1.0/24', action: 'deny' }],
    ['have other destinations', { destination: 'fd00::/64' }, { destination: 'fd00:0:0:1::/64', action: 'deny' }],
    ['are of different IP versions', { source: '0.0.0.0/0' }, { source: '::/0', action: 'deny' }],
    ['mean different ICMP types', { protocol: 'icmp', icmp_type: 8 }, { protocol: 'icmp', icmp_type: 13, action: 'reject' }],
    ['have another priority', {}, { priority: 1, action: 'deny' }]
  ])('are accepted where they %s', (_, a, b) => {
    expect(problemsOf({ a: { ...egress, ...a }, b: { ...egress, ...b } })).toEqual([])
  })

  test('of which thousands contradict each other are told in a few sentences', () => {
    const rules = Object.fromEntries(Array.from({ length: 2000 }, (_, n) => [`r${n}`, { ...egress, action: n % 2 ? 'deny' : 'allow' }]))
    expect(problemsOf(rules)).toHaveLength(8)
  })
})

test('rules that need more entries than the kernel’s tables have are refused', () => {
  const wide = (n: number) => ({ ...egress, protocol: 'tcp', source_ports: '1-65534', ports: '1-65534', source: `10.0.${n}.0/24` })
  const rules = Object.fromEntries(Array.from({ length: 80 }, (_, n) => [`r${n}`, wide(n)]))
  expect(problemsOf(rules)).toMatchObject([{ path: 'rules', message: 'the rules make 72000 table entries, of which 65536 fit' }])
})

test('the check of many rules of one priority does not compare each with each', () => {
  const rule = (n: number) => ({
    ...egress,
    action: n % 2 ? 'deny' : 'allow',
    protocol: 'tcp',
    ports: `${1 + n}`,
    source: `10.0.${n % 256}.0/24`
  })
  const checkingTime = (count: number) => {
    const rules = Object.fromEntries(Array.from({ length: count }, (_, n) => [`r${n}`, rule(n)]))
    const before = process.cpuUsage()
    expect(problemsOf(rules)).toEqual([])
    const { user, system } = process.cpuUsage(before)
    return user + system
  }
  const [few, many] = [checkingTime(2500), checkingTime(10_000)]
  expect(many / few).toBeLessThan(9) // each with each: 16
})
