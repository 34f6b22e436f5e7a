// SPDX-License-Identifier: Apache-2.0
// Kinds that only tests load; they are not in the catalogue.

import { defineFunction } from '../catalogue/define'

/** forwarder.bpf.c */
export const forwarder = defineFunction('forwarder', {
  doc: 'Sends what comes in by one port out by the other.',
  ports: ['inside', 'outside'],
  config: {},
  counters: {}
})

/** answers.bpf.c */
export const answers = defineFunction('answers', {
  doc: 'Turns packets into answers, as their destination ports ask for.',
  ports: ['inside', 'outside'],
  config: {},
  counters: {}
})
