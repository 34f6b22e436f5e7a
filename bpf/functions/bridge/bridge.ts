// SPDX-License-Identifier: Apache-2.0
// The kind `bridge`: the layer 2 of a network on one host. The agent makes one for every network; an operator configures it by the network.

import { defineFunction } from '../../catalogue/define'
import { bool, duration, vni } from '../../catalogue/fields'
import { bridgeImage } from './image'

export const bridge = defineFunction('bridge', {
  doc: 'Brings frames to the workload, the function or the host that has their destination address.',
  /** Functions stitched to the network lie at the ports from 2 on. */
  ports: ['workloads', 'overlay'],
  config: {
    vni: vni({ doc: 'Names the network in tunnels.', example: 100 }),
    aging_time: duration({ doc: 'Time after which a learned address that is silent is forgotten.', default: '300s' }),
    learning: bool({ doc: 'Whether addresses that nobody has declared are learned from the frames that they send.', default: true }),
    suppression: bool({ doc: 'Whether ARP and neighbour discovery for known addresses are answered on the spot.', default: true })
  },
  counters: {
    bad_source: 'Frames whose source is a multicast address.',
    reserved: 'Frames to addresses that no bridge passes on (01:80:c2:00:00:00 to 0f).',
    filtered: 'Frames whose destination lies where they came from.',
    flooded: 'Broadcasts, multicasts and frames to unknown addresses, sent to all.',
    suppressed: 'ARP requests and neighbour solicitations answered on the spot.',
    moved: 'Learned addresses that were seen at another place.'
  },
  image: bridgeImage,
  internal: true
})
