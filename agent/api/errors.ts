// SPDX-License-Identifier: Apache-2.0
// Every error that an agent answers or dies of: its code, the HTTP status and what the reader can do about it.

import type { ErrorBody } from './resources'

export interface ErrorKind {
  status: number
  /** What the code stands for, one sentence. */
  doc: string
  /** What to do, where no better hint is given on the spot. */
  hint?: string
}

/** The catalogue. A code, once published, keeps its meaning. */
export const errorKinds = {
  // The request.
  INKEV_ERR_MALFORMED: { status: 400, doc: 'The body is not JSON.', hint: 'Send one JSON object, with content-type application/json.' },
  INKEV_ERR_SCHEMA: {
    status: 422,
    doc: 'A field is missing, unknown, or of the wrong form.',
    hint: 'GET /openapi.json describes every field.'
  },
  INKEV_ERR_NAME: {
    status: 422,
    doc: 'A name breaks the rules.',
    hint: 'Use 1 to 40 lower-case letters, digits and dashes, with a letter or digit at each end.'
  },
  INKEV_ERR_UNAUTHENTICATED: {
    status: 401,
    doc: 'The caller shows neither a valid token nor a client certificate.',
    hint: 'Check the token, or the certificate and its CA.'
  },
  INKEV_ERR_FORBIDDEN: { status: 403, doc: 'The caller’s roles do not allow this.', hint: 'Ask for a token that has the role.' },
  INKEV_ERR_NOT_FOUND: { status: 404, doc: 'There is no such object.' },
  INKEV_ERR_NO_ROUTE: { status: 404, doc: 'There is no such path or method.', hint: 'GET /openapi.json lists them.' },
  INKEV_ERR_PRECONDITION: {
    status: 412,
    doc: 'The object is not what If-Match or If-None-Match expects.',
    hint: 'Read it again, then decide.'
  },

  // The object by itself.
  INKEV_ERR_KIND: {
    status: 422,
    doc: 'A function has no kind or more than one.',
    hint: 'Give exactly one attribute, the kind, with its configuration.'
  },
  INKEV_ERR_CONFIG: { status: 422, doc: 'A kind refuses its configuration.' },
  INKEV_ERR_SUBNET_OVERLAP: { status: 422, doc: 'Two subnets of one network overlap.', hint: 'Give them distinct ranges.' },
  INKEV_ERR_OUTSIDE_SUBNET: {
    status: 422,
    doc: 'An address lies in no subnet of its network.',
    hint: 'Take an address of one of the subnets, or add a subnet to the network.'
  },
  INKEV_ERR_NOT_A_HOST_ADDRESS: {
    status: 422,
    doc: 'An address names a whole network or a group, not one interface.',
    hint: 'Take a unicast address between the first and the last of the subnet.'
  },
  INKEV_ERR_STITCH_END: {
    status: 422,
    doc: 'An end of a stitch does not say exactly one thing.',
    hint: 'Give one of {function, port}, {network}, {port} (a workload port without network), {interface}.'
  },
  INKEV_ERR_PLACE: {
    status: 422,
    doc: 'A port says both or neither of netns and interface.',
    hint: 'Give netns (a veth is made into it) or interface (an existing device).'
  },
  INKEV_ERR_NEEDS: { status: 422, doc: 'A field makes sense only beside another, which is missing.' },

  INKEV_ERR_PROGRAM: {
    status: 422,
    doc: 'An uploaded program cannot be one of inkev’s functions.',
    hint: 'Compile it with clang -O2 -g -target bpf and inkev/function.h.'
  },
  INKEV_ERR_POLICY: {
    status: 422,
    doc: 'The host’s policy does not allow an uploaded program.',
    hint: 'Change the program; or ask the host’s administrator for another --program-policy of the agent.'
  },
  INKEV_ERR_SIGNATURE: {
    status: 422,
    doc: 'No key that the host trusts has signed an uploaded program.',
    hint: 'Give the signature of the ELF in base64: openssl pkeyutl -sign -rawin -inkey KEY -in ELF | base64 -w0.'
  },

  // The object beside others.
  INKEV_ERR_LAYOUT: {
    status: 422,
    doc: 'The next version of a program, or other sizes of a kind’s tables, cannot take over the memory of what runs.',
    hint: 'Put new fields behind all others; or give the map another name, so that it starts empty.'
  },
  INKEV_ERR_VNI_TAKEN: { status: 409, doc: 'Another network has the VNI.', hint: 'Give each network a VNI of its own.' },
  INKEV_ERR_ADDRESS_TAKEN: {
    status: 409,
    doc: 'Another port or endpoint of the network has the address.',
    hint: 'Give each port addresses of its own.'
  },
  INKEV_ERR_MAC_TAKEN: {
    status: 409,
    doc: 'Another port or endpoint of the network has the MAC.',
    hint: 'Leave mac out to have one derived.'
  },
  INKEV_ERR_DEVICE_TAKEN: { status: 409, doc: 'Another port or stitch uses the device.', hint: 'Use a device for one thing only.' },
  INKEV_ERR_NO_SUCH_PORT: { status: 422, doc: 'The function has no such port.' },
  INKEV_ERR_PORT_TAKEN: {
    status: 409,
    doc: 'Another stitch ends at the port.',
    hint: 'Delete that stitch, or change both in one POST /v1/bulk.'
  },
  INKEV_ERR_LOOP: {
    status: 422,
    doc: 'The stitches form a loop in which nothing stops a packet.',
    hint: 'Leave one stitch of the loop out, or put a function that routes into it.'
  },
  INKEV_ERR_NOT_CHAINABLE: {
    status: 422,
    doc: 'The function cannot stand between a workload and its network.',
    hint: 'Chains take functions with the ports inside and outside.'
  },
  INKEV_ERR_FUNCTION_BOUND: {
    status: 409,
    doc: 'A function is named by a chain and by a stitch.',
    hint: 'Use a function either in the chains of ports or in stitches: make two of them.'
  },
  INKEV_ERR_IN_USE: { status: 409, doc: 'Other objects use it.', hint: 'Delete or change them first.' },
  INKEV_ERR_FULL: { status: 409, doc: 'No number is left for one more.', hint: 'Delete what is not needed.' },

  // The host.
  INKEV_ERR_NETNS_MISSING: {
    status: 422,
    doc: 'There is no such network namespace.',
    hint: 'Create it (ip netns add NAME), or set create_netns = true.'
  },
  INKEV_ERR_INTERFACE_MISSING: {
    status: 422,
    doc: 'The host has no such network device.',
    hint: 'Create it first; `ip link` lists those there are.'
  },
  INKEV_ERR_TOO_LARGE: {
    status: 422,
    doc: 'A trace would have to copy more of the kernel’s tables than it may.',
    hint: 'Trace a packet that does not come to this function, or make its tables smaller (max_sessions).'
  },
  INKEV_ERR_NO_CAPTURE: {
    status: 409,
    doc: 'The function captures nothing.',
    hint: 'Listen to one that does: a mirror with to = "capture".'
  },
  INKEV_ERR_KERNEL: { status: 422, doc: 'The kernel refused a step.' },
  INKEV_ERR_VERIFIER: {
    status: 422,
    doc: 'The kernel’s verifier refused a program.',
    hint: 'The agent’s log holds the verifier’s last lines.'
  },
  INKEV_ERR_TIMEOUT: {
    status: 503,
    doc: 'The kernel did not follow in time; the agent goes on trying.',
    hint: 'Ask for the object’s status, or repeat the request.'
  },
  INKEV_ERR_INTERNAL: { status: 500, doc: 'A fault of the agent itself.', hint: 'Report it, with the agent’s log.' },

  // The start: the agent says these and ends.
  INKEV_ERR_OPTION: { status: 500, doc: 'A command line option is unknown, missing or wrong.', hint: 'inkev-agent --help lists them.' },
  INKEV_ERR_INSECURE: {
    status: 500,
    doc: 'An address beyond this host would be open to anyone.',
    hint: 'Listen on a unix socket or loopback, or give --tls-cert and --tls-key with --tls-ca or --token-file.'
  },
  INKEV_ERR_UPLINK_MISSING: {
    status: 422,
    doc: 'The host has no uplink, or it is no device of the host or has no address.',
    hint: 'Give an existing device by --uplink, and its address by --vtep.'
  },
  INKEV_ERR_UNSUPPORTED: {
    status: 500,
    doc: 'The kernel lacks what inkev needs.',
    hint: 'Run Linux 6.6 or later with eBPF, BTF, tcx and veth, as root.'
  },
  INKEV_ERR_BUSY: { status: 500, doc: 'Another agent uses the state directory.', hint: 'Stop it, or give each agent a --state of its own.' }
} as const satisfies Record<string, ErrorKind>

export type ErrorCode = keyof typeof errorKinds

/** An error for a client, or for the one who started the agent. */
export class InkevError extends Error {
  readonly status: number
  readonly hint: string | undefined

  constructor(
    readonly code: ErrorCode,
    message: string,
    /** The field, dotted, as `subnets.v4.cidr`. */
    readonly path?: string,
    hint?: string,
    cause?: unknown
  ) {
    super(message, { cause })
    const kind: ErrorKind = errorKinds[code]
    this.status = kind.status
    this.hint = hint ?? kind.hint
  }

  get body(): ErrorBody {
    const { code, message, path, hint } = this
    return { error: { code, message, ...(path && { path }), ...(hint && { hint }) } }
  }
}
