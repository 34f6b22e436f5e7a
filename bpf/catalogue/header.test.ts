// SPDX-License-Identifier: Apache-2.0
// What is made of a declaration: the C header, the entry of the map config, the example and the page of reference.

import { describe, expect, test } from '@jest/globals'
import { configEntry } from './config'
import { exampleConfig, hcl } from './example'
import { balancer } from './fixtures/balancer'
import { kindHeader } from './header'
import { kindReference } from './reference'
import { validateConfig } from './validate'

describe('the C header', () => {
  const header = kindHeader(balancer)

  test("numbers the kind's counters behind those of the road", () => {
    expect(header).toContain('\tLOAD_BALANCER_NO_SERVER = CORE_COUNTERS,\n')
    expect(header).toContain('#define COUNTERS_MAX (CORE_COUNTERS + 2)\n')
  })

  test('names the ports and the sizes of the tables', () => {
    expect(header).toContain('#define LOAD_BALANCER_PORT_INSIDE  0\n#define LOAD_BALANCER_PORT_OUTSIDE 1\n')
    expect(header).toContain('#define LOAD_BALANCER_SERVERS_MAX 2\n')
  })

  test('has an enum of one byte for each choice, also for those of rows', () => {
    expect(header).toContain(
      'enum load_balancer_mode {\n\tLOAD_BALANCER_MODE_NAT,\n\tLOAD_BALANCER_MODE_DIRECT_RETURN,\n} __attribute__((packed));\n'
    )
    expect(header).toContain('enum load_balancer_servers_health {\n\tLOAD_BALANCER_SERVERS_HEALTH_TCP,')
  })

  test('has a struct of the scalars that C can hold, each with its sentence; what may be left out has a switch', () => {
    const members = header.slice(header.indexOf('struct load_balancer_config {'), header.indexOf('};\n\nstruct {'))
    expect(members.replaceAll(/\t\/\*.*\*\/\n/g, '').split('\n\t')).toEqual([
      'struct load_balancer_config {',
      'enum load_balancer_mode mode;',
      'bool_t sticky;',
      'ipv4_t address;',
      'ip_t source;',
      'bool_t has_source;',
      'mac_t hardware;',
      'bool_t has_hardware;',
      'prefix_t clients;',
      'bool_t has_clients;',
      'duration_t timeout;',
      'bitrate_t limit;',
      'bool_t has_limit;',
      'port_t listen;',
      'protocol_t protocol;\n'
    ])
    expect(members).toContain('\t/* Idle time after which a session is forgotten. */\n\tduration_t timeout;')
  })

  test('has no map config where no scalar is to be read', () => {
    const { resolvers, servers } = balancer.config
    const bare = kindHeader({ ...balancer, config: { resolvers, servers } })
    expect(bare).not.toContain('SEC(".maps")')
    expect(bare).not.toContain('struct')
  })

  test('breaks long sentences where the formatter would', () => {
    for (const line of header.split('\n')) expect(line.replaceAll('\t', ' '.repeat(8)).length).toBeLessThanOrEqual(100)
  })
})

describe('the entry of the map config', () => {
  test('holds the scalars of the struct, and not those that are left out', () => {
    const { config } = validateConfig(balancer, { address: '203.0.113.7', listen: 443, servers: { a: { address: '10.0.0.1' } } })
    expect(configEntry(balancer, config)).toEqual({
      key: 0,
      value: { mode: 'nat', sticky: true, address: '203.0.113.7', timeout: '30s', listen: 443, protocol: 'tcp' }
    })
  })

  test('is none for a kind without such scalars', () => {
    expect(configEntry({ ...balancer, config: { servers: balancer.config.servers } }, {})).toBeUndefined()
  })
})

describe('the example', () => {
  test('is valid, and holds what is required, what has an example, and a row of each table', () => {
    const example = exampleConfig(balancer)
    expect(example).toEqual({
      address: '203.0.113.7',
      clients: '10.0.0.0/8',
      listen: 443,
      servers: { 'server-1': { address: '10.0.1.11' } }
    })
    expect(validateConfig(balancer, example).problems).toEqual([])
  })

  test('is written as terraform fmt has it', () => {
    expect(hcl({ on: true, table: { a: { b: 1 } }, name: 'x' })).toBe(
      ['{', '  on   = true', '  name = "x"', '  table = {', '    a = {', '      b = 1', '    }', '  }', '}'].join('\n')
    )
  })
})

test('the page of reference tells every field, row and counter', () => {
  const page = kindReference(balancer)
  expect(page).toContain('| `mode` | `nat`, `direct-return` | `"nat"` | How replies travel. |')
  expect(page).toContain('| `weight` | u32, 1 to 256 | `1` | Share. |')
  expect(page).toContain('| `no_server` | Packets for which no server was left. |')
  expect(page).toContain('`inside`, `outside`. A workload port can name the function in its `chain`.')
})
