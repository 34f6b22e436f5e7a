// SPDX-License-Identifier: Apache-2.0
// Steps from actual to desired: their order is what keeps packets from being lost.

import { describe, expect, test } from '@jest/globals'
import { planFilling, planMaking, planRemoval, planWiring, type Step } from './plan'
import { type Actual, type ImageWish, programValue, type Wiring, type Wishes } from './state'

const nothing = (): Actual => ({
  namespaces: new Map(),
  objects: new Map(),
  devices: new Map(),
  images: new Map(),
  shared: new Map(),
  hooks: new Map()
})
const noWishes = (): Wishes => ({ namespaces: new Map(), devices: new Map(), objects: new Map(), images: new Map() })
const noWiring = (): Wiring => ({ shared: new Map(), hooks: new Map() })

const fact = (programId: number, digest = 'a') => ({ digest, programId, programs: new Map([['port', programId]]), stale: false })
const wish = (key: string, digest = 'a') => ({ key, object: 'port', id: 1, sizes: {}, digest })
const image = (entries: Record<string, string>): ImageWish => ({
  maps: new Map([['rules', new Map(Object.entries(entries))]]),
  commit: new Map([['generation', new Map([['00', '02']])]]),
  allowed: new Map([['rule_hits', new Set(['0a'])]])
})

function words(steps: Step[]): string[] {
  return steps.map(step => `${step.do} ${step.key}`)
}

describe('making', () => {
  test('asks for namespaces, then devices, then objects', () => {
    const wishes = noWishes()
    wishes.namespaces.set('web1', true).set('web2', false)
    wishes.devices.set('ports/web1', { key: 'ports/web1', name: 'ik-web1', make: { pair: { peer: 'x', mtu: 1 } } })
    wishes.objects.set('core/port', wish('core/port'))
    expect(words(planMaking(wishes, nothing()))).toEqual(['found web1', 'make ports/web1', 'load core/port'])
  })

  test('asks for nothing that is there, and for an object again when its code is another', () => {
    const wishes = noWishes()
    wishes.objects.set('core/port', wish('core/port'))
    const actual = nothing()
    actual.objects.set('core/port', fact(7))
    expect(planMaking(wishes, actual)).toEqual([])
    wishes.objects.set('core/port', wish('core/port', 'b'))
    expect(words(planMaking(wishes, actual))).toEqual(['load core/port'])
  })
})

describe('filling', () => {
  const wishes = noWishes()
  wishes.objects.set('functions/rules', wish('functions/rules'))
  wishes.images.set('functions/rules', image({ '01': 'aa', '02': 'bb' }))
  const actual = nothing()
  actual.objects.set('functions/rules', fact(7))
  actual.images.set(
    'functions/rules',
    new Map([
      [
        'rules',
        new Map([
          ['01', 'aa'],
          ['03', 'cc']
        ])
      ]
    ])
  )

  test('writes what differs, then the switch, then deletes what is stale, before any packet comes', () => {
    expect(planFilling(wishes, actual)).toEqual([
      {
        do: 'sync',
        key: 'functions/rules',
        puts: [{ map: 'rules', entries: new Map([['02', 'bb']]) }],
        commit: [{ map: 'generation', entries: new Map([['00', '02']]) }],
        deletes: [{ map: 'rules', keys: ['03'] }],
        allowed: new Map([['rule_hits', new Set(['0a'])]])
      }
    ])
    expect(planWiring(wishes, noWiring(), actual)).toEqual([])
  })

  test('is a part of the wiring for objects that packets reach', () => {
    const running = { ...actual, shared: new Map([['instances', new Map([[programValue(16), programValue(7)]])]]) }
    const wiring = { ...noWiring(), shared: new Map(running.shared) }
    expect(planFilling(wishes, running)).toEqual([])
    expect(words(planWiring(wishes, wiring, running))).toEqual(['sync functions/rules'])
  })

  test('leaves alone what runs on with other code than was wished', () => {
    const other = { ...actual, objects: new Map([['functions/rules', fact(7, 'b')]]) }
    expect(planFilling(wishes, other)).toEqual([])
  })
})

describe('wiring', () => {
  test('fills what is led to before what leads to it, opens the entrances last, and empties the other way round', () => {
    const filled = (value: string) =>
      new Map(['stitches', 'tunnels', 'panel', 'workloads', 'instances', 'workload_ids'].map(map => [map, new Map([['00', value]])]))
    const wiring = {
      shared: filled('01'),
      hooks: new Map([['ports/web1', { key: 'ports/web1', ifindex: 3, object: 'core/port', program: 'port' }]])
    }
    const actual = nothing()
    actual.objects.set('core/port', fact(7))
    expect(words(planWiring(noWishes(), wiring, actual))).toEqual([
      'put instances',
      'put panel',
      'put stitches',
      'put workloads',
      'put tunnels',
      'put workload_ids',
      'attach ports/web1'
    ])
    const full = { ...actual, shared: filled('01'), hooks: new Map([['ports/web1', { ifindex: 3, programId: 7 }]]) }
    expect(words(planWiring(noWishes(), noWiring(), full))).toEqual([
      'detach ports/web1',
      'delete workload_ids',
      'delete tunnels',
      'delete workloads',
      'delete stitches',
      'delete panel',
      'delete instances'
    ])
  })

  test('replaces a stitch by writes alone', () => {
    const wiring = { shared: new Map([['stitches', new Map([['00', '02']])]]), hooks: new Map() }
    const actual = { ...nothing(), shared: new Map([['stitches', new Map([['00', '01']])]]) }
    expect(planWiring(noWishes(), wiring, actual)).toEqual([{ do: 'put', key: 'stitches', entries: new Map([['00', '02']]) }])
  })

  test('attaches again where the hook has lost its device or runs another program', () => {
    const wiring = {
      shared: new Map(),
      hooks: new Map([['ports/web1', { key: 'ports/web1', ifindex: 3, object: 'core/port', program: 'port' }]])
    }
    const actual = nothing()
    actual.objects.set('core/port', fact(7))
    for (const [hook, expected] of [
      [{ ifindex: 3, programId: 7 }, []],
      [{ ifindex: 0, programId: 7 }, ['attach ports/web1']],
      [{ ifindex: 3, programId: 6 }, ['attach ports/web1']]
    ] as const)
      expect(words(planWiring(noWishes(), wiring, { ...actual, hooks: new Map([['ports/web1', hook]]) }))).toEqual(expected)
  })
})

describe('removal', () => {
  test('unloads what is not wished, dissolves namespaces, and clears the shared maps with the last object', () => {
    const actual = nothing()
    actual.objects.set('networks/web', fact(7))
    actual.namespaces.set('web1', true)
    actual.shared.set('stitches', new Map())
    expect(words(planRemoval(noWishes(), actual))).toEqual(['unload networks/web', 'dissolve web1', 'clear core'])
  })

  test('tidies an object that replaced another', () => {
    const wishes = noWishes()
    wishes.objects.set('networks/web', wish('networks/web'))
    const actual = nothing()
    actual.objects.set('networks/web', { ...fact(7), stale: true })
    expect(words(planRemoval(wishes, actual))).toEqual(['tidy networks/web'])
  })
})
