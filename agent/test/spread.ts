// SPDX-License-Identifier: Apache-2.0
// A user behind a gateway, whose sessions a function of his chain sends on to a backend: agent and provider judge alike whether there is a way.

/** The function: it spreads over one backend, of either IP version. */
export function front(address: string, mode: string) {
  const service = address.includes(':') ? '2001:db8::10' : '203.0.113.10'
  return {
    load_balancer: {
      services: { web: { address: service, port: 80, protocol: 'tcp', mode } },
      backends: { web1: { service: 'web', address, weight: 1, drain: false } }
    }
  }
}

/** The user's port. */
export const user = {
  network: 'users',
  netns: 'user',
  ip_addresses: ['10.0.1.11'],
  configure_addresses: true,
  default_route: true,
  chain: ['front']
}

/** Of the gateway to the user's network. */
export const stitch = { a: { function: 'gateway', port: 'users' }, b: { network: 'users' } }
