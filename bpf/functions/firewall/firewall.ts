// SPDX-License-Identifier: Apache-2.0
// The kind `firewall`: what an operator may say about it, and the kernel tables that follow from it.

import { defineFunction } from '../../catalogue/define'
import { bool, choice, optional, table } from '../../catalogue/fields'
import { sessionFields, sessionSizes } from '../../core/session'
import { checkRules } from './check'
import { RULE_SIZES, ruleImage } from './image'
import { ACTIONS, ruleFields } from './rule'

export const firewall = defineFunction('firewall', {
  doc: 'Lets only those sessions through that its rules allow, and refuses whatever belongs to none.',
  ports: ['inside', 'outside'],
  config: {
    default_ingress: choice(ACTIONS, {
      doc: 'What becomes of new sessions towards the inside that no rule matches.',
      default: 'deny',
      agentOnly: true
    }),
    default_egress: choice(ACTIONS, {
      doc: 'What becomes of new sessions from the inside that no rule matches.',
      default: 'allow',
      agentOnly: true
    }),
    rules: optional(
      table({
        doc: 'Which new sessions are allowed. The rule of lowest priority number that matches decides; replies need no rule.',
        max: 16_384,
        fields: ruleFields
      })
    ),
    rejudge: bool({
      doc: 'Whether changed rules also end established sessions that they no longer allow; else these live on to their end.',
      default: false
    }),
    pick_up: bool({
      doc: 'Whether a TCP or SCTP session may be entered in its middle, as after a move from another firewall; rules judge it as a new one.',
      default: false
    }),
    tcp_window_check: bool({ doc: 'Whether TCP segments outside the window of their session are dropped.', default: true }),
    allow_discovery: bool({
      doc: 'Whether ARP, IPv6 neighbour and router discovery and multicast listener reports pass without a rule.',
      default: true
    }),
    allow_dhcp: bool({ doc: 'Whether the inside may ask for addresses by DHCP and DHCPv6 without a rule.', default: true }),
    ...sessionFields
  },
  counters: {
    denied: 'Packets that a rule or the default action refused in silence.',
    rejected: 'Packets that a rule or the default action refused with an answer.',
    no_session: 'Replies, segments from the middle of a connection and ICMP errors that belong to no session.',
    invalid: 'Packets that contradict the state of their session, or TCP flags that cannot stand together.',
    fragment: 'Fragments of packets whose first fragment was not seen before, was refused, or overlaps them.',
    not_ip: 'Frames that are neither IPv4 nor IPv6, nor ARP that may pass.',
    sessions_opened: 'Sessions that rules have let begin.',
    sessions_ended: 'Sessions that ended because changed rules no longer allow them.'
  },
  check: checkRules,
  image: ruleImage,
  sizes: config => ({ ...sessionSizes(config), ...RULE_SIZES })
})
