// SPDX-License-Identifier: Apache-2.0
// Who may call: the operator of a unix socket or of loopback, the holder of a token, the owner of a client certificate.

import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { TLSSocket } from 'node:tls'
import { InkevError } from '../../api/errors'
import { type Options, ROLES, type Role, type Token } from '../options'

/** Throws unless the caller has the role. `trusted` callers came by a way that the host itself guards: the unix socket. */
export type Authorize = (request: IncomingMessage, role: Role, trusted: boolean) => void

export function authorizer({ tls, tokens }: Pick<Options, 'tls' | 'tokens'>): Authorize {
  if (!tls?.ca && !tokens) return () => {}
  return (request, role, trusted) => {
    if (trusted) return
    const roles = rolesOfCertificate(request) ?? rolesOfToken(request, tokens ?? [])
    if (!roles) throw new InkevError('INKEV_ERR_UNAUTHENTICATED', 'the request carries no valid token and no client certificate')
    if (!roles.includes(role))
      throw new InkevError('INKEV_ERR_FORBIDDEN', `this needs the role ${role}; the caller has ${roles.join(', ') || 'none'}`)
  }
}

/** A certificate's organizational units name its roles; without any it has all. */
function rolesOfCertificate({ socket }: IncomingMessage): readonly Role[] | undefined {
  if (!(socket as TLSSocket).authorized) return undefined
  const units = [(socket as TLSSocket).getPeerCertificate().subject?.OU ?? []].flat()
  const named = ROLES.filter(role => units.includes(role))
  return named.length === 0 ? ROLES : withRead(named)
}

function rolesOfToken({ headers }: IncomingMessage, tokens: Token[]): Role[] | undefined {
  const secret = /^Bearer (.+)$/i.exec(headers.authorization ?? '')?.[1]
  if (!secret) return undefined
  const digest = createHash('sha256').update(secret).digest()
  const token = tokens.find(({ token_sha256 }) => timingSafeEqual(Buffer.from(token_sha256, 'hex'), digest))
  return token && withRead(token.roles)
}

function withRead(roles: Role[]): Role[] {
  return roles.includes('operate') && !roles.includes('read') ? ['read', ...roles] : roles
}
