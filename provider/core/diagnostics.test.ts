// SPDX-License-Identifier: Apache-2.0
// Where a failure is shown, and in which words.

import { describe, expect, test } from '@jest/globals'
import { AgentError } from './agent'
import { errorDiagnostics, pathOf } from './diagnostics'
import { resources } from './resources/index'

const { attributes } = resources.inkev_network!

describe('the path of a field', () => {
  test.each([
    ['vni', [{ attribute: 'vni' }]],
    ['subnets.v4.cidr', [{ attribute: 'subnets' }, { key: 'v4' }, { attribute: 'cidr' }]],
    ['subnets.rack.4.cidr', [{ attribute: 'subnets' }, { key: 'rack.4' }, { attribute: 'cidr' }]],
    ['hosts.1', [{ attribute: 'hosts' }, { index: 1 }]],
    ['unheard.of', []]
  ])('%s', (field, path) => expect(pathOf(attributes, field)).toEqual(path))

  test('goes through nested objects', () => {
    expect(pathOf(resources.inkev_function!.attributes, 'router.interfaces.web.address')).toEqual([
      { attribute: 'router' },
      { attribute: 'interfaces' },
      { key: 'web' },
      { attribute: 'address' }
    ])
  })
})

describe('an agent’s refusal', () => {
  const refusal = new AgentError('edge-1', 'VNI 7 belongs to network other', { path: 'subnets.v4.cidr', hint: 'Take another' })

  test('stands at the attribute, as deep as Terraform can show it, and ends with what to do', () => {
    expect(errorDiagnostics(refusal, attributes)).toEqual([
      {
        severity: 'error',
        summary: 'edge-1 refuses subnets.v4.cidr',
        detail: 'VNI 7 belongs to network other. Take another.',
        path: [{ attribute: 'subnets' }, { key: 'v4' }]
      }
    ])
  })

  test('is told once when several hosts say the same', () => {
    const other = new AgentError('edge-2', refusal.message, { path: refusal.path, hint: refusal.hint })
    expect(errorDiagnostics(new AggregateError([refusal, other]), attributes)).toHaveLength(1)
  })
})
