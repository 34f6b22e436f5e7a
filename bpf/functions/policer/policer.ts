// SPDX-License-Identifier: Apache-2.0
// The kind `policer`: what an operator may say about it, and the kernel tables that follow from it.

import { defineFunction } from '../../catalogue/define'
import { table, u32 } from '../../catalogue/fields'
import { checkLimits } from './check'
import { bucketSizes, limitImage } from './image'
import { limitFields } from './limit'

export const policer = defineFunction('policer', {
  doc: 'Holds traffic to rates, of bits or of packets, and writes DSCPs.',
  ports: ['inside', 'outside'],
  config: {
    limits: table({
      doc: 'What is limited, and to which rate. Every packet meets one limit at most; packets that none means pass.',
      max: 128,
      fields: limitFields
    }),
    max_flows: u32({
      doc: 'Flows that have a rate of their own at once, where limits are per flow; where there are more, those silent for longest start anew.',
      default: 32_768,
      min: 1024,
      max: 4_194_304,
      agentOnly: true
    })
  },
  counters: {
    dropped: 'Packets beyond the rate that were dropped.',
    marked: 'Packets that passed with a congestion mark, as less than half of the burst was left.'
  },
  example: {
    limits: {
      upload: { direction: 'egress', rate: '100mbit' },
      voice: { direction: 'egress', dscp: 46, packet_rate: 1000, per: 'flow' },
      download: { direction: 'ingress', rate: '200mbit', exceed: 'mark' }
    }
  },
  check: checkLimits,
  image: limitImage,
  sizes: bucketSizes
})
