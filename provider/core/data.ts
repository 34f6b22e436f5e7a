// SPDX-License-Identifier: Apache-2.0
// What a data source says: its schema, and how it is read. Everything that moves by itself is shown here and nowhere else.

import type { Attributes } from './schema'
import type { Members } from './value'
import type { Session } from './world'

export interface DataSource {
  /** As Terraform names it, `inkev_host`. */
  type: string
  description: string
  attributes: Attributes
  /** The whole object, the configuration included. */
  read(session: Session, config: Members): Promise<Members>
}

/** Attributes that are answered, never given. */
export function answers(attributes: Attributes): Attributes {
  return Object.fromEntries(
    Object.entries(attributes).map(([name, { shape, description, type, attributes: nested }]) => [
      name,
      { shape, description, type, computed: true, ...(nested && { attributes: answers(nested) }) }
    ])
  )
}
