// SPDX-License-Identifier: Apache-2.0
// The kind `inspect`: what an operator may say about it, and the kernel tables that follow from it.

import { defineFunction } from '../../catalogue/define'
import { table, u32 } from '../../catalogue/fields'
import { sessionFields } from '../../core/session'
import { checkInspection } from './check'
import { inspectImage, inspectSizes } from './image'
import { patternFields } from './pattern'
import { ruleFields } from './rule'

export const inspect = defineFunction('inspect', {
  doc: 'Looks into the payload of packets for byte patterns, DNS names and TLS server names, and drops, copies, diverts or counts those that hold one.',
  ports: ['inside', 'outside', 'matched'],
  config: {
    rules: table({
      doc: 'Which packets are looked into, and what becomes of those in which a pattern is found.',
      max: 32,
      fields: ruleFields
    }),
    patterns: table({ doc: 'What is looked for.', max: 1024, fields: patternFields }),
    depth: u32({
      doc: 'How many bytes of a payload are looked at. A train of TCP segments that the kernel has not cut yet is one payload.',
      default: 1500,
      min: 1,
      max: 65_535,
      agentOnly: true
    }),
    ...sessionFields
  },
  counters: {
    dropped: 'Packets that a rule dropped.',
    stray: 'Packets that came in by `matched` and belong to no diverted flow.',
    matched: 'Packets in which a pattern was found.',
    mirrored: 'Packets of which a copy left by `matched`.',
    diverted: 'Packets that left by `matched` in place of their way.',
    followed: 'Packets that had the verdict of their flow.',
    fragment: 'Packets that passed unseen, as they are later fragments.'
  },
  example: {
    rules: {
      phishing: { direction: 'egress', protocol: 'udp', ports: '53', action: 'drop' },
      leaks: { direction: 'egress', protocol: 'tcp', ports: '80', action: 'mirror', follow: true }
    },
    patterns: {
      'lookalike-bank': { rule: 'phishing', dns_name: 'bank.example' },
      confidential: { rule: 'leaks', text: 'strictly confidential', ignore_case: true }
    }
  },
  check: checkInspection,
  image: inspectImage,
  sizes: inspectSizes
})
