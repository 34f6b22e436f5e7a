// SPDX-License-Identifier: Apache-2.0
// The methods that the shim calls: wire messages in and out, the lifecycle between.

import { schemaProblems } from './check'
import { dataSources } from './data/index'
import { type Diagnostic, errorDiagnostics, problemDiagnostic } from './diagnostics'
import * as lifecycle from './lifecycle'
import type { Private } from './placement'
import { withDefaults } from './plan'
import { agentsOf, providerProblems } from './provider'
import { resources } from './resources/index'
import { fromWire, type Members, toWire, UNKNOWN, type WireValue } from './value'
import { complete, type Path } from './walk'
import { World } from './world'

export interface Request {
  call: number
  method: string
  type: string
  config?: WireValue
  prior?: WireValue
  proposed?: WireValue
  planned?: WireValue
  identity?: WireValue
  private?: Private
  id?: string
}

export interface Response {
  sha256?: string
  state?: WireValue
  identity?: WireValue
  private?: Private
  replace?: Path[]
  diagnostics?: Diagnostic[]
}

/** The digest of the descriptor, as the build has found it. */
declare const DESCRIPTOR_SHA256: string

/** What Configure made of the provider block. Each run of Terraform configures anew, so nothing outlives a run. */
let world = new World(undefined)

export const methods: Record<string, (request: Request, signal: AbortSignal) => Promise<Response>> = {
  async Handshake() {
    return { sha256: DESCRIPTOR_SHA256 }
  },

  async ValidateProvider({ config }) {
    return { diagnostics: providerProblems(members(config)!).map(problemDiagnostic) }
  },

  async Configure({ config }) {
    return told(async () => {
      world = new World(agentsOf(members(config)!, process.env))
      return {}
    })
  },

  async Validate({ type, config }) {
    return { diagnostics: lifecycle.validate(resources[type]!, members(config)!) }
  },

  async Plan({ type, config, prior, proposed, identity, private: kept = {} }, signal) {
    const request = {
      config: members(config),
      prior: members(prior),
      proposed: members(proposed),
      identity: members(identity),
      private: kept
    }
    return onWire(await lifecycle.plan(resources[type]!, request, world, signal))
  },

  async Apply({ type, config, prior, planned, identity, private: kept = {} }, signal) {
    const request = {
      config: members(config),
      prior: members(prior),
      planned: members(planned),
      identity: members(identity),
      private: kept
    }
    return onWire(await lifecycle.apply(resources[type]!, request, world, signal))
  },

  async Read({ type, prior, identity, private: kept = {} }, signal) {
    return onWire(
      await lifecycle.read(resources[type]!, { prior: members(prior)!, identity: members(identity), private: kept }, world, signal)
    )
  },

  async Import({ type, id = '', identity }, signal) {
    return told(async () => onWire(await lifecycle.importState(resources[type]!, id, members(identity), world, signal)))
  },

  async ValidateData({ type, config }) {
    return { diagnostics: schemaProblems(dataSources[type]!.attributes, members(config)!).map(problemDiagnostic) }
  },

  async ReadData({ type, config }, signal) {
    const { attributes, read } = dataSources[type]!
    const given = members(config)!
    return told(async () => {
      const asked = withDefaults(attributes, { config: given, proposed: given })
      return { state: toWire(complete(attributes, { ...asked, ...(await read(world.session(signal), asked)) })) }
    }, attributes)
  }
}

function members(wire: WireValue | undefined): Members | null {
  const value = wire ? fromWire(wire) : null
  return value === UNKNOWN ? null : (value as Members | null)
}

function onWire({ state, identity, ...rest }: lifecycle.Outcome): Response {
  return { state: toWire(state), ...(identity && { identity: toWire(identity) }), ...rest }
}

/** Failures as diagnostics. */
async function told(work: () => Promise<Response>, attributes = {}): Promise<Response> {
  try {
    return await work()
  } catch (error) {
    return { diagnostics: errorDiagnostics(error, attributes) }
  }
}
