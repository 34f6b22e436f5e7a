// SPDX-License-Identifier: Apache-2.0
// A kind that the catalogue lacks: new-kind.test.ts adds it to a copy of the project.

import { defineFunction } from '@inkev/bpf/catalogue/define'
import { port } from '@inkev/bpf/catalogue/fields'

export const gate = defineFunction('gate', {
  doc: 'Keeps out what goes to one port.',
  ports: ['inside', 'outside'],
  config: { closed: port({ doc: 'The port that nothing may go to.', example: 23 }) },
  counters: { shut: 'Packets to the closed port.' }
})
